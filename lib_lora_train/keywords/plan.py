"""From what each image needs to batches: one batch has one set of settings, and models are loaded as seldom as can be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What one image needs of its batch: `loads` are files, the dearest first (checkpoint, VAE); `rest` is all else."""

    loads: tuple[str, ...] = ()
    rest: Hashable = None


@dataclass(frozen=True)
class Part:
    """Some batches of equal needs, made by one job: `images` are numbers in the person's order, `len(images)` is a
    multiple of `batch_size`."""

    images: tuple[int, ...]
    batch_size: int

    @property
    def batches(self) -> int:
        """How many batches the part has."""
        return len(self.images) // self.batch_size


@dataclass(frozen=True)
class Plan:
    """The parts in the order in which they are made."""

    parts: tuple[Part, ...]
    loads: int
    kinds: int
    batch_size: int

    @property
    def order(self) -> tuple[int, ...]:
        """The image numbers in the order in which they are made."""
        return tuple(number for part in self.parts for number in part.images)

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return sum(part.batches for part in self.parts)

    @property
    def is_simple(self) -> bool:
        """Whether this is what the WebUI would do by itself: one part."""
        return len(self.parts) == 1

    def words(self) -> str:
        """What was done, for people; empty when nothing was."""
        if self.kinds < 2:
            return ""
        images = len(self.order)
        most = -(-images // self.batch_size)
        moved = self.order != tuple(sorted(self.order))
        if self.batches == most and not moved:
            return ""
        text = f"{images} images in {self.batches} batches, for {self.kinds} different sets of settings"
        if self.batches > most:
            text += f" ({most} batches of {self.batch_size} would have mixed them)"
        if moved:
            text += "; made in the order that loads least, shown in yours"
        return f"{text}; {self.loads} model load{'' if self.loads == 1 else 's'}."


def plan(needs: Sequence[Needs], batch_size: int, loaded: tuple[str, ...] = (), alone: bool = False) -> Plan:
    """The least loading order. `loaded` is what is in memory now; `alone` gives each batch a part of its own.

    Images of equal needs come together; needs come by their loads (what is loaded first, then by first appearance), so
    that every combination of loads is loaded once at most.
    """
    groups: dict[Needs, list[int]] = {}
    for number, need in enumerate(needs):
        groups.setdefault(need, []).append(number)
    ordered = _ordered(list(groups), loaded, 0)
    parts: list[Part] = []
    for need in ordered:
        parts += _parts(groups[need], batch_size, alone)
    changes = 0
    current = loaded
    for need in ordered:
        if need.loads and need.loads != current:
            changes += 1
            current = need.loads
    return Plan(tuple(parts), changes, len(groups), batch_size)


def _ordered(needs: list[Needs], loaded: tuple[str, ...], level: int) -> list[Needs]:
    """By loads level by level, stable, the loaded one first."""
    depth = max((len(need.loads) for need in needs), default=0)
    if level >= depth:
        return needs
    by_load: dict[str, list[Needs]] = {}
    for need in needs:
        by_load.setdefault(need.loads[level] if level < len(need.loads) else "", []).append(need)
    here = loaded[level] if level < len(loaded) else None
    first = [load for load in by_load if load == here]
    names = [*first, *(load for load in by_load if load != here)]
    ordered: list[Needs] = []
    for name in names:
        ordered += _ordered(by_load[name], loaded if name == here else (), level + 1)
    return ordered


def _parts(images: list[int], batch_size: int, alone: bool) -> list[Part]:
    whole = len(images) - len(images) % batch_size
    step = batch_size if alone else max(whole, 1)
    parts = [Part(tuple(images[at : at + step]), batch_size) for at in range(0, whole, step)]
    if whole < len(images):
        parts.append(Part(tuple(images[whole:]), len(images) - whole))
    return parts
