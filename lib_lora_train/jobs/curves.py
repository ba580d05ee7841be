"""Curves for a page: many points in, few out, nothing that matters lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MOST_POINTS = 200


@dataclass(frozen=True)
class Point:
    """A stretch of a curve: the step at its end, and the mean, least and largest value in it."""

    step: int
    mean: float
    low: float
    high: float


def downsample(steps: Sequence[int], values: Sequence[float], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """At most `most` stretches of about as many points each; a peak stays visible in its stretch's `high`."""
    count = min(len(steps), len(values))
    if not count or most < 1:
        return ()
    found: list[Point] = []
    for index in range(min(most, count)):
        first, last = index * count // min(most, count), (index + 1) * count // min(most, count)
        part = values[first:last]
        found.append(Point(steps[last - 1], sum(part) / len(part), min(part), max(part)))
    return tuple(found)


def window(steps: Sequence[int], first: int, last: int) -> slice:
    """The places of the steps from `first` to `last`, for a zoom; `steps` rises."""
    import bisect

    return slice(bisect.bisect_left(steps, first), bisect.bisect_right(steps, last))


def epoch_ends(steps: Sequence[int], epochs: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(epoch, its last step so far) in order, for the marks."""
    ends: dict[int, int] = {}
    for step, epoch in zip(steps, epochs, strict=True):
        ends[epoch] = step
    return tuple(sorted(ends.items()))


def time_left(seconds: Sequence[float], epochs: Sequence[int], steps_left: int, epochs_left: float) -> float | None:
    """Seconds to the end, or None when nothing is known yet.

    From the steps' own durations, which are of a monotonic clock: the median, so that a laptop's sleep or one stall
    is forgotten, and for what comes once an epoch (samples, files) the median of what epochs took beyond it.
    """
    if not seconds:
        return None
    usual = median(seconds[-200:])
    beyond: dict[int, float] = {}
    for epoch, duration in zip(epochs, seconds, strict=True):
        beyond[epoch] = beyond.get(epoch, 0.0) + (duration - usual if duration > 3 * usual else 0.0)
    finished = [extra for _, extra in sorted(beyond.items())[1:]][-5:]  # what an epoch ends with is timed in the next
    return usual * steps_left + (median(finished) if finished else 0.0) * epochs_left
