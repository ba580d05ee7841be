"""What the model is asked and how its answer is weighed. Pure functions on tensors, none waits for the device."""

from __future__ import annotations

import math

import torch

from lib_lora_train.train.sections import ObjectiveConfig


def snr(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio of each timestep: alpha_bar / (1 - alpha_bar)."""
    return alphas_cumprod / (1 - alphas_cumprod)


def add_noise(latents: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """The diffused latents [b, c, h, w] at alpha_bar [b] (Ho et al. 2020, eq. 4)."""
    alpha = alpha.view(-1, 1, 1, 1)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def target(prediction: str, latents: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """What the model should answer: the noise, or the velocity (Salimans and Ho 2022, appendix D)."""
    if prediction == "epsilon":
        return noise
    alpha = alpha.view(-1, 1, 1, 1)
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents


def distance(
    answer: torch.Tensor, wanted: torch.Tensor, timesteps: torch.Tensor, alpha: torch.Tensor, config: ObjectiveConfig
) -> torch.Tensor:
    """Loss of each sample [b]: the mean over channels, height and width, in float32."""
    error = answer.float() - wanted.float()
    if config.loss == "l2":
        return error.square().mean(dim=(1, 2, 3))
    width = huber_width(timesteps, alpha, config).view(-1, 1, 1, 1)
    pseudo = (error.square() + width.square()).sqrt() - width
    scale = 2 * width if config.loss == "huber" else torch.full_like(width, 2.0)
    return (scale * pseudo).mean(dim=(1, 2, 3))


def huber_width(timesteps: torch.Tensor, alpha: torch.Tensor, config: ObjectiveConfig) -> torch.Tensor:
    """Pseudo-Huber's c for each sample [b]: constant, falling exponentially, or with the noise (Khrapov et al. 2024)."""
    c = config.huber_c
    if config.huber_schedule == "exponential":
        return torch.exp(math.log(c) / 1000 * timesteps.float())
    if config.huber_schedule == "snr":
        sigma = ((1 - alpha) / alpha).sqrt()
        return (1 - c) / (1 + sigma).square() + c
    return torch.full_like(alpha, c)


def weight(prediction: str, ratio: torch.Tensor, config: ObjectiveConfig) -> torch.Tensor:
    """Weight of each sample [b] by its signal-to-noise ratio.

    Min-SNR (Hang et al. 2023, arXiv 2303.09556): min(snr, gamma) / snr, with snr + 1 for velocity. Debiased
    estimation (Yu et al. 2024, arXiv 2310.08442): 1 / sqrt(min(snr, 1000)), 1 / (snr + 1) for velocity.
    """
    total = torch.ones_like(ratio)
    velocity = prediction == "v_prediction"
    if config.min_snr_gamma:
        total = total * ratio.clamp(max=config.min_snr_gamma) / (ratio + 1 if velocity else ratio)
    if config.debiased:
        total = total * (1 / (ratio + 1) if velocity else ratio.clamp(max=1000).rsqrt())
    return total
