"""The formulas of the papers and of kohya, worked out again in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lib_lora_train.train import objective
from lib_lora_train.train.sections import ObjectiveConfig

pytestmark = pytest.mark.torch

TIMES = torch.tensor([0, 20, 500, 999])
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
ALPHAS = torch.cumprod(1 - BETAS, 0)[TIMES]
ALPHA = ALPHAS.float()
SNR = ALPHAS / (1 - ALPHAS)


def config(**options: Any) -> ObjectiveConfig:
    return ObjectiveConfig(**options)


def numbers(seed: int) -> torch.Tensor:
    return torch.randn(4, 4, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def each(formula: Any) -> torch.Tensor:
    return torch.tensor([formula(ratio) for ratio in SNR.tolist()], dtype=torch.float64)


LATENTS, NOISE, ANSWER = numbers(1), numbers(2), numbers(3)


def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours.double(), expected, rtol=2e-4, atol=1e-6)


def test_noise_is_added_by_alpha_bar() -> None:
    expected = torch.stack(
        [LATENTS[i] * math.sqrt(a) + NOISE[i] * math.sqrt(1 - a) for i, a in enumerate(ALPHAS.tolist())]
    )
    close(objective.add_noise(LATENTS.float(), NOISE.float(), ALPHA), expected)


def test_targets() -> None:
    assert objective.target("epsilon", LATENTS, NOISE, ALPHA) is NOISE
    expected = torch.stack(
        [NOISE[i] * math.sqrt(a) - LATENTS[i] * math.sqrt(1 - a) for i, a in enumerate(ALPHAS.tolist())]
    )
    close(objective.target("v_prediction", LATENTS.float(), NOISE.float(), ALPHA), expected)


def test_snr() -> None:
    close(objective.snr(ALPHA), SNR)


@pytest.mark.parametrize(
    ("prediction", "options", "formula"),
    [
        ("epsilon", {}, lambda snr: 1.0),
        ("epsilon", {"min_snr_gamma": 5}, lambda snr: min(snr, 5) / snr),
        ("v_prediction", {"min_snr_gamma": 5}, lambda snr: min(snr, 5) / (snr + 1)),
        ("epsilon", {"debiased": True}, lambda snr: 1 / math.sqrt(min(snr, 1000))),
        ("v_prediction", {"debiased": True}, lambda snr: 1 / (snr + 1)),
        ("epsilon", {"min_snr_gamma": 1, "debiased": True}, lambda s: min(s, 1) / s / math.sqrt(min(s, 1000))),
    ],
)
def test_weights(prediction: str, options: dict[str, Any], formula: Any) -> None:
    close(objective.weight(prediction, SNR.float(), config(**options)), each(formula))


def test_a_zero_terminal_snr_gives_finite_velocity_weights() -> None:
    zero = torch.zeros(1)
    for options in ({"min_snr_gamma": 5.0}, {"debiased": True}):
        assert objective.weight("v_prediction", zero, config(**options)).isfinite().all()


@pytest.mark.parametrize("schedule", ["constant", "exponential", "snr"])
@pytest.mark.parametrize("loss", ["huber", "smooth_l1"])
def test_huber(loss: str, schedule: str) -> None:
    c = 0.1
    widths = {
        "constant": [c] * 4,
        "exponential": [math.exp(math.log(c) * time / 1000) for time in TIMES.tolist()],
        "snr": [(1 - c) / (1 + math.sqrt((1 - a) / a)) ** 2 + c for a in ALPHAS.tolist()],
    }[schedule]
    expected = torch.stack(
        [
            ((2 * w if loss == "huber" else 2) * (((ANSWER[i] - NOISE[i]) ** 2 + w * w).sqrt() - w)).mean()
            for i, w in enumerate(widths)
        ]
    )
    options = config(loss=loss, huber_schedule=schedule, huber_c=c)
    close(objective.distance(ANSWER.float(), NOISE.float(), TIMES, ALPHA, options), expected)


def test_squares_are_averaged_in_float32_for_each_sample() -> None:
    expected = torch.stack([((ANSWER[i] - NOISE[i]) ** 2).mean() for i in range(4)])
    close(objective.distance(ANSWER.float(), NOISE.float(), TIMES, ALPHA, config()), expected)
    half = objective.distance(ANSWER.half() * 200, NOISE.half(), TIMES, ALPHA, config())  # its squares leave fp16
    assert half.dtype == torch.float32 and half.isfinite().all()
