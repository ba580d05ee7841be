"""The queue: an order of jobs on disk, changed whole or not at all, one program after the other.

It holds names only; what a job is lies in its folder. So it survives every restart, and whoever runs it next goes on
where the last one was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, locks
from lib_lora_train.files.errors import OutsideRoot
from lib_lora_train.files.roots import Root
from lib_lora_train.jobs import process
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import Job

VERSION = 1
MOST_ENTRIES = 1000
MOST_DONE = 500
"""Results kept for the report."""
MOST_BYTES = 4_000_000
RESTING = ("paused", "stopped", "failed", "interrupted")
"""What a job's status says that can be resumed."""
FAR_S = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Entry:
    """A job that waits or runs. `start_at` is seconds since 1970, or None for as soon as it is its turn."""

    job: str
    start_at: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job of the queue ended; times are seconds since 1970."""

    job: str
    status: str
    exit_code: int
    message: str
    started: float
    finished: float


@dataclass(frozen=True)
class Queue:
    """The order, what is over, and how to go on."""

    entries: tuple[Entry, ...] = ()
    done: tuple[Outcome, ...] = ()
    paused: bool = False
    keep_going: bool = True
    """Whether the next job starts after one that failed."""

    def next(self, now: float) -> Entry | None:
        """The first job whose time has come."""
        return next((one for one in self.entries if one.start_at is None or one.start_at <= now), None)

    def position(self, name: str) -> int:
        """The place of a job, from 0. Raises ConfigError when it is not in the queue."""
        for place, entry in enumerate(self.entries):
            if entry.job == name:
                return place
        raise ConfigError(f"The job {name!r} is not in the queue.")


def folder(home: Path) -> Path:
    """Where the queue's files lie."""
    return home / "queue"


def job_of(home: Path, name: str) -> Job:
    """The job of a queue's entry. Raises StateError for a name that leads elsewhere."""
    try:
        path = Root(home / "jobs").resolve(name)
    except OutsideRoot as error:
        raise StateError(f"{name[:80]!r} in the queue is no job's name; remove it.") from error
    if path.parent != home / "jobs":
        raise StateError(f"{name[:80]!r} in the queue is no job's name; remove it.")
    return Job(path)


def read(home: Path) -> Queue:
    """The queue, every field checked; an empty one when there is none yet. Raises StateError."""
    file = folder(home) / "queue.json"
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError("it is far too long")
        values: Any = json.loads(file.read_text("utf-8"))
        return _checked(values)
    except FileNotFoundError:
        return Queue()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StateError(
            f"{file} cannot be used ({error}); move it away and add the jobs again: they are all in {home / 'jobs'}."
        ) from error


def _checked(values: Any) -> Queue:
    if values.get("version") != VERSION:
        raise ValueError(f"it is of version {values.get('version')!r}")
    entries = [_record(Entry, one) for one in values["entries"][:MOST_ENTRIES]]
    done = [_record(Outcome, one) for one in values["done"][-MOST_DONE:]]
    return Queue(tuple(entries), tuple(done), values["paused"] is True, values["keep_going"] is not False)


def _record(kind: type[Any], given: Any) -> Any:
    """A dataclass of plain values, each of the declared type."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = given[field.name]
        wanted = {"str": str, "int": int, "float": (int, float), "float | None": (int, float, type(None))}[
            str(field.type)
        ]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(f"{field.name} is {str(value)[:40]!r}")
        values[field.name] = value
    return kind(**values)


def change(home: Path, edit: Callable[[Queue], Queue]) -> Queue:
    """Read, edit and write the queue with nobody in between; returns the new one."""
    with locks.mutex(folder(home) / "queue.lock"):
        before = read(home)
        after = edit(before)
        if after != before:
            atomic.write_json(folder(home) / "queue.json", {"version": VERSION, **dataclasses.asdict(after)})
    return after


def add(home: Path, names: list[str], start_at: float | None = None, first: bool = False) -> Queue:
    """Put jobs at the end, or before all that do not run yet. Raises ConfigError, StateError."""
    if start_at is not None and not 0 <= start_at < time.time() + FAR_S:
        raise ConfigError("The time to start at lies too far away; give one within the next years.")
    for name in names:
        job_of(home, name).read()

    def edit(queue: Queue) -> Queue:
        there = {entry.job for entry in queue.entries}
        for name in names:
            if name in there:
                raise ConfigError(f"The job {name} is in the queue already.")
            there.add(name)
        if len(there) > MOST_ENTRIES:
            raise ConfigError(f"A queue holds at most {MOST_ENTRIES} jobs.")
        new = tuple(Entry(name, start_at) for name in names)
        fixed = _running(home, queue) if first else len(queue.entries)
        return dataclasses.replace(queue, entries=(*queue.entries[:fixed], *new, *queue.entries[fixed:]))

    return change(home, edit)


def _running(home: Path, queue: Queue) -> int:
    """How many entries at the front run now and so keep their place."""
    return 1 if queue.entries and process.is_running(job_of(home, queue.entries[0].job)) else 0


def moment(text: str, now: datetime) -> float:
    """Seconds since 1970 of "23:30" (the next one) or an ISO date and time, in local time. Raises ConfigError."""
    try:
        if "T" in text or "-" in text:
            return datetime.fromisoformat(text).timestamp()
        clock = datetime.strptime(text, "%H:%M")
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text[:40]!r} is no time to start at: write it as 23:30, or as 2026-12-24T01:00.") from None
    due = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (due if due > now else due + timedelta(days=1)).timestamp()


def move(home: Path, name: str, place: int) -> Queue:
    """Give a waiting job the place `place` (from 1). A job that runs stays first. Raises ConfigError."""

    def edit(queue: Queue) -> Queue:
        old, fixed = queue.position(name), _running(home, queue)
        if old < fixed:
            raise ConfigError(f"The job {name} is running; pause it first.")
        rest = [entry for entry in queue.entries if entry.job != name]
        rest.insert(min(max(place - 1, fixed), len(rest)), queue.entries[old])
        return dataclasses.replace(queue, entries=tuple(rest))

    return change(home, edit)


def remove(home: Path, name: str) -> Queue:
    """Take a waiting job out of the queue; its folder stays. Raises ConfigError for one that runs."""

    def edit(queue: Queue) -> Queue:
        if queue.position(name) < _running(home, queue):
            raise ConfigError(f"The job {name} is running; stop it first.")
        return dataclasses.replace(queue, entries=tuple(one for one in queue.entries if one.job != name))

    return change(home, edit)


def schedule(home: Path, name: str, start_at: float | None) -> Queue:
    """Let a waiting job start no sooner than `start_at` (None: when it is its turn). Raises ConfigError."""

    def edit(queue: Queue) -> Queue:
        place, entries = queue.position(name), list(queue.entries)
        entries[place] = dataclasses.replace(entries[place], start_at=start_at)
        return dataclasses.replace(queue, entries=tuple(entries))

    return change(home, edit)


def pause(home: Path, paused: bool = True) -> Queue:
    """Let no further job start, or let them start again, paused ones too. What runs goes on."""

    def edit(queue: Queue) -> Queue:
        for entry in () if paused else queue.entries:
            _wake(home, entry.job, ("paused",))
        return dataclasses.replace(queue, paused=paused)

    return change(home, edit)


def resume(home: Path, name: str) -> Queue:
    """Let a job that rests go on before all that wait, and let jobs start. Raises ConfigError, StateError."""
    job_of(home, name).read()

    def edit(queue: Queue) -> Queue:
        rest = tuple(entry for entry in queue.entries if entry.job != name)
        if len(rest) >= MOST_ENTRIES:
            raise ConfigError(f"A queue holds at most {MOST_ENTRIES} jobs.")
        _wake(home, name, RESTING)
        fixed = _running(home, dataclasses.replace(queue, entries=rest))
        return dataclasses.replace(queue, entries=(*rest[:fixed], Entry(name), *rest[fixed:]), paused=False)

    return change(home, edit)


def _wake(home: Path, name: str, resting: tuple[str, ...]) -> None:
    """Mark a job that rests as waiting, which tells its runner, under the queue's lock, that it is to go on."""
    with contextlib.suppress(LoraLoopError):  # a broken job is told when it is its turn
        job = job_of(home, name)
        if process.status(job) in resting:
            job.update(status="queued")


def keep_going(home: Path, after_failure: bool) -> Queue:
    """Whether the next job starts after one that failed."""
    return change(home, lambda queue: dataclasses.replace(queue, keep_going=after_failure))


def settle(home: Path, outcome: Outcome, ran: bool) -> Queue:
    """Write down how a job ended: it leaves the queue, but a paused one keeps its place and the queue waits with it.

    A job that `ran` and was resumed since then keeps its place and is not waited for: whoever pressed last decides.
    """

    def edit(queue: Queue) -> Queue:
        if ran and _is_resumed(home, outcome.job):
            return queue
        if outcome.status == "paused":
            return dataclasses.replace(queue, paused=True)
        left = tuple(one for one in queue.entries if one.job != outcome.job)
        stops = outcome.status not in ("done", "stopped") and not queue.keep_going and bool(left)
        done = (*queue.done, outcome)[-MOST_DONE:]
        return dataclasses.replace(queue, entries=left, done=done, paused=queue.paused or stops)

    return change(home, edit)


def _is_resumed(home: Path, name: str) -> bool:
    try:
        return process.status(job_of(home, name)) == "queued"
    except LoraLoopError:
        return False


def forget_done(home: Path) -> Queue:
    """Begin the next report anew."""
    return change(home, lambda queue: dataclasses.replace(queue, done=()))


def bring_first(home: Path, name: str) -> Queue:
    """Put a job that runs, or is about to, at the front."""

    def edit(queue: Queue) -> Queue:
        place = queue.position(name)
        rest = tuple(one for one in queue.entries if one.job != name)
        return dataclasses.replace(queue, entries=(queue.entries[place], *rest))

    return change(home, edit)


def known_jobs(home: Path) -> set[str]:
    """The names in the queue."""
    return {entry.job for entry in read(home).entries}
