# pyright: basic
"""Load whatever base a config names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from lib_lora_train.train.base.detect import inspect
from lib_lora_train.train.base.family import BaseModel, Family, LoadOptions
from lib_lora_train.train.base.sd1 import SD1
from lib_lora_train.train.errors import NotFinite
from lib_lora_train.train.sections import BaseConfig

FAMILIES: Mapping[str, Family] = {"sd1": SD1()}


def load_base(
    config: BaseConfig, options: LoadOptions | None = None, zero_terminal_snr: bool | None = None
) -> BaseModel:
    """The base that `config` names, frozen, ready to take adapters. Never asks the network.

    `config.prediction` and `zero_terminal_snr`, where they are not "auto" and None, go before what the base says.
    Raises BaseError, with the cure, when it cannot be trained on.
    """
    vae = Path(config.vae) if config.vae else None
    info = inspect(Path(config.path), config.allow_pickle, vae)
    if config.prediction != "auto":
        info = dataclasses.replace(info, prediction=config.prediction)
    if zero_terminal_snr is not None:
        info = dataclasses.replace(info, zero_terminal_snr=zero_terminal_snr)
    return FAMILIES[info.family].load(info, options or LoadOptions(), vae, config.allow_pickle)


def check_latents(base: BaseModel, latents: torch.Tensor, images: str) -> None:
    """Refuse latents that are not finite: a VAE that overflows is the commonest cause of a LoRA that learns nothing.

    Waits for the device, so ask it of the first batch and of what is cached. Raises NotFinite naming the VAE and
    `images`.
    """
    if not math.isfinite(float(latents.float().abs().sum())):
        name = base.vae_path.name if base.vae_path else f"the VAE of {base.info.name}"
        raise NotFinite(f"{name} gives latents that are not finite for {images}; choose another VAE in the VAE field.")
