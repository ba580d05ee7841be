"""What finished runs really took, to correct the estimate of the next one on the same card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import store
from lib_lora_train.train import estimate
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.estimate import BaseFacts

LOOKED_AT = 50
"""Newest jobs that are opened."""
WIDEST = 3.0
"""A run that took so many times more or less than was reckoned was disturbed, and teaches nothing."""


@dataclass(frozen=True)
class Learned:
    """`memory` is what the estimate is multiplied by; `speed` is operations a second that the card reached, or None."""

    memory: float = 1.0
    speed: float | None = None

    def seconds(self, config: TrainConfig, base: BaseFacts) -> float | None:
        """Seconds of one step of `config`, or None when no run on this card was timed."""
        return estimate.flops(config, base) / self.speed if self.speed else None


NOTHING = Learned()


def learned(home: Path, card: str) -> Learned:
    """The medians over the finished runs of a home on the card of that name."""
    memory, speed = list[float](), list[float]()
    for config, base, peak, seconds in _measured(home, card):
        ratio = peak / (estimate.memory(config, base).total * estimate.GB)
        if peak and 1 / WIDEST < ratio < WIDEST:
            memory.append(ratio)
        if seconds:
            speed.append(estimate.flops(config, base) / seconds)
    return Learned(estimate.middle(memory) or 1.0, estimate.middle(speed))


def _measured(home: Path, card: str) -> Iterator[tuple[TrainConfig, BaseFacts, float, float]]:
    for name in store.names(home)[:LOOKED_AT]:
        try:
            job = store.find(name, home)
            told: Any = job.read().get("measured")
            config = job.config()
            if not isinstance(told, dict) or cast("dict[str, Any]", told).get("card") != card:
                continue
            measured = cast("dict[str, Any]", told)
            numbers = [float(measured[key]) for key in ("peak_bytes", "step_seconds")]
            base = estimate.base_facts(Path(config.base.path))
        except (LoraLoopError, KeyError, TypeError, ValueError):
            continue
        yield config, base, numbers[0], numbers[1]
