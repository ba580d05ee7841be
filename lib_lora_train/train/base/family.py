# pyright: basic
"""What the trainer asks of a family of models, and the loaded base it works with."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lib_lora_train.train.base.fingerprint import fingerprint
from lib_lora_train.train.base.info import BaseHashes, BaseInfo
from lib_lora_train.train.base.tokenizer import ClipTokenizer


@dataclass(frozen=True)
class LoadOptions:
    """How a base is loaded: `dtype` for U-Net and text encoder, `vae_dtype` (fp32, or bf16 on CUDA; fp16 overflows
    and becomes fp32), `device`, and the attention kernel: "auto", "sdpa", "xformers" or "eager"."""

    dtype: torch.dtype = torch.float32
    vae_dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    attention: str = "auto"
    deterministic: bool = False
    """Avoid kernels whose gradients differ from run to run (the fused one under the text encoder's mask)."""


@dataclass(frozen=True, eq=False, repr=False)
class BaseModel:
    """A loaded base. Its weights are frozen; adapters are put into `unet` and `text_encoder` in place.

    `alphas_cumprod` is float32 [1000] on the CPU. `extras` are names in the file that belong to no part.
    """

    family: Family
    info: BaseInfo
    unet: Any
    text_encoder: Any
    vae: Any
    tokenizer: ClipTokenizer
    prediction: str
    zero_terminal_snr: bool
    alphas_cumprod: Tensor
    vae_path: Path | None = None
    extras: tuple[str, ...] = ()

    @property
    def latent_scale(self) -> float:
        """What the VAE's latents are multiplied by."""
        return self.family.latent_scale

    @functools.cached_property
    def hashes(self) -> BaseHashes:
        """Hashes of the file or folder; reads it in full the first time."""
        return fingerprint(self.info.path)

    @functools.cached_property
    def vae_hashes(self) -> BaseHashes | None:
        """Hashes of the VAE that took the place of the base's own."""
        return fingerprint(self.vae_path) if self.vae_path else None


class Family(Protocol):
    """One family of models. Stateless; b is the batch, n the chunks of a caption, d the context's width.

    `encode_text` and `predict` never wait for the device and never branch on values, so that a whole step can be
    captured and replayed.
    """

    @property
    def name(self) -> str:
        """As in BaseInfo.family."""
        ...

    @property
    def latent_scale(self) -> float:
        """What the VAE's latents are multiplied by."""
        ...

    def load(self, info: BaseInfo, options: LoadOptions, vae: Path | None, allow_pickle: bool) -> BaseModel:
        """The base in memory, its prediction and schedule as `info` has them. Raises BaseError."""
        ...

    def tokenize(self, tokenizer: ClipTokenizer, captions: Sequence[str], max_tokens: int) -> Tensor:
        """Token numbers, int64 [b, n, 77] with n = ceil(max_tokens / 75)."""
        ...

    def encode_text(self, text_encoder: nn.Module, ids: Tensor, clip_skip: int = 1) -> Tensor:
        """Context [b, n * 77, d] for `ids` [b, n, 77]; `clip_skip` counts layers from the end, 1 is the last."""
        ...

    def checkpoint_gradients(self, unet: nn.Module, text_encoder: nn.Module) -> None:
        """Trade time for memory in both models: activations are computed again for the backward pass."""
        ...

    def encode_images(self, vae: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents, float32 [b, 4, h/8, w/8], both times `latent_scale`, for
        `pixels` [b, 3, h, w] in -1 … 1."""
        ...

    def decode(self, vae: nn.Module, latents: Tensor) -> Tensor:
        """Pixels, float32 [b, 3, h, w] in about -1 … 1, of latents that are times `latent_scale`."""
        ...

    def predict(self, unet: nn.Module, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """The U-Net's output, float32 [b, 4, h/8, w/8], for noisy latents at int64 `timesteps` [b]."""
        ...
