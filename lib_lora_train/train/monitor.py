"""Notices a run that learns nothing while it can still be mended: each finding is one sentence with its cure.

Two of the guide author's own published runs had died this way (`d` never left 1e-6) and nothing told him.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LOOK_AFTER = 0.05
"""Share of all steps after which a run is judged."""
LOOK_AT_LEAST = 10
"""Steps before which nothing can be said."""
D_GROWTH = 10.0
"""A healthy d of DAdaptAdam or Prodigy has grown at least so much by then (it grows a hundredfold and more)."""
SLOW = 5.0
"""A step that takes so many times the usual is a card that swaps to main memory."""


@dataclass(frozen=True)
class Reading:
    """What one optimizer step shows. `norms` maps each trained part to the length of its gradient."""

    step: int
    norms: Mapping[str, float]
    d: float | None
    seconds: float


@dataclass(frozen=True)
class Finding:
    """A warning: `name` is stable, for the page's buttons."""

    name: str
    message: str


class Monitor:
    """Judges readings; what it remembers is plain, so that it goes into the state and a resumed run agrees."""

    def __init__(self, total_steps: int, facts: dict[str, Any], on_card: bool = True) -> None:
        self._due = max(LOOK_AT_LEAST, round(total_steps * LOOK_AFTER))
        self._facts = facts
        self._on_card = on_card
        self._usual: list[float] = []

    def see(self, reading: Reading) -> Iterator[Finding]:
        """The findings of this step, each told once a run."""
        largest: dict[str, float] = self._facts.setdefault("largest_gradient", {})
        for part, norm in reading.norms.items():
            largest[part] = max(largest.get(part, 0.0), norm)
        if reading.d is not None:
            self._facts.setdefault("first_d", reading.d)
        for finding in (*self._judged(reading, largest), *self._slow(reading)):
            told: list[str] = self._facts.setdefault("told", [])
            if finding.name not in told:
                told.append(finding.name)
                yield finding

    def _judged(self, reading: Reading, largest: Mapping[str, float]) -> Iterator[Finding]:
        if reading.step < self._due:
            return
        for part, norm in largest.items():
            if norm == 0.0:
                yield Finding(
                    f"zero_gradient_{part}",
                    f"The {part} has learned nothing in {reading.step} steps: its gradients are exactly zero. Stop and check its learning rate and, if this stays, report it.",
                )
        first = self._facts.get("first_d")
        if reading.d is not None and first and reading.d < D_GROWTH * first:
            yield Finding(
                "d_not_growing",
                f"The optimizer's own rate has not grown after {reading.step} steps (d = {reading.d:.1e}), so nothing is being learned: "
                "set optimizer.arguments decouple=True and use_bias_correction=True, remove growth_rate, use a smaller batch, or AdamW with a rate of 1e-4.",
            )

    def _slow(self, reading: Reading) -> Iterator[Finding]:
        if not self._on_card:
            return
        self._usual = sorted([*self._usual, reading.seconds])[:50]
        usual = self._usual[len(self._usual) // 2]
        if len(self._usual) >= LOOK_AT_LEAST and reading.seconds > SLOW * usual and reading.seconds > 2.0:
            yield Finding(
                "paging",
                f"Step {reading.step} took {reading.seconds:.1f} s instead of {usual:.1f} s: the card may be using main memory. Close other programs on the card, "
                "lower loop.batch_size or turn on loop.gradient_checkpointing.",
            )


def captions(found: int, total: int, trigger: str) -> Finding | None:
    """Says when no photo has a caption and there is no trigger either."""
    if found or not total:
        return None
    if trigger:
        return Finding(
            "no_captions",
            f"None of the {total} photos has a caption file, so each is trained with the trigger {trigger!r} alone. That is fine for one subject.",
        )
    return Finding(
        "no_captions",
        f"None of the {total} photos has a caption file and no trigger is set: give a trigger, or put a .txt beside each photo.",
    )
