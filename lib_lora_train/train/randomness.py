"""Counter-based randomness: every draw is a function of what it is for, never of what was drawn before.

The stream is BLAKE2b over the labelled parts, so two draws share nothing but their seed, and a cache hit, another
batch size, a sample or a resume cannot shift it. (kohya's trainer draws VAE noise and training noise from one
stream: the run that fills its cache and the run that finds it differ for the same seed.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
Part = int | str


def draw(seed: int, *parts: Part) -> int:
    """A 63-bit integer that depends on `seed` and each of `parts`, in order.

    The parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (seed, *parts):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "little"))
        digest.update(text)
    return int.from_bytes(digest.digest(), "little") >> 1


def uniform(seed: int, *parts: Part) -> float:
    """A number in [0, 1) with 53 bits."""
    return (draw(seed, *parts) >> 10) / float(1 << 53)


def shuffled(items: Iterable[T], seed: int, *parts: Part) -> list[T]:
    """`items` in an order drawn for `parts`; equal items keep their places among each other."""
    return [
        item
        for _, item in sorted(
            ((draw(seed, *parts, index), item) for index, item in enumerate(items)), key=lambda pair: pair[0]
        )
    ]
