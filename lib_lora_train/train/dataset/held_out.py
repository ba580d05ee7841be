"""Which photos are kept out of training, so that their loss tells learning from learning by heart. Pure.

The choice is a function of the seed and the photos' content, not of names or order. Exact copies stay together: a
copy that is trained on would make its twin's loss worthless.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.photos import Dataset, Photo, Problem, counted, listed
from lib_lora_train.train.randomness import draw

MOST_SHARE = 0.5
"""No more photos than this are held out: training is for the rest."""


def hold_out(dataset: Dataset, config: TrainConfig, before: Collection[str] | None = None) -> Dataset:
    """The dataset with `dataset.held_out` of its photos moved to `held_out`; too many of them are a problem "held-out".

    `before` are the identities held out when the run began: a resumed run never moves a photo from one side to the
    other, so new photos are trained on.
    """
    if not config.dataset.held_out or not dataset.photos:
        return dataset
    chosen = _chosen(dataset.photos, config) if before is None else before
    kept = tuple(photo for photo in dataset.photos if photo.identity in chosen)
    if before is None and len(kept) > MOST_SHARE * len(dataset.photos):
        return dataset.with_problems(_too_many(config.dataset.held_out, len(dataset.photos)))
    names = tuple(photo.name for photo in kept)
    said = f"{counted(len(kept), 'photo is', 'photos are')} held out of training: {listed(names)}."
    return replace(
        dataset,
        photos=tuple(photo for photo in dataset.photos if photo.identity not in chosen),
        held_out=kept,
        understood=(*dataset.understood, *([said] if kept else [])),
    )


def _chosen(photos: Collection[Photo], config: TrainConfig) -> set[str]:
    """The identities of the first so many in a drawn order, each with its exact copies."""
    asked = config.dataset.held_out
    wanted = round(asked) if asked >= 1 else max(1, round(asked * len(photos)))
    chosen: set[str] = set()
    for content in sorted({photo.content for photo in photos}, key=lambda one: draw(config.seed, "held out", one)):
        if len(chosen) >= wanted:
            break
        chosen |= {photo.identity for photo in photos if photo.content == content}
    return chosen


def _too_many(asked: float, photos: int) -> Problem:
    most = int(MOST_SHARE * photos)
    cure = f"use {most} or fewer, or add photos" if most else "add photos, or set it to 0"
    return Problem(
        "error",
        "held-out",
        f"dataset.held_out = {asked:g} would keep more than half of {counted(photos, 'photo', 'photos')} out of training: {cure}.",
    )
