"""What a person may ask of a running job, and what a second press of the same button does."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, locks
from lib_lora_train.files.errors import DiskError
from lib_lora_train.jobs import process
from lib_lora_train.train import events
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.job import Job
from lib_lora_train.train.options import is_table

STRENGTH = {"stop_after_epoch": 1, "pause": 2, "stop": 2, "kill": 3}
"""A request goes before a weaker one; the same again is the next stronger one."""
SILENT_S = 600.0
"""A running job without an event for so long is not responding."""
ENDED = ("done", "stopped", "paused", "failed")
"""What a job's status is when its trainer has told its end."""
_SENTENCES = {
    "stop_after_epoch": "will save and stop at the end of this epoch. Asked again, it stops after this step.",
    "pause": "will save and give the card back after this step. Asked again, it is ended at once.",
    "stop": "will save and stop after this step. Asked again, it is ended at once and its last saved state is kept.",
    "kill": "was ended at once. Its last saved state is kept, and resume goes on from there.",
}


@dataclass(frozen=True)
class Asked:
    """What a job was asked for last, "" for nothing, and when (wall clock, seconds)."""

    command: str
    time: float


def asked(job: Job) -> Asked:
    """What the running job was asked to do, so that the page shows which button was pressed."""
    try:
        told: Any = json.loads((job.folder / "asked.json").read_text("utf-8"))
        command, when = told["command"], float(told["time"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Asked("", 0.0)
    return Asked(command, when) if isinstance(command, str) and command in STRENGTH else Asked("", 0.0)


def ask(job: Job, command: str) -> str:
    """Ask a running job to "stop", "stop_after_epoch" or "pause"; the same again, or a weaker one, escalates.

    After the end of the epoch comes the end of the step, after that the end of the process. Returns the sentence on
    what happens. Raises ConfigError for other commands, StateError when the job runs where it cannot be ended.
    """
    if command not in ("stop", "stop_after_epoch", "pause"):
        raise ConfigError(f"A running job cannot be asked for {command!r}: use stop, stop_after_epoch or pause.")
    if not process.is_running(job):
        return f"The job {job.folder.name} is not running."
    with locks.mutex(job.folder / ".start.lock"):
        before = asked(job).command
        if before and STRENGTH[command] <= STRENGTH[before]:
            command = "stop" if before == "stop_after_epoch" else "kill"
        if command == "kill":
            process.kill(job)
        else:
            job.post(command)
        atomic.write_json(job.folder / "asked.json", {"command": command, "time": time.time()})
    return f"The job {job.folder.name} {_SENTENCES[command]}"


def sample_now(job: Job) -> str:
    """Have a running job draw its samples after this step. Raises ConfigError when there is nothing to draw."""
    if not process.is_running(job):
        return f"The job {job.folder.name} is not running."
    if not job.config().samples.prompts:
        raise ConfigError("This run has no sample prompts; write some under Sample prompts before the next one.")
    job.post("sample_now")
    return f"The job {job.folder.name} will draw its samples after this step."


def kill(job: Job) -> str:
    """End a job at once. Raises StateError when that cannot be done from here."""
    ended = process.kill(job)
    return f"The job {job.folder.name} {_SENTENCES['kill'] if ended else 'is not running.'}"


def resume(job: Job, home: Path) -> subprocess.Popen[bytes]:
    """Start a job that waits, was interrupted, paused, stopped or failed, as it is. Raises ConfigError for others."""
    if process.status(job) == "done":
        raise ConfigError(
            f"The job {job.folder.name} is finished; give it more epochs (loop.epochs) to train it longer."
        )
    return process.start(job, home)


def silence(job: Job) -> float:
    """Seconds since the running job's last event or log line; 0 for a job that does not run."""
    if not process.is_running(job):
        return 0.0
    newest = max((path.stat().st_mtime for path in (job.events, job.file) if path.exists()), default=time.time())
    return max(0.0, time.time() - newest)


def sign_off(job: Job, code: int | None) -> str:
    """Write down the end of a trainer that could not do so itself, so that the reason is in the job and not only in
    an exit code; returns the sentence, "" when the trainer told its end. See `write_end`.
    """
    last = last_event(job, "state", "error")
    told = last.get("kind") == "state" and last.get("status") in ENDED
    return "" if told else write_end(job, code)


def write_end(job: Job, code: int | None) -> str:
    """Write down that a trainer ended without a word; returns the sentence, as it may be that it cannot be written.

    `code` is its exit code, negative for a signal, None when unknown.
    """
    how = (
        "was killed (by the system when main memory runs out, or by hand)"
        if code is not None and code < 0
        else f"ended without a word (exit code {code})"
        if code is not None
        else "is gone"
    )
    message = f"The trainer {how}; resume goes on from the last saved state. The log has its last lines."
    if code == DiskError.exit_code or is_disk_full(job):
        message = full_disk(job)
    with contextlib.suppress(OSError, LoraLoopError):
        log = events.EventLog(job.events).open()
        try:
            log.write("error", name="Interrupted", message=message)
        finally:
            log.close()
    if code == DiskError.exit_code and not process.is_running(job):
        with contextlib.suppress(OSError, LoraLoopError):
            job.update(status="failed", process=None, exit_code=code)
    return message


def full_disk(job: Job) -> str:
    """The sentence of a run whose disk did not even take the reason of its end."""
    return f"The disk of {job.folder} is full or gone, so the run ended; free some space, then resume goes on from the last saved state."


def is_disk_full(job: Job) -> bool:
    """Whether there is no room in the job's folder, not even for its diary."""
    try:
        return shutil.disk_usage(job.folder).free < events.ROOM_BYTES
    except OSError:
        return True


def last_event(job: Job, *kinds: str) -> dict[str, Any]:
    """The newest event of these kinds; empty when there is none of them at the diary's end."""
    size = job.events.stat().st_size if job.events.exists() else 0
    found, _ = events.read_events(job.events, max(0, size - 64_000))
    told = [event for event in found if event["kind"] in kinds]
    return told[-1] if told and is_table(told[-1]) else {}
