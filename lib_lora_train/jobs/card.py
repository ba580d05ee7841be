"""What would train: what it has, whether a run fits, what to change until it does, and how long the run takes.

torch is never imported here: `nvidia-smi` is asked, or a child with the trainer's packages.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.environment.launch import trainer_command
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.jobs import calibration, cures
from lib_lora_train.train import estimate
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.length import Length
from lib_lora_train.train.estimate import BaseFacts

SMI_S = 5.0
CHILD_S = 60.0
SPARE = 0.95
"""Share of the card's memory that a run may take: the screen needs some too."""
_QUERY = ("--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Card:
    """A GPU; memory in GB of 10^9 bytes; `tflops` is 0 where nobody told. The processor is one without memory."""

    name: str
    total: float
    free: float
    tflops: float = 0.0

    @property
    def is_processor(self) -> bool:
        return self.total == 0.0


@dataclass(frozen=True)
class Fit:
    """A run on a card: memory in GB, seconds where they are known, the sentence, and what was changed to make it fit."""

    needed: float
    has: float
    seconds: float | None
    sentence: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def fits(self) -> bool:
        return self.needed <= self.has


def ask_driver() -> list[Card]:
    """The NVIDIA cards as the driver tells them, within 5 s; empty where there are none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run([command, *_QUERY], capture_output=True, text=True, check=False, timeout=SMI_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return driver_cards(done.stdout) if done.returncode == 0 else []


def driver_cards(text: str) -> list[Card]:
    """The cards in nvidia-smi's table (MiB); lines that cannot be read are left out."""
    found: list[Card] = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        try:
            name, total, free = row
            found.append(Card(name, float(total) * 2**20 / 1e9, float(free) * 2**20 / 1e9))
        except ValueError:
            continue
    return found


def ask_torch(home: Path, limit_s: float = CHILD_S) -> list[Card]:
    """The GPUs that training would use, or else the processor, asked of torch in a child; empty without an environment
    or an answer."""
    try:
        command, variables = trainer_command(home, "lib_lora_train.train.cards", [])
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=limit_s)
        told: Any = json.loads(done.stdout.strip().splitlines()[-1])
        return [Card(str(one["name"]), one["total"] / 1e9, one["free"] / 1e9, float(one["tflops"])) for one in told]
    except (LoraLoopError, OSError, subprocess.TimeoutExpired, ValueError, IndexError, KeyError, TypeError):
        return []


def fit(config: TrainConfig, base: BaseFacts, card: Card, steps: int, home: Path | None = None) -> Fit:
    """Whether the run fits as it is, and how long it takes; corrected by the runs of `home` on this card."""
    known = calibration.learned(home, card.name) if home else calibration.NOTHING
    needed = estimate.memory(config, base).total * known.memory
    seconds = known.seconds(config, base)
    if seconds is None and card.tflops:
        seconds = estimate.step_seconds(config, card.tflops, base)
    whole = seconds * steps if seconds is not None else None
    has = card.total * SPARE
    return Fit(
        needed,
        has,
        whole,
        estimate.sentence(needed, card.total, whole, steps) if needed <= has else _too_much(needed, card, whole, steps),
    )


def processor_seconds(
    config: TrainConfig, base: BaseFacts, processor: Card, length: Length, home: Path | None = None
) -> float | None:
    """Seconds of the whole run, samples too, on the processor; by the runs of `home` where there were some."""
    known = calibration.learned(home, processor.name) if home else calibration.NOTHING
    speed = known.speed or processor.tflops * 1e12 * estimate.PROCESSOR_SHARE
    if not speed:
        return None
    needed = estimate.flops(config, base) * length.steps + estimate.drawing_flops(config, base, length.epochs)
    return needed / speed


def _too_much(needed: float, card: Card, seconds: float | None, steps: int) -> str:
    return estimate.sentence(max(needed, card.total + 0.05), card.total, seconds, steps)


def made_to_fit(config: TrainConfig, base: BaseFacts, card: Card, steps: int, home: Path | None = None) -> Fit:
    """The same with as few changes as make it fit, in the order of the memory cures; the changes are in the answer.

    What does not fit with all of them says so.
    """
    found, changes = fit(config, base, card, steps, home), dict[str, Any]()
    while not found.fits:
        cure = next((one for one in cures.cures("OutOfMemory", config, base) if one.changes and one.saves > 0), None)
        if cure is None:
            break
        changes |= cure.changes
        config = estimate.changed(config, cure.changes)
        found = fit(config, base, card, steps, home)
    return Fit(found.needed, found.has, found.seconds, found.sentence, changes)
