"""Chances that are the same on every computer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")


class Dice:
    """A stream of chances from a seed. Uses nothing of the library but `random()`, whose stream is guaranteed."""

    def __init__(self, *seed: object) -> None:
        self._random = random.Random(repr(seed)).random

    def between(self, low: float, high: float) -> float:
        """A number from `low` up to `high`."""
        return low + (high - low) * self._random()

    def chance(self, share: float) -> bool:
        """True in `share` (0 … 1) of all throws."""
        return self._random() < share

    def pick(self, values: Sequence[Value]) -> Value:
        """One of `values`, all alike."""
        return values[int(self._random() * len(values))]

    def order(self, values: Sequence[Value]) -> list[Value]:
        """All of `values`, shuffled."""
        return [value for _, value in sorted(((self._random(), value) for value in values), key=lambda pair: pair[0])]
