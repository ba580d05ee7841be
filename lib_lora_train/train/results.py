"""The files people get: numbered epochs, the final file, their cards, and the copies in the host's folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.files import card
from lib_lora_train.files.errors import DiskError
from lib_lora_train.train import metadata
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.card import write_card
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.photos import counted
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.export import Written, write_lora
from lib_lora_train.train.metadata import Facts, Moment

RETRY_EVERY = 10.0
"""Seconds between tries at the end of a run whose disk is full."""


def now() -> float:
    """Seconds since 1970; SOURCE_DATE_EPOCH fixes it for files that must be the same bytes again."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    return float(fixed) if fixed else time.time()


def epoch_name(name: str, epoch: int) -> str:
    return f"{name}-{epoch:06d}"


def step_name(name: str, step: int) -> str:
    return f"{name}-step{step:08d}"


@dataclass
class Results:
    """Writes LoRA files into `folder` and says so in the diary."""

    folder: Path
    config: TrainConfig
    adapter: Adapter
    facts: Facts
    log: EventLog
    preview: Callable[[], Path | None] = field(default=lambda: None)

    def save(self, name: str, moment: Moment, keep_back: bool = False) -> Written:
        """Write `NAME.safetensors` with card and copies, and check it; with `keep_back` there is no copy.

        Raises DiskError, TrainError or NotFinite.
        """
        texts = metadata.metadata(self.config, self.facts, name=name, moment=moment, finished=now())
        written = write_lora(self.folder / f"{name}.safetensors", self.adapter, self.config.save.precision, texts)
        photos = sum(folder["img_count"] for folder in self.facts.folders.values())
        summary = (
            f"Trained for {counted(moment.step, 'step', 'steps')} ({counted(moment.epoch, 'epoch', 'epochs')}) "
            f"on {counted(photos, 'photo', 'photos')} from {self.facts.base_name}."
        )
        write_card(written.path, self.config, self.facts.family, summary, self.preview())
        self.log.write(
            "saved",
            file=written.path.name,
            step=moment.step,
            epoch=moment.epoch,
            loss=moment.loss,
            held_out=moment.held_out,
            bytes=written.size,
            matched=written.matched,
            expected=written.expected,
            hash=written.model_hash,
            **({"kept_back": True} if keep_back else {}),
        )
        if not keep_back:
            self._copy(written.path)
        return written

    def try_save(self, name: str, moment: Moment, keep_back: bool = False) -> bool:
        """Save; a disk that is full or gone is a warning and False, for training can go on and save later."""
        try:
            self.save(name, moment, keep_back)
        except DiskError as error:
            self.log.write("warning", name="disk", message=f"{error} Training goes on; the next save tries again.")
            return False
        return True

    def save_at_last(self, name: str, moment: Moment) -> Written:
        """Save, waiting up to `save.patience` seconds for a disk that is full or gone. Raises DiskError after that."""
        deadline = time.monotonic() + self.config.save.patience
        while True:
            try:
                return self.save(name, moment)
            except DiskError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                self.log.write(
                    "warning",
                    name="disk",
                    message=f"{error} The finished LoRA is still in memory: trying for {left:.0f} s more.",
                )
                time.sleep(min(RETRY_EVERY, left))

    def prune(self) -> None:
        """Remove all but the newest `save.keep` numbered files, never the one under the plain name."""
        keep = self.config.save.keep
        if not keep:
            return
        pattern = re.compile(re.escape(self.config.name) + r"-(step)?(\d+)\.safetensors")
        numbered = [path for path in self.folder.glob("*.safetensors") if pattern.fullmatch(path.name)]
        for path in sorted(numbered, key=lambda path: path.stat().st_mtime_ns, reverse=True)[keep:]:
            try:
                for sibling in (path, path.with_suffix(".json"), path.with_suffix(".png")):
                    sibling.unlink(missing_ok=True)
            except OSError as error:
                self.log.write(
                    "warning",
                    name="prune",
                    message=f"The old file {path.name} could not be removed ({error.strerror}); remove it by hand if the disk is short.",
                )

    def _copy(self, path: Path) -> None:
        """Put the file and its card into the host's folder; a failure there costs nothing that was saved."""
        if not self.config.save.copy_to:
            return
        target = Path(self.config.save.copy_to)
        try:
            card.copy(path, target)
        except DiskError as error:
            self.log.write("warning", name="copy", message=f"{error} The file itself is safe in the job's out folder.")
