"""The random stream: a documented function of (seed, path), the same on every system and Python version.

`key_of(text)` is BLAKE2b with a digest of 8 bytes (little endian) and the personalisation `lora-loop-1`.
A prompt's key is `key_of("seed/role/attempt")`; the key of a choice is `prompt key XOR key_of(path)`; its words are
`mix(key + k * GOLDEN mod 2**64)` for k = 0, 1, …, where `mix` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
A word w picks one of n by `w * n >> 64`, so no outcome is off by more than 2**-64. Integers only: no float is drawn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import blake2b

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
_HASH = blake2b(digest_size=8, person=b"lora-loop-1")


def key_of(text: str) -> int:
    """64 bits made of `text`."""
    hashed = _HASH.copy()
    hashed.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "little")


def prompt_key(seed: int, role: str = "", attempt: int = 0) -> int:
    """The key of one prompt. `role` keeps the negative and hires prompts' draws apart; `attempt` is for redraws."""
    return key_of(f"{seed}/{role}/{attempt}")


def seed_of(*parts: object) -> int:
    """A seed made of several things, such as (seed, image, epoch): the same parts give the same 63 bits everywhere."""
    return key_of("/".join(map(str, parts))) >> 1


def mix(value: int) -> int:
    """Scramble 64 bits (a bijection)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def word(key: int, counter: int) -> int:
    """The word number `counter` of the stream `key`."""
    return mix(key + counter * GOLDEN & MASK)


def pick(key: int, size: int, cumulative: Sequence[int] | None) -> int:
    """One of 0 … size-1, by the word 0; `cumulative` holds the running sums of the weights, None means equal weights.

    `mix` is written out: nearly all draws are made here.
    """
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    key = (key ^ (key >> 27)) * 0x94D049BB133111EB & MASK
    key ^= key >> 31
    return key * size >> 64 if cumulative is None else bisect_right(cumulative, key * cumulative[-1] >> 64)


def picks(key: int, size: int, cumulative: Sequence[int] | None) -> Iterator[int]:
    """Different indices in drawn order, each by its weight among those left; counters start at 1. Weight 0 never comes.

    A draw that hits a taken index is drawn again; the list is rebuilt when more than half of the weight is taken, so
    the expected cost of a pick stays constant however many are taken.
    """
    alive: Sequence[int] | None = None
    sums = cumulative
    left = cumulative[-1] if cumulative is not None else size
    total, counter = left, 0
    taken: set[int] = set()
    while left > 0:
        counter += 1
        place = word(key, counter) * total >> 64
        place = place if sums is None else bisect_right(sums, place)
        index = place if alive is None else alive[place]
        if index in taken:
            continue
        taken.add(index)
        left -= 1 if cumulative is None else weight(cumulative, index)
        yield index
        if left * 2 < total and left > 0:
            source = range(size) if alive is None else alive
            alive = [i for i in source if i not in taken and (cumulative is None or weight(cumulative, i))]
            taken = set()
            sums = None if cumulative is None else running([weight(cumulative, i) for i in alive])
            total = left


def weight(cumulative: Sequence[int], index: int) -> int:
    """The weight of one index, out of the running sums."""
    return cumulative[index] - (cumulative[index - 1] if index else 0)


def running(weights: Sequence[int]) -> list[int]:
    """The running sums of `weights`."""
    sums, total = list[int](), 0
    for value in weights:
        total += value
        sums.append(total)
    return sums
