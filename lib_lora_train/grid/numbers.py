"""Numbers beside each epoch that come from the training itself: its loss, and its held-out loss where there was one."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files.reading import MOST_NOTES, opened
from lib_lora_train.grid.discover import Epoch

LOSS_KEYS = ("ss_lora_loop_loss", "ss_loss", "loss")
HELD_OUT_KEYS = ("ss_lora_loop_held_out_loss", "ss_validation_loss", "validation_loss")


@dataclass(frozen=True)
class Losses:
    """The mean training loss of an epoch, and the loss on photos that were held out; None where nobody wrote it down."""

    training: float | None = None
    held_out: float | None = None


def losses(epochs: Sequence[Epoch], job: Path | None = None) -> dict[str, Losses]:
    """The losses of each epoch by name: from its metadata, else from the diary of the job that trained it."""
    training, held_out = _diary(job / "events.jsonl") if job else ({}, {})
    found: dict[str, Losses] = {}
    for epoch in epochs:
        number = epoch.epoch if epoch.epoch is not None else -1
        in_metadata = [_first(epoch.file.metadata, keys) for keys in (LOSS_KEYS, HELD_OUT_KEYS)]
        found[epoch.name] = Losses(
            training.get(number) if in_metadata[0] is None else in_metadata[0],
            held_out.get(number) if in_metadata[1] is None else in_metadata[1],
        )
    return found


def _diary(path: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Mean training loss and last held-out loss by epoch. A resumed run repeats steps: the last of each counts."""
    steps: dict[int, tuple[int, float]] = {}
    held_out: dict[int, float] = {}
    for event in _events(path):
        epoch, step = event.get("epoch"), event.get("step")
        if not isinstance(epoch, int) or not isinstance(step, int):
            continue
        loss, other = _number(event.get("loss")), _number(event.get("held_out"))
        if event.get("kind") == "step" and loss is not None:
            steps[step] = epoch, loss
        if other is not None:
            held_out[epoch] = other
    by_epoch: defaultdict[int, list[float]] = defaultdict(list)
    for epoch, loss in steps.values():
        by_epoch[epoch].append(loss)
    return {epoch: sum(values) / len(values) for epoch, values in by_epoch.items()}, held_out


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with opened(path, MOST_NOTES) as stream:
            for line in stream:
                try:
                    event: Any = json.loads(line)
                except (ValueError, RecursionError):  # torn by a kill
                    continue
                if isinstance(event, dict):
                    yield cast("dict[str, Any]", event)
    except OSError:
        return


def _first(metadata: Mapping[str, str], keys: Sequence[str]) -> float | None:
    return next((value for key in keys if (value := _number(metadata.get(key))) is not None), None)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
