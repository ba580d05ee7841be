"""How large the parts of the small base are."""

from __future__ import annotations

from typing import Any

from lib_lora_train.train.base.random_base import Widths

UNET_HEADS = 6


def configs(vocabulary: int) -> dict[str, dict[str, Any]]:
    """Configs of "unet", "text_encoder" and "vae"."""
    widths = Widths(
        unet=(96, 96, 96, 96), vae=(32, 32, 64, 64), text=96, text_layers=5, text_heads=6, vocabulary=vocabulary
    )
    found = widths.configs()
    found["unet"]["attention_head_dim"] = UNET_HEADS
    return found
