"""The noise schedule against published values and the library's."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler

from lib_lora_train.train.base.schedule import alphas_cumprod


def test_published_values() -> None:
    bar = alphas_cumprod()
    assert bar.shape == (1000,) and bar.dtype == torch.float32
    assert round(float(bar[0]), 4) == 0.9991 and round(float(bar[-1]), 4) == 0.0047


def test_equals_diffusers() -> None:
    for ztsnr in (False, True):
        scheduler = DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=ztsnr
        )
        torch.testing.assert_close(alphas_cumprod(ztsnr), scheduler.alphas_cumprod, rtol=1e-4, atol=1e-6)


def test_zero_terminal_snr() -> None:
    bar = alphas_cumprod(zero_terminal_snr=True)
    assert bar[-1] == 0 and torch.isclose(bar[0], alphas_cumprod()[0])
    assert (bar.diff() < 0).all()
