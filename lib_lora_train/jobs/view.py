"""What a page shows of a job, read from its folder only, and small whatever lies there.

A `Diary` is kept for as long as somebody looks; each look reads only what was written since the last.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files.errors import OutsideRoot
from lib_lora_train.files.roots import Root
from lib_lora_train.jobs import control, cures, curves, process
from lib_lora_train.jobs.cures import Cure
from lib_lora_train.jobs.curves import Point
from lib_lora_train.train import estimate
from lib_lora_train.train import log as logs
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job
from lib_lora_train.train.options import is_table

MOST_BYTES = 64_000
"""Of a view as JSON."""
CHUNK = 4_000_000
"""Bytes of events read in one look; a longer diary takes several."""
MOST_STEPS = 60_000
MOST_MESSAGES = 20
MOST_SAMPLES = 120
MOST_FILES = 60
MOST_TEXT = 600
_PARTS = ("text_encoder", "unet")
Event = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """A warning or an error, as it came, with what helps. Texts are plain: whoever shows them escapes them."""

    kind: str
    name: str
    text: str
    cures: tuple[Cure, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A picture in the job's samples folder; `base` is the one drawn without the LoRA."""

    file: str
    step: int
    epoch: int
    prompt: str
    base: bool


@dataclass(frozen=True)
class File:
    """A LoRA file in the job's out folder; `kept_back` says that it was not copied to the WebUI's."""

    name: str
    step: int
    epoch: int
    bytes: int
    kept_back: bool = False


@dataclass(frozen=True)
class View:
    """One look at a job. Times are seconds; memory is bytes; `curves` are by name ("loss" over
    the last epoch, "each" step's own, "rate unet")."""

    job: str
    status: str
    message: str
    asked: str
    is_silent: bool
    waits_for_card: bool
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None
    images_per_s: float | None
    memory: int
    seconds_left: float | None
    progress: tuple[str, int, int] | None
    curves: Mapping[str, tuple[Point, ...]]
    epoch_ends: tuple[tuple[int, int], ...]
    samples: tuple[Sample, ...]
    files: tuple[File, ...]
    messages: tuple[Message, ...]
    more: bool
    """Whether the diary is longer than one look reads: look again at once."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values of at most MOST_BYTES as JSON; what has to go is the oldest."""
        values = dataclasses.asdict(self)
        values["curves"] = {
            name: [[point.step, _short(point.mean), _short(point.low), _short(point.high)] for point in points]
            for name, points in self.curves.items()
        }
        for name in ("samples", "files", "messages", "epoch_ends"):
            while len(values[name]) > 1 and _size(values) > MOST_BYTES:
                values[name] = values[name][-(len(values[name]) // 2) :]
        if _size(values) > MOST_BYTES:
            values["curves"] = {}
        return values


def _size(values: Mapping[str, Any]) -> int:
    return len(json.dumps(values, ensure_ascii=False).encode("utf-8"))


def _short(number: float) -> float:
    return float(f"{number:.5g}")


@dataclass
class Diary:
    """What is known of a job's events so far."""

    job: Job
    base: estimate.BaseFacts | None = None
    """What memory cures are reckoned with; SD 1.5 without it."""
    _offset: int = field(default=0, init=False)
    _steps: list[int] = field(default_factory=list[int], init=False)
    _epochs: list[int] = field(default_factory=list[int], init=False)
    _loss: list[float] = field(default_factory=list[float], init=False)
    _each: list[float] = field(default_factory=list[float], init=False)
    _seconds: list[float] = field(default_factory=list[float], init=False)
    _rates: dict[str, list[float]] = field(default_factory=dict[str, list[float]], init=False)
    _last: Event = field(default_factory=dict[str, Any], init=False)
    _state: Event = field(default_factory=dict[str, Any], init=False)
    _planned: dict[str, int] = field(default_factory=dict[str, int], init=False)
    _progress: tuple[str, int, int] | None = field(default=None, init=False)
    _samples: dict[str, Sample] = field(default_factory=dict[str, Sample], init=False)
    _files: dict[str, File] = field(default_factory=dict[str, File], init=False)
    _messages: list[Message] = field(default_factory=list[Message], init=False)

    def look(self, first: int = 0, last: int = 2**62, most: int = curves.MOST_POINTS) -> View:
        """The job as it is now; `first` and `last` zoom the curves. Raises StateError when `job.json` is broken."""
        more = self._read()
        status = process.status(self.job)
        config = self._config()
        silent = status == "running" and control.silence(self.job) > control.SILENT_S
        step, steps = self._step(), self._planned.get("steps", 0)
        epoch, epochs = _whole(self._last.get("epoch")), self._planned.get("epochs", 0)
        left = None
        if status == "running" and steps:
            left = curves.time_left(
                self._seconds[-2000:], self._epochs[-2000:], max(0, steps - step), max(0, epochs - epoch)
            )
        places = curves.window(self._steps, first, last)
        chosen = {
            "loss": self._loss,
            "each": self._each,
            **{f"rate {name}": values for name, values in self._rates.items()},
        }
        messages = self._messages[-MOST_MESSAGES:]
        if status == "interrupted" and control.is_disk_full(self.job):
            messages = [*messages, Message("error", "Interrupted", control.full_disk(self.job))]
        return View(
            job=self.job.folder.name,
            status=status,
            message=_text(self._state.get("message", "")),
            asked=control.asked(self.job).command if status == "running" else "",
            is_silent=silent,
            waits_for_card=status == "running" and self._state.get("status") == "waiting",
            step=step,
            steps=steps,
            epoch=epoch,
            epochs=epochs,
            loss=_real(self._last.get("average")),
            images_per_s=_real(self._last.get("images_per_s")),
            memory=_whole(self._last.get("memory")),
            seconds_left=left,
            progress=self._progress,
            curves={
                name: curves.downsample(self._steps[places], values[places], most) for name, values in chosen.items()
            },
            epoch_ends=curves.epoch_ends(self._steps[places], self._epochs[places])[-MOST_SAMPLES:],
            samples=tuple(self._samples.values())[-MOST_SAMPLES:],
            files=tuple(self._files.values())[-MOST_FILES:],
            messages=tuple(self._with_cures(message, config) for message in messages),
            more=more,
        )

    def _read(self) -> bool:
        """Take in what is new; whether there is more than one look reads."""
        size = self.job.events.stat().st_size if self.job.events.exists() else 0
        if size < self._offset:  # the job was begun anew, or somebody cut the file
            vars(self).update(vars(Diary(self.job, self.base)))
        found, self._offset = read_events(self.job.events, self._offset, CHUNK)
        takers: Mapping[str, Callable[[Event], None]] = {
            "step": self._take_step,
            "state": self._take_state,
            "progress": self._take_progress,
            "sample": self._take_sample,
            "saved": self._take_saved,
            "warning": self._take_message,
            "error": self._take_message,
        }
        for event in found:
            takers[event["kind"]](event)
        return self._offset < size and len(found) > 0

    def _step(self) -> int:
        return self._steps[-1] if self._steps else 0

    def _take_step(self, event: Event) -> None:
        step, average, loss = _whole(event.get("step")), _real(event.get("average")), _real(event.get("loss"))
        if step < 1 or average is None or loss is None:
            return
        while self._steps and self._steps[-1] >= step:  # a run that went on from an earlier state does them again
            for values in (self._steps, self._epochs, self._loss, self._each, self._seconds, *self._rates.values()):
                values.pop()
        if len(self._steps) >= MOST_STEPS:  # not of our trainer, which writes fewer
            return
        rates = event.get("d_lr") or event.get("lr")
        for part in _PARTS:
            rate = _real(rates.get(part)) if is_table(rates) else None
            if rate is not None or part in self._rates:
                if part not in self._rates:
                    self._rates[part] = [0.0] * len(self._steps)
                self._rates[part].append(rate or 0.0)
        self._steps.append(step)
        self._epochs.append(_whole(event.get("epoch")))
        self._loss.append(average)
        self._each.append(loss)
        self._seconds.append(_real(event.get("seconds")) or 0.0)
        self._last, self._progress = event, None

    def _take_state(self, event: Event) -> None:
        self._state = event
        for name in ("steps", "epochs"):
            if _whole(event.get(name)):
                self._planned[name] = _whole(event[name])
        if event.get("status") in ("preparing", "running"):  # a new start: what failed before is history
            self._messages = [one for one in self._messages if one.kind != "error"]

    def _take_progress(self, event: Event) -> None:
        done, total = _whole(event.get("done")), _whole(event.get("total"))
        self._progress = (_text(event.get("what", "")), done, total) if done < total else None

    def _take_sample(self, event: Event) -> None:
        name = self._inside(self.job.samples, event.get("file"))
        if name:
            step, epoch = _whole(event.get("step")), _whole(event.get("epoch"))
            self._samples[name] = Sample(name, step, epoch, _text(event.get("prompt", "")), name.endswith("-base.png"))

    def _take_saved(self, event: Event) -> None:
        name = self._inside(self.job.out, event.get("file"))
        if name:
            self._files[name] = File(
                name,
                _whole(event.get("step")),
                _whole(event.get("epoch")),
                _whole(event.get("bytes")),
                event.get("kept_back") is True,
            )

    def _take_message(self, event: Event) -> None:
        message = Message(event["kind"], _text(event.get("name", ""))[:80], _text(event.get("message", "")))
        self._messages = [*(one for one in self._messages if one != message), message][-MOST_MESSAGES:]

    def _with_cures(self, message: Message, config: TrainConfig | None) -> Message:
        if config is None:
            return message
        return dataclasses.replace(message, cures=cures.cures(message.name, config, self.base))

    def _config(self) -> TrainConfig | None:
        try:
            return self.job.config()
        except LoraLoopError:
            return None

    @staticmethod
    def _inside(folder: Path, name: Any) -> str:
        """The name of a file in that folder, or an empty text for one that leads elsewhere."""
        try:
            path = Root(folder).resolve(name) if isinstance(name, str) else None
        except (OutsideRoot, OSError, ValueError):
            return ""
        return path.name if path is not None and path.parent == folder else ""


def tail(job: Job) -> str:
    """The end of the job's log, made safe: at most 64 kB."""
    return logs.tail(job.log)


@dataclass(frozen=True)
class Row:
    """A job in a list."""

    job: str
    name: str
    status: str
    created: float
    step: int
    steps: int
    message: str


@dataclass(frozen=True)
class Page:
    """Some of a home's jobs, newest first, and how many there are in all."""

    rows: tuple[Row, ...]
    total: int


def page(home: Path, first: int = 0, count: int = 20, text: str = "") -> Page:
    """The jobs from the `first` (from 0) whose folder's name holds `text`. Only what is shown is opened."""
    from lib_lora_train.jobs import store

    names = [name for name in store.names(home) if text.lower() in name.lower()]
    chosen = names[max(0, first) : max(0, first) + max(1, min(count, 100))]
    return Page(tuple(row(Job(home / "jobs" / name)) for name in chosen), len(names))


def row(job: Job) -> Row:
    """A job's line, from `job.json` and the end of its diary. A broken one says so."""
    try:
        values, status = job.read(), process.status(job)
    except LoraLoopError as error:
        return Row(job.folder.name, job.folder.name, "broken", 0.0, 0, 0, _text(str(error)))
    config = cast("dict[str, Any]", values["config"])
    size = job.events.stat().st_size if job.events.exists() else 0
    found, _ = read_events(job.events, max(0, size - 16_000))
    step = next((_whole(one.get("step")) for one in reversed(found) if one["kind"] == "step"), 0)
    words = next((one.get("message") for one in reversed(found) if one["kind"] in ("state", "error")), "")
    created = _real(values.get("created")) or 0.0
    return Row(
        job.folder.name,
        _text(config.get("name", "")),
        status,
        created,
        step,
        _whole(values.get("steps")),
        _text(words or ""),
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e30 else None


def _text(value: Any) -> str:
    return logs.plain(value)[:MOST_TEXT] if isinstance(value, str) else ""
