# pyright: basic
"""The noise schedule of Stable Diffusion."""

from __future__ import annotations

import torch

STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


def alphas_cumprod(zero_terminal_snr: bool = False) -> torch.Tensor:
    """ᾱ of each timestep, float32 [1000]: "scaled linear" betas, as Stable Diffusion was trained with.

    With `zero_terminal_snr` the square roots are shifted and scaled so that the last is 0 and the first unchanged
    (algorithm 1 of Lin et al. 2023, arXiv 2305.08891).
    """
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS, dtype=torch.float64) ** 2
    bar = torch.cumprod(1 - betas, dim=0)
    if zero_terminal_snr:
        root = bar.sqrt()
        bar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    return bar.float()
