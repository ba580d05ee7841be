"""The random stream: fixed words, fair draws, right odds (chi-square with fixed seeds)."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise, permutations

import pytest

from lib_lora_train.prompt import Expander
from lib_lora_train.prompt.stream import key_of, mix, picks, prompt_key, running, word

CRITICAL = {1: 15.14, 2: 18.42, 3: 21.11, 4: 23.51, 5: 25.74, 8: 31.83, 9: 33.72, 11: 37.37, 15: 44.26, 99: 161.3}
"""Chi-square quantiles at 0.9999."""

FIXED_KEYS = [0x37DA24E92AF8EDF4, 0x587AED61B7AA04FA, 0xD2A3DCEA99480325]
FIXED_WORD = 0x8D2087BAD288BB5C


def chi_square(counts: Counter[str], expected: dict[str, float]) -> float:
    number = sum(counts.values())
    assert set(counts) <= set(expected)
    return sum((counts[key] - number * p) ** 2 / (number * p) for key, p in expected.items())


def test_the_stream_is_fixed() -> None:
    assert mix(0) == 0
    assert mix(1) == 0x5692161D100B05E5
    assert [key_of(text) for text in ("0", "hue", "größe/月")] == FIXED_KEYS
    assert word(prompt_key(7), 3) == FIXED_WORD


def test_picks_end_with_the_weights() -> None:
    assert sorted(picks(5, 4, None)) == [0, 1, 2, 3]
    assert sorted(picks(5, 4, running([2, 0, 1, 0]))) == [0, 2]
    assert sorted(picks(9, 5000, running([1 + i % 7 for i in range(5000)]))) == list(range(5000))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{a|b|c|d}", dict.fromkeys("abcd", 0.25)),
        ("{3::a|b|0.5::c|0::d}", {"a": 6 / 9, "b": 2 / 9, "c": 1 / 9}),
        ("{a|b} {a|b}", dict.fromkeys(("a a", "a b", "b a", "b b"), 0.25)),
        ("__sky__", {"clear": 2 / 9, "cloudy": 6 / 9, "green": 1 / 9}),
        ("{2$$a|3::b|c}", {"b,a": 0.3, "b,c": 0.3, "a,b": 0.15, "c,b": 0.15, "a,c": 0.05, "c,a": 0.05}),
        ("{0-2$$a|b}", {"": 1 / 3, "a": 1 / 6, "b": 1 / 6, "a,b": 1 / 6, "b,a": 1 / 6}),
        ("{3$$$$a|b|c}", dict.fromkeys(map("".join, permutations("abc")), 1 / 6)),
        ("{0::a|0::b}", {"a": 0.5, "b": 0.5}),
        ("${v={a|b}}${v}${v}", dict.fromkeys(("aa", "ab", "ba", "bb"), 0.25)),
    ],
)
def test_odds(expander: Expander, template: str, expected: dict[str, float]) -> None:
    counts = Counter(prompt.text for prompt in expander.batch(template, range(12_000)))
    assert chi_square(counts, expected) < CRITICAL[len(expected) - 1]


def test_weighted_lines_without_repeats(expander: Expander) -> None:
    weights = {"clear": 1.0, "cloudy": 3.0, "green": 0.5}
    expected = {f"{a},{b}": weights[a] / 4.5 * weights[b] / (4.5 - weights[a]) for a, b in permutations(weights, 2)}
    counts = Counter(prompt.text for prompt in expander.batch("{2$$__sky__}", range(12_000)))
    assert chi_square(counts, expected) < CRITICAL[5]


def test_neighbouring_seeds_and_places_are_independent(expander: Expander) -> None:
    ten = "{0|1|2|3|4|5|6|7|8|9}"
    prompts = [prompt.text for prompt in expander.batch(ten * 5, range(8_000))]
    pairs = {f"{a}{b}": 0.01 for a in "0123456789" for b in "0123456789"}
    for i, j in combinations(range(5), 2):
        assert chi_square(Counter(text[i] + text[j] for text in prompts), pairs) < CRITICAL[99]
    following = Counter(a[0] + b[0] for a, b in pairwise(prompts))
    assert chi_square(following, pairs) < CRITICAL[99]
