"""Where exact repetition is to be had, and what out of memory looks like."""

from __future__ import annotations

import pytest
import torch

from lib_lora_train.train import device
from lib_lora_train.train.sections import LoopConfig

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("kind", "capability", "precision", "exact"),
    [
        ("cpu", (0, 0), "fp32", True),
        ("cuda", (6, 1), "fp16", False),  # GTX 10
        ("cuda", (7, 5), "fp16", False),  # RTX 20
        ("cuda", (8, 6), "bf16", True),  # RTX 30
        ("cuda", (8, 9), "fp32", False),
        ("cuda", (9, 0), "fp16", True),
    ],
)
def test_t14_exact_gradients_never_cost_small_cards_their_fused_attention(
    kind: str, capability: tuple[int, int], precision: str, exact: bool
) -> None:
    assert device.has_exact_attention(kind, capability, precision) is exact
    try:
        device._set_determinism(True, exact)
        assert torch.backends.cuda.mem_efficient_sdp_enabled() is not exact
        assert torch.is_deterministic_algorithms_warn_only_enabled() is not exact
    finally:
        device._set_determinism(True, True)


def test_the_cures_fit_the_settings() -> None:
    words = device.memory_message(LoopConfig(batch_size=1, gradient_checkpointing=True), is_training=False)
    assert "batch_size" not in words and "gradient_checkpointing" not in words and "resolution" in words
    assert "The state is saved" in device.memory_message(LoopConfig(batch_size=2), is_training=True)
