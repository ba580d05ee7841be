"""One step, as two halves that never wait for the device: gradients of a micro-batch, and the update.

Everything random and everything that branches is decided outside and arrives in `Inputs`, tensors of fixed shape for
a bucket. So a whole step can be captured as a CUDA graph for each bucket shape. The one read in between, whether the
gradient is finite, belongs to the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from lib_lora_train.train import objective
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.sections import ObjectiveConfig


@dataclass(frozen=True)
class Inputs:
    """A micro-batch: b samples, latents of c x h x w, float32 unless said.

    mean, deviation, posterior, noise: [b, c, h, w]; perturbation the same or None; timesteps [b] int64; weights [b];
    ids [b, chunks, 77] int64 when the text encoder runs in the step, else context [b, tokens, dim].
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    posterior: torch.Tensor
    noise: torch.Tensor
    perturbation: torch.Tensor | None
    timesteps: torch.Tensor
    weights: torch.Tensor
    ids: torch.Tensor | None
    context: torch.Tensor | None

    def to(self, device: torch.device) -> Inputs:
        """On `device`, without waiting where the memory is pinned."""
        moved: dict[str, Any] = {}
        for entry in fields(self):
            tensor = getattr(self, entry.name)
            if tensor is not None:
                moved[entry.name] = tensor.to(device, non_blocking=True)
        return replace(self, **moved)


class Objective(nn.Module):
    """Base and adapter as one module, from inputs to the weighed loss of each sample, so that it can be wrapped."""

    def __init__(self, base: BaseModel, config: ObjectiveConfig, clip_skip: int) -> None:
        super().__init__()
        self.unet: nn.Module = base.unet
        self.text_encoder: nn.Module = base.text_encoder
        self._base = base
        self._config = config
        self._clip_skip = clip_skip
        self.register_buffer("alphas_cumprod", base.alphas_cumprod.clone(), persistent=False)
        self.register_buffer("snr", objective.snr(base.alphas_cumprod), persistent=False)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """The loss of each sample [b], weighed."""
        latents = inputs.mean + inputs.deviation * inputs.posterior
        alpha = self.alphas_cumprod[inputs.timesteps]  # type: ignore[index]
        spread = inputs.noise if inputs.perturbation is None else inputs.noise + inputs.perturbation
        noisy = objective.add_noise(latents, spread, alpha)
        context = inputs.context
        if inputs.ids is not None:
            context = self._base.family.encode_text(self.text_encoder, inputs.ids, self._clip_skip)
        assert context is not None
        answer = self._base.family.predict(self.unet, noisy, inputs.timesteps, context)
        wanted = objective.target(self._base.prediction, latents, inputs.noise, alpha)
        losses = objective.distance(answer, wanted, inputs.timesteps, alpha, self._config)
        ratio = self.snr[inputs.timesteps]  # type: ignore[index]
        return losses * inputs.weights * objective.weight(self._base.prediction, ratio, self._config)
