"""What a person should know of the photos' sizes: too small, enlarged, or much of them cut off. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lib_lora_train.train.dataset.buckets import is_enlarged, place
from lib_lora_train.train.dataset.photos import Photo, Problem, Size, counted, listed
from lib_lora_train.train.sections import DatasetConfig

KEPT_SHARE = 0.75
"""Below this share of its area inside the crop a photo is listed."""
SMALL_SHARE = 0.5
"""Below this share of the training area a photo is listed as small."""


def size_problems(photos: Sequence[Photo], config: DatasetConfig) -> list[Problem]:
    """Problems "enlarged", "small" and "cropped" for `photos` as they will be placed."""
    placed = [(photo, place(photo.size, config)) for photo in photos]
    enlarged = [(photo, at.bucket) for photo, at in placed if is_enlarged(photo.size, at)]
    small = [
        (photo, at.bucket)
        for photo, at in placed
        if not is_enlarged(photo.size, at) and at.bucket[0] * at.bucket[1] < SMALL_SHARE * config.resolution**2
    ]
    cut = tuple(f"{photo.name} ({at.kept:.0%} kept)" for photo, at in placed if at.kept < KEPT_SHARE)
    return [*_enlarged(enlarged), *_small(small, config), *_cut(cut, config)]


def _enlarged(found: Sequence[tuple[Photo, Size]]) -> Iterator[Problem]:
    if found:
        names = tuple(photo.name for photo, _ in found)
        yield Problem(
            "warning",
            "enlarged",
            f"{counted(len(found), 'photo is', 'photos are')} smaller than trained at and will be enlarged, which blurs: {_sizes(found)}.",
            names,
        )


def _small(found: Sequence[tuple[Photo, Size]], config: DatasetConfig) -> Iterator[Problem]:
    if found:
        names = tuple(photo.name for photo, _ in found)
        message = f"{counted(len(found), 'photo is', 'photos are')} small for {config.resolution} px and trained without enlarging: {_sizes(found)}; find larger ones or leave them out."
        yield Problem("warning", "small", message, names)


def _cut(found: tuple[str, ...], config: DatasetConfig) -> Iterator[Problem]:
    if found:
        why = "the shape is beyond the longest bucket" if config.buckets else "buckets are off"
        yield Problem(
            "warning",
            "cropped",
            f"A large part of {counted(len(found), 'photo', 'photos')} is cut off, because {why}: {listed(found)}.",
            tuple(name.rpartition(" (")[0] for name in found),
        )


def _sizes(found: Sequence[tuple[Photo, Size]]) -> str:
    return listed(
        tuple(f"{photo.name} ({photo.width} x {photo.height} at {bucket[0]} x {bucket[1]})" for photo, bucket in found)
    )
