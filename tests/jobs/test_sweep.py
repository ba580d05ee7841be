"""Comma lists make the product; each run has a name of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.jobs import sweep as sweeps
from lib_lora_train.jobs.sweep import sweep
from lib_lora_train.train.errors import ConfigError

BASE: dict[str, Any] = {"name": "cat", "samples": {"prompts": ["a, b"]}}


def test_the_product_in_order_with_names() -> None:
    found = sweep(BASE, {"adapter.rank": "8, 16,8", "optimizer.learning_rate": "1e-4,5e-5", "seed": "7"})
    assert [one.name for one in found.variants] == [
        "cat-rank8-learning_rate0.0001",
        "cat-rank8-learning_rate5e-05",
        "cat-rank16-learning_rate0.0001",
        "cat-rank16-learning_rate5e-05",
    ]
    assert [one.config.adapter.rank for one in found.variants] == [8, 8, 16, 16]
    assert {one.config.seed for one in found.variants} == {7} and found.sentence.startswith("4 runs: cat-rank8")


def test_what_holds_commas_by_nature_is_not_swept() -> None:
    found = sweep(BASE, {"trigger": "ohwx, blue", "samples.prompts": "x, y", "dataset.path": "/a,b"})
    [one] = found.variants
    assert (one.name, one.config.trigger, one.config.samples.prompts, one.config.dataset.path) == (
        "cat",
        "ohwx, blue",
        ["x", "y"],
        "/a,b",
    )


def test_choices_switches_and_none_are() -> None:
    chosen = {
        "loop.precision": "bf16,fp32",
        "adapter.text_encoder": "on,off",
        "optimizer.text_encoder_rate": "none,1e-5",
    }
    found = sweep(BASE, chosen)
    assert len(found.variants) == len({one.name for one in found.variants}) == 8


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"adapter.rank": ",".join(map(str, range(1, 40))), "seed": "1,2"}, "39 x 2 = 78 runs"),
        ({"adapter.rank": ",".join(["1"] * 1000)}, "64 runs are the most"),
        ({"adapter.rank": "8,0"}, "out of range"),
        ({"adapter.rnk": "8,9"}, "did you mean adapter.rank"),
    ],
)
def test_what_is_refused(chosen: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sweep(BASE, chosen)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=8), st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_as_many_runs_as_the_product_and_no_name_twice(ranks: list[int], seeds: list[int]) -> None:
    found = sweep(BASE, {"adapter.rank": ",".join(map(str, ranks)), "seed": ",".join(map(str, seeds))})
    assert len(found.variants) == len(set(ranks)) * len(set(seeds)) <= sweeps.MOST_RUNS
    assert len({one.name.lower() for one in found.variants}) == len(found.variants)
