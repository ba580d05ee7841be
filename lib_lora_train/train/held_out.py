"""The loss on photos that are not trained on: at fixed timesteps with fixed noise, so that two epochs can be compared.

A training loss wanders because each step draws another timestep and other noise; with both fixed what is left is what
the model learned ("stable loss": spacepxl, github.com/spacepxl/demystifying-sd-finetuning, 2024). Where it is lowest
the LoRA stops learning what holds for new photos and begins to learn its own by heart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.feed import Feed
from lib_lora_train.train.gallery import still
from lib_lora_train.train.sections import ObjectiveConfig
from lib_lora_train.train.step import Inputs

TIMESTEPS = 8
"""For each photo."""


def timesteps(config: ObjectiveConfig, count: int = TIMESTEPS) -> list[int]:
    """The middles of `count` equal parts of the range that training draws from (fewer where it is smaller)."""
    span = config.max_timestep - config.min_timestep
    count = min(count, span)
    return [config.min_timestep + (2 * part + 1) * span // (2 * count) for part in range(count)]


@torch.no_grad()
def loss(model: torch.nn.Module, feed: Feed, photos: Sequence[Photo]) -> float:
    """The mean over photos and timesteps of the run's own loss, photos counted alike, without dropout.

    Batches are as large as in training, so it fits where a step does.
    """
    with still(model):
        found = [number for inputs in _batches(feed, photos) for number in model(inputs).tolist()]
    return math.fsum(found) / len(found)


def _batches(feed: Feed, photos: Sequence[Photo]) -> Iterator[Inputs]:
    chosen, size = timesteps(feed.config.objective), feed.config.loop.batch_size
    for photo in photos:
        for start in range(0, len(chosen), size):
            yield feed.fixed(photo, chosen[start : start + size])
