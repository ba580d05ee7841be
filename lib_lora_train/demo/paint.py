# pyright: basic
"""Many pictures of a base at once, with a LoRA file put into its weights as a WebUI does it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train import samples
from lib_lora_train.train.base.family import BaseModel, LoadOptions
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.samples import Sample
from lib_lora_train.train.sections import BaseConfig

SAMPLER, STEPS, CFG, SIDE = "dpmpp_2m", 14, 5.0, 128


def sample(prompt: str, seed: int, steps: int = STEPS) -> Sample:
    """A picture of the size that the small base was made for."""
    return Sample(prompt, "", SIDE, SIDE, CFG, steps, seed, SAMPLER)


class Painter:
    """The base in the checkpoint `path`, on `device`."""

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.base: BaseModel = load_base(BaseConfig(path=str(path)), LoadOptions(device=self.device))
        self._modules = {
            f"{prefix}_{name.replace('.', '_')}": module
            for prefix, model in (("lora_unet", self.base.unet), ("lora_te", self.base.text_encoder))
            for name, module in model.named_modules()
        }

    @contextlib.contextmanager
    def wearing(self, lora: Path | None, weight: float = 1.0) -> Iterator[None]:
        """The base with a LoRA file in kohya's format: W + weight · alpha / rank · up · down, until the end.

        Raises LoraLoopError when a key of the file belongs to nothing in this base.
        """
        before: dict[torch.nn.Parameter, Tensor] = {}
        try:
            for parameter, change in self._changes(lora) if lora else ():
                before[parameter] = parameter.detach().clone()
                parameter.data += weight * change
            yield
        finally:
            for parameter, value in before.items():
                parameter.data.copy_(value)

    def _changes(self, lora: Path) -> Iterator[tuple[torch.nn.Parameter, Tensor]]:
        tensors = {name: tensor.float().to(self.device) for name, tensor in load_file(lora).items()}
        for name in sorted({name.partition(".")[0] for name in tensors}):
            module = self._modules.get(name)
            if module is None:
                raise LoraLoopError(f"{lora.name} is for another base: there is no {name} in {self.base.info.name}.")
            down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
            scale = tensors[f"{name}.alpha"] / len(down)
            yield module.weight, (scale * (up.flatten(1) @ down.flatten(1))).view_as(module.weight)

    @torch.no_grad()
    def paint(self, wanted: Sequence[Sample]) -> list[Image.Image]:
        """One picture for each sample, all in one batch: they must share size, steps, CFG and sampler, which must draw
        no noise of its own."""
        base, first = self.base, wanted[0]
        pairs = [samples.contexts(base, one, 1, self.device) for one in wanted]
        contexts = torch.cat([torch.stack([pair[side] for pair in pairs]) for side in (0, 1)])
        shape = (1, base.vae.config.latent_channels, first.height // 8, first.width // 8)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(one.seed)) for one in wanted]
        steps = samples.scheduler(first.sampler, base.alphas_cumprod, base.prediction)
        steps.set_timesteps(first.steps)
        latents = torch.cat(noise).to(self.device) * steps.init_noise_sigma
        for timestep in steps.timesteps:
            inputs = steps.scale_model_input(torch.cat([latents] * 2), timestep)
            times = torch.full((len(inputs),), float(timestep), device=self.device)
            without, asked = base.family.predict(base.unet, inputs, times, contexts).chunk(2)
            latents = steps.step(without + first.cfg * (asked - without), timestep, latents).prev_sample
        pixels = ((base.family.decode(base.vae, latents) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return [Image.fromarray(one.permute(1, 2, 0).cpu().numpy()) for one in pixels]
