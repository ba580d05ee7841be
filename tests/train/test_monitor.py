"""The monitor speaks once, early, and only when something is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from lib_lora_train.train import monitor
from lib_lora_train.train.monitor import Monitor, Reading


def told(
    readings: list[Reading], total: int = 400, facts: dict[str, Any] | None = None, on_card: bool = True
) -> list[tuple[int, str]]:
    watch = Monitor(total, {} if facts is None else facts, on_card)
    return [(reading.step, finding.name) for reading in readings for finding in watch.see(reading)]


def healthy(step: int, **changes: Any) -> Reading:
    fields = {"norms": {"text_encoder": 0.1, "unet": 0.2}, "d": 1e-6 * 1.2**step, "seconds": 0.5}
    return Reading(step=step, **{**fields, **changes})


def test_a_healthy_run_is_left_in_peace() -> None:
    assert told([healthy(step) for step in range(1, 401)]) == []


def test_zero_gradients_are_named_by_part_within_the_first_twentieth() -> None:
    readings = [healthy(step, norms={"text_encoder": 0.0, "unet": 0.2}) for step in range(1, 401)]
    assert told(readings) == [(20, "zero_gradient_text_encoder")]
    readings[4] = healthy(5)  # it did learn once
    assert told(readings) == []


@pytest.mark.parametrize(
    ("growth", "expected"), [(1.0, [(20, "d_not_growing")]), (1.01, [(20, "d_not_growing")]), (1.2, [])]
)
def test_a_d_that_does_not_grow(growth: float, expected: list[tuple[int, str]]) -> None:
    assert told([healthy(step, d=1e-6 * growth**step) for step in range(1, 60)]) == expected


def test_short_runs_are_judged_after_ten_steps() -> None:
    assert told([healthy(step, norms={"unet": 0.0}, d=None) for step in range(1, 13)], total=12) == [
        (10, "zero_gradient_unet")
    ]


def test_t3_a_step_that_takes_five_times_as_long_is_paging() -> None:
    readings = [healthy(step) for step in range(1, 20)]
    assert told([*readings, healthy(20, seconds=2.6)]) == [(20, "paging")]
    assert told([*readings, healthy(20, seconds=2.6)], on_card=False) == []
    assert told([*readings, healthy(20, seconds=2.4)]) == []
    quick = [healthy(step, seconds=0.01) for step in range(1, 20)]
    assert told([*quick, healthy(20, seconds=1.0)]) == []  # a hiccup is not paging
    assert told([healthy(1, seconds=60.0), *readings[1:]]) == []  # nor is a first step that compiles


def test_what_was_told_is_remembered_over_a_resume() -> None:
    facts: dict[str, Any] = {}
    readings = [healthy(step, d=1e-6) for step in range(1, 30)]
    assert told(readings, facts=facts) == [(20, "d_not_growing")]
    assert told([healthy(30, d=1e-6)], facts=facts) == []
    fresh: dict[str, Any] = {}
    told([healthy(1, d=1e-6)], facts=fresh)
    assert told([healthy(30, d=5e-6)], facts=fresh) == [(30, "d_not_growing")]  # against the first d of all


def test_captions_that_were_not_found() -> None:
    assert monitor.captions(3, 10, "ohwx") is None
    with_trigger, without = monitor.captions(0, 10, "ohwx man"), monitor.captions(0, 10, "")
    assert with_trigger and "'ohwx man' alone" in with_trigger.message
    assert without and "no trigger is set" in without.message
