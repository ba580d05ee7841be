"""Draws are fixed numbers: another Python, system or version must give the same run."""

from __future__ import annotations

import hashlib

from lib_lora_train.train.randomness import draw, shuffled, uniform

GOLDEN = (1887154467326967967, 8171099546652506753)
GOLDEN_ORDER = list("hcbdfage")


def test_golden_numbers() -> None:
    def expected(*parts: bytes) -> int:
        data = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") // 2

    assert draw(1234, "noise", "photo", 0, 1) == expected(b"int:1234", b"str:noise", b"str:photo", b"int:0", b"int:1")
    assert draw(0) == GOLDEN[0]
    assert draw(1234, "noise", "photo", 0, 1) == GOLDEN[1]
    assert shuffled("abcdefgh", 7, "tags") == GOLDEN_ORDER


def test_parts_are_told_apart() -> None:
    draws = [
        draw(1, "ab", "c"),
        draw(1, "a", "bc"),
        draw(1, "abc"),
        draw(1, 2),
        draw(1, "2"),
        draw(12),
        draw(2, "ab", "c"),
    ]
    assert len(set(draws)) == len(draws)


def test_uniform_is_uniform() -> None:
    numbers = [uniform(3, "x", index) for index in range(4000)]
    assert min(numbers) >= 0 and max(numbers) < 1
    counts = [sum(step / 10 <= number < (step + 1) / 10 for number in numbers) for step in range(10)]
    assert all(320 < count < 480 for count in counts)  # mean 400, deviation 19


def test_every_order_comes_up() -> None:
    orders = {tuple(shuffled("abc", 1, "epoch", epoch)) for epoch in range(60)}
    assert len(orders) == 6
    assert sorted(shuffled("aab", 5)) == ["a", "a", "b"]
