"""Which indices a place draws: at random, every combination in turn, or one after the other."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from math import gcd

from lib_lora_train.prompt.stream import pick, picks, weight

RANDOM, ALL, CYCLE = "~", "!", "@"
FEW = 64


class Odometer:
    """Walks through every combination of choices without knowing them beforehand: the last one turns fastest.

    A prompt is drawn again for each combination; the first choices it asks for are answered from `digits`, the others
    by 0. `advance` turns the last digit that can still turn.
    """

    def __init__(self) -> None:
        self.digits: list[int] = []
        self.sizes: list[int] = []
        self.cursor = 0

    def next(self, size: int) -> int:
        """The digit of the choice that is asked for now, one of `size`."""
        if size <= 1:
            return 0
        if self.cursor == len(self.digits):
            self.digits.append(0)
            self.sizes.append(size)
        self.cursor += 1
        # What `~` draws anew for each combination may ask for a smaller choice here than the time before.
        return min(self.digits[self.cursor - 1], size - 1)

    def advance(self) -> bool:
        """Go to the next combination; False after the last."""
        del self.digits[self.cursor :], self.sizes[self.cursor :]
        self.cursor = 0
        while self.digits and self.digits[-1] + 1 >= self.sizes[-1]:
            self.digits.pop()
            self.sizes.pop()
        if not self.digits:
            return False
        self.digits[-1] += 1
        return True


def clamp(low: int, high: int | None, size: int) -> tuple[int, int]:
    """The bounds of a count that fit `size` options."""
    most = size if high is None else min(high, size)
    return min(low, most), most


def random_count(key: int, low: int, high: int) -> int:
    """How many are picked: uniform over low … high; it is the word 0 of the place."""
    return low + pick(key, high - low + 1, None) if high > low else low


def random_picks(key: int, count: int, size: int, cumulative: Sequence[int] | None) -> list[int]:
    """`count` different indices at random."""
    drawn = picks(key, size, cumulative)
    return [index for _, index in zip(range(count), drawn)]  # noqa: B905 - the stream may end first (weights 0)


def turned_picks(odometer: Odometer, low: int, high: int, size: int) -> list[int]:
    """A combination in turn: first by count, then as permutations in the written order."""
    count = low + odometer.next(high - low + 1)
    return _unskip([odometer.next(size - place) for place in range(count)], size)


def cycled_picks(turn: Callable[[int], int], low: int, high: int, size: int) -> list[int]:
    """The permutation that comes now; `turn(n)` says which of n."""
    totals = [permutations(size, low)]
    for count in range(low, high):
        totals.append(totals[-1] * (size - count))
    rest = turn(sum(totals))
    count = low
    while rest >= totals[count - low]:
        rest -= totals[count - low]
        count += 1
    digits: list[int] = []
    for place in reversed(range(count)):
        rest, digit = divmod(rest, size - place)
        digits.append(digit)
    return _unskip(digits[::-1], size)


def permutations(size: int, count: int) -> int:
    """How many ordered picks of `count` out of `size` there are."""
    total = 1
    for place in range(count):
        total *= size - place
    return total


def cycle_length(size: int, cumulative: Sequence[int] | None) -> tuple[int, int]:
    """How long a cycle is in which each value comes as often as its weight says, and the weight of one step."""
    if cumulative is None:
        return size, 0
    step = 0
    for index in range(size):
        step = gcd(step, weight(cumulative, index))
    return cumulative[-1] // step, step


def _unskip(digits: Sequence[int], size: int) -> list[int]:
    """Indices out of digits that each count only what is left of `size`."""
    if len(digits) > FEW:
        left = list(range(size))
        return [left.pop(digit) for digit in digits]
    taken: list[int] = []
    found: list[int] = []
    for digit in digits:
        for other in taken:
            if other > digit:
                break
            digit += 1
        found.append(digit)
        insort(taken, digit)
    return found
