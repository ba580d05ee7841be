"""Which photo is seen when: batches, steps and epochs, exactly. Pure.

As in kohya's trainer a batch has photos of one bucket, a bucket's last batch may be short, and nothing is dropped or
filled up. Unlike there, regularisation photos take turns (there the first ones in sorted order are used for ever),
and the totals shown are those of the real buckets. A group of accumulated batches never spans two epochs: what is
left over at an epoch's end is a smaller step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from lib_lora_train.train.dataset.buckets import Placement, place
from lib_lora_train.train.dataset.photos import Photo, Size
from lib_lora_train.train.randomness import draw
from lib_lora_train.train.sections import DatasetConfig


@dataclass(frozen=True)
class Item:
    """One photo at one time."""

    photo: Photo
    photo_index: int
    """Place in `Plan.photos`, or in `Plan.regularisation` if `is_regularisation`."""
    is_regularisation: bool
    repeat: int
    """From 0. For a regularisation photo: how often it was used before in this epoch."""
    placement: Placement


@dataclass(frozen=True)
class Batch:
    """Photos that are trained together, all at the size of one bucket."""

    bucket: Size
    items: tuple[Item, ...]


@dataclass(frozen=True)
class EpochPlan:
    """All batches of one epoch, in order."""

    number: int
    """From 1."""
    batches: tuple[Batch, ...]
    steps: tuple[tuple[Batch, ...], ...]
    """The same batches, grouped by optimizer step (`accumulation` a step, the last group may be smaller)."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides which photo is seen when. `repeats` go with `photos`, place by place."""

    photos: tuple[Photo, ...]
    regularisation: tuple[Photo, ...]
    repeats: tuple[int, ...]
    dataset: DatasetConfig
    seed: int
    batch_size: int = 1
    accumulation: int = 1

    @cached_property
    def placements(self) -> tuple[Placement, ...]:
        """Of `photos`, place by place (crops are centred; random ones are drawn by `pixels`)."""
        return tuple(place(photo.size, self.dataset) for photo in self.photos)

    @cached_property
    def regularisation_placements(self) -> tuple[Placement, ...]:
        return tuple(place(photo.size, self.dataset) for photo in self.regularisation)

    @cached_property
    def items_per_epoch(self) -> int:
        """Training photos an epoch, repeats counted, regularisation not."""
        return sum(self.repeats)

    def epoch(self, number: int) -> EpochPlan:
        """The batches of epoch `number` (from 1): a function of the seed and the number only."""
        buckets: dict[Size, list[tuple[int, Item]]] = {}
        for item in self._items(number):
            order = draw(self.seed, "order", number, int(item.is_regularisation), item.photo.identity, item.repeat)
            buckets.setdefault(item.placement.bucket, []).append((order, item))
        batches: list[tuple[int, Batch]] = []
        for bucket, members in buckets.items():
            items = [item for _, item in sorted(members, key=_first)]
            for start in range(0, len(items), self.batch_size):
                order = draw(self.seed, "batches", number, *bucket, start)
                batches.append((order, Batch(bucket, tuple(items[start : start + self.batch_size]))))
        ordered = tuple(batch for _, batch in sorted(batches, key=_first))
        groups = tuple(
            ordered[start : start + self.accumulation] for start in range(0, len(ordered), self.accumulation)
        )
        return EpochPlan(number, ordered, groups)

    def bucket_counts(self, number: int) -> dict[Size, int]:
        """Photos in each bucket in epoch `number`, repeats and regularisation counted, sorted by size."""
        counts = Counter(self._own_counts)
        if self.regularisation:
            size = len(self.regularisation)
            rounds, rest = divmod(self.items_per_epoch, size)
            begin = (number - 1) * self.items_per_epoch % size
            for bucket, places in self._turns.items():
                counts[bucket] += rounds * len(places) + _between(places, begin, begin + rest, size)
        return {bucket: counts[bucket] for bucket in sorted(counts) if counts[bucket]}

    def batches_per_epoch(self, number: int) -> int:
        return sum(-(-count // self.batch_size) for count in self.bucket_counts(number).values())

    def steps_per_epoch(self, number: int) -> int:
        """Optimizer steps of epoch `number` (from 1)."""
        return -(-self.batches_per_epoch(number) // self.accumulation)

    def total_steps(self, epochs: int) -> int:
        """Optimizer steps of the first `epochs` epochs."""
        if not self.regularisation:
            return epochs * self.steps_per_epoch(1)
        return sum(self.steps_per_epoch(number) for number in range(1, epochs + 1))

    def epochs_for(self, steps: int) -> int:
        """The fewest epochs that have at least `steps` steps; 0 if there is nothing to train on."""
        first = self.steps_per_epoch(1) if self.items_per_epoch else 0
        if not first or steps < 1:
            return 0
        if not self.regularisation:
            return -(-steps // first)
        epochs, done = 0, 0
        while done < steps:
            epochs += 1
            done += self.steps_per_epoch(epochs)
        return epochs

    def position(self, step: int) -> tuple[int, int]:
        """(epoch from 1, steps already done in it) after `step` steps: an epoch's last step is (next epoch, 0)."""
        epoch = 1
        while step >= (length := self.steps_per_epoch(epoch)) and length:
            if not self.regularisation:
                return 1 + step // length, step % length
            step, epoch = step - length, epoch + 1
        return epoch, step

    def _items(self, number: int) -> list[Item]:
        items = [
            Item(photo, index, False, repeat, self.placements[index])
            for index, photo in enumerate(self.photos)
            for repeat in range(self.repeats[index])
        ]
        seen: Counter[int] = Counter()
        start, size = (number - 1) * self.items_per_epoch, len(self.regularisation)
        for turn in range(start, start + self.items_per_epoch) if size else ():
            index = self._rotation[turn % size]
            items.append(
                Item(self.regularisation[index], index, True, seen[index], self.regularisation_placements[index])
            )
            seen[index] += 1
        return items

    @cached_property
    def _rotation(self) -> tuple[int, ...]:
        """The drawn order in which regularisation photos take turns, over all epochs."""
        drawn = [
            (draw(self.seed, "rotation", photo.identity), index) for index, photo in enumerate(self.regularisation)
        ]
        return tuple(index for _, index in sorted(drawn))

    @cached_property
    def _turns(self) -> dict[Size, list[int]]:
        """For each bucket, the turns (places in the rotation) at which it gets a regularisation photo, ascending."""
        turns: dict[Size, list[int]] = {}
        for turn, index in enumerate(self._rotation):
            turns.setdefault(self.regularisation_placements[index].bucket, []).append(turn)
        return turns

    @cached_property
    def _own_counts(self) -> Counter[Size]:
        counts: Counter[Size] = Counter()
        for placement, repeats in zip(self.placements, self.repeats, strict=True):
            counts[placement.bucket] += repeats
        return counts


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


def _between(places: list[int], begin: int, end: int, size: int) -> int:
    """How many of the ascending `places` (each below `size`) lie in begin…end, counted round the ring."""
    count = bisect_left(places, min(end, size)) - bisect_left(places, begin)
    return count + (bisect_left(places, end - size) if end > size else 0)
