"""Everything random in one sample, drawn on the CPU before the step: noise, timestep, posterior, perturbation.

Each tensor has a generator of its own, seeded for (seed, what it is for, image, repeat, epoch). So they are the same
with any batch size, any order, any cache state and any device, and turning one option on re-draws nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lib_lora_train.train.randomness import draw, uniform
from lib_lora_train.train.sections import ObjectiveConfig


@dataclass(frozen=True)
class Occasion:
    """One showing of one image: who, which repeat, in which epoch, under which seed."""

    seed: int
    identity: str
    repeat: int
    epoch: int

    def normal(self, what: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal float32 numbers."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.number(what)))

    def number(self, what: str) -> int:
        return draw(self.seed, what, self.identity, self.repeat, self.epoch)

    def uniform(self, what: str) -> float:
        return uniform(self.seed, what, self.identity, self.repeat, self.epoch)


@dataclass(frozen=True)
class Draws:
    """What one sample needs: tensors are [channels, height, width] of the latent."""

    timestep: int
    posterior: torch.Tensor
    noise: torch.Tensor
    perturbation: torch.Tensor | None


def draw_sample(occasion: Occasion, shape: tuple[int, int, int], config: ObjectiveConfig) -> Draws:
    """The draws of one occasion for a latent of `shape` (channels, height, width)."""
    span = config.max_timestep - config.min_timestep
    noise = occasion.normal("noise", shape)
    if config.noise_offset:
        noise = noise + config.noise_offset * occasion.normal("noise offset", (shape[0], 1, 1))
    if config.multires_iterations:
        noise = _pyramid(noise, occasion, config.multires_iterations, config.multires_discount)
    perturbation = (
        config.input_perturbation * occasion.normal("perturbation", shape) if config.input_perturbation else None
    )
    return Draws(
        timestep=config.min_timestep + int(occasion.uniform("timestep") * span),
        posterior=occasion.normal("posterior", shape),
        noise=noise,
        perturbation=perturbation,
    )


def _pyramid(noise: torch.Tensor, occasion: Occasion, iterations: int, discount: float) -> torch.Tensor:
    """Multi-resolution noise (Whitaker 2023): coarser and coarser noise on top, then back to unit deviation."""
    channels, height, width = noise.shape
    total = noise
    for level in range(iterations):
        shrink = (2 + 2 * occasion.uniform(f"pyramid {level}")) ** level
        rows, columns = max(1, int(height / shrink)), max(1, int(width / shrink))
        coarse = occasion.normal(f"pyramid noise {level}", (1, channels, rows, columns))
        total = total + discount**level * F.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        if rows == 1 or columns == 1:
            break
    return total / total.std()
