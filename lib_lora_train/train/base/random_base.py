# pyright: basic
"""SD 1.5-shaped checkpoints with random weights, for tests, the demo and measuring speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor

from lib_lora_train.train.base import sd1_config
from lib_lora_train.train.base.info import PARTS
from lib_lora_train.train.base.layout import ldm_tensors, stated_config, write_tensors
from lib_lora_train.train.base.sd1 import build
from lib_lora_train.train.base.tokenizer import PACKAGED_SIZE


@dataclass(frozen=True)
class Widths:
    """Sizes of an SD 1.5-shaped model. Channels are multiples of 32."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    text: int
    text_layers: int
    text_heads: int
    vocabulary: int = PACKAGED_SIZE
    in_channels: int = 4

    def configs(self) -> dict[str, dict[str, Any]]:
        """What diffusers and transformers build the parts from."""
        levels = len(self.unet)
        return {
            "unet": {
                "sample_size": 64,
                "in_channels": self.in_channels,
                "out_channels": 4,
                "block_out_channels": list(self.unet),
                "layers_per_block": 2,
                "down_block_types": [*["CrossAttnDownBlock2D"] * (levels - 1), "DownBlock2D"],
                "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * (levels - 1)],
                "cross_attention_dim": self.text,
                "attention_head_dim": sd1_config.UNET_HEADS,
            },
            "text_encoder": {
                "vocab_size": self.vocabulary,
                "hidden_size": self.text,
                "projection_dim": self.text,
                "intermediate_size": 4 * self.text,
                "num_hidden_layers": self.text_layers,
                "num_attention_heads": self.text_heads,
                "hidden_act": "quick_gelu",
            },
            "vae": {
                "sample_size": 512,
                "latent_channels": 4,
                "block_out_channels": list(self.vae),
                "layers_per_block": 2,
                "down_block_types": ["DownEncoderBlock2D"] * len(self.vae),
                "up_block_types": ["UpDecoderBlock2D"] * len(self.vae),
                "scaling_factor": sd1_config.LATENT_SCALE,
            },
        }


WIDTHS = {
    "tiny": Widths(unet=(32, 32, 64, 64), vae=(32, 32, 32, 32), text=32, text_layers=2, text_heads=2),
    "narrow": Widths(unet=(32, 64, 128, 128), vae=(32, 64, 64, 64), text=128, text_layers=12, text_heads=2),
    "full": Widths(unet=(320, 640, 1280, 1280), vae=(128, 256, 512, 512), text=768, text_layers=12, text_heads=12),
}


def write_random_base(path: Path, widths: str | Widths = "tiny", seed: int = 0, dtype: str = "fp16") -> None:
    """Write a checkpoint in the original layout: "tiny" (1.9 M weights, 4 MB), "narrow", "full" (1.07 G, 2 GB in fp16).

    Weights are the libraries' own initial ones, so activations stay finite; one part is in memory at a time. The
    same seed and torch give the same bytes. Raises DiskError.
    """
    sizes = WIDTHS[widths] if isinstance(widths, str) else widths
    configs = sizes.configs()
    with init_empty_weights():
        empty = {part: build(part, configs[part]) for part in PARTS}
    shapes = {name: tuple(tensor.shape) for part in PARTS for name, tensor in ldm_tensors(part, empty[part])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_tensors(path, shapes, _values(configs), dtype, stated_config(empty))


def _values(configs: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    for part in PARTS:
        yield from ldm_tensors(part, build(part, configs[part]))
