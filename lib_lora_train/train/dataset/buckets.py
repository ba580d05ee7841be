"""Aspect-ratio buckets: which size a photo is trained at, and what is cropped. Pure.

The list and the choice are kohya's, so that runs can be compared. Only where kohya would enlarge a photo against
the person's wish does it differ: the photo then gets the part of its bucket that it can fill without being
enlarged. (kohya's "no upscale" leaves the list altogether, ignores the shortest and longest side, cuts instead of
scaling, and fails below one step.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from lib_lora_train.train.dataset.photos import Size
from lib_lora_train.train.sections import DatasetConfig


@dataclass(frozen=True)
class Placement:
    """How a photo is brought to its bucket: resized, then cropped."""

    bucket: Size
    """Width and height trained at, in pixels."""
    resized: Size
    """The whole photo after scaling, in pixels; covers the bucket."""
    crop: tuple[int, int]
    """Left and top of the bucket within the resized photo, in pixels."""

    @property
    def kept(self) -> float:
        """Share of the photo's area that is inside the crop."""
        return (self.bucket[0] * self.bucket[1]) / (self.resized[0] * self.resized[1])


@lru_cache(maxsize=64)
def bucket_sizes(resolution: int, shortest: int, longest: int, step: int) -> tuple[Size, ...]:
    """All buckets, sorted: sides multiples of `step` from `shortest` to `longest`, area at most `resolution` squared."""
    area = resolution * resolution
    square = resolution // step * step
    sizes = {(square, square)}
    for width in range(shortest, longest + 1, step):
        height = min(longest, area // width // step * step)
        if height >= shortest:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def place(size: Size, config: DatasetConfig) -> Placement:
    """The placement of a photo of upright `size` with a centred crop."""
    limits = (config.resolution, config.bucket_min, config.bucket_max, config.bucket_step)
    chosen = _nearest(size, limits) if config.buckets else _square(config)
    if not config.upscale and (size[0] < chosen[0] or size[1] < chosen[1]):
        chosen = _fillable(size, chosen, config)
    return _cover(size, chosen)


def is_enlarged(size: Size, placement: Placement) -> bool:
    """Whether the photo has fewer pixels than it is resized to."""
    return placement.resized[0] > size[0] or placement.resized[1] > size[1]


@lru_cache(maxsize=100_000)
def _nearest(size: Size, limits: tuple[int, int, int, int]) -> Size:
    """kohya's choice: the very size if there is such a bucket, else the nearest ratio, the first of equals."""
    sizes = bucket_sizes(*limits)
    if size in sizes:
        return size
    ratio = size[0] / size[1]
    return min(sizes, key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))


def _square(config: DatasetConfig) -> Size:
    side = max(config.resolution // config.bucket_step, 1) * config.bucket_step
    return side, side


def _fillable(size: Size, bucket: Size, config: DatasetConfig) -> Size:
    """The largest size in whole steps that lies in both the bucket and the photo, at least one step a side."""
    step = config.bucket_step
    width, height = (max(min(side, have // step * step), step) for side, have in zip(bucket, size, strict=True))
    side = min(width, height)
    return (width, height) if config.buckets else (side, side)


def _cover(size: Size, bucket: Size) -> Placement:
    """Scale so that the photo just covers the bucket; crop the middle."""
    width, height = size
    scale = bucket[1] / height if width / height > bucket[0] / bucket[1] else bucket[0] / width
    resized = max(math.floor(width * scale + 0.5), bucket[0]), max(math.floor(height * scale + 0.5), bucket[1])
    return Placement(bucket, resized, ((resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2))
