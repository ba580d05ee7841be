"""The trainer's process of a job: start it once, know it again, ask it for its stack, end it.

A process is known by (pid, time of birth, job), never by its pid alone, so a runner or a page that was started anew
finds the trainers that went on without it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora_train.environment.launch import trainer_command
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import locks, processes
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import Job

WORKER = "lib_lora_train.train.worker"


@dataclass(frozen=True)
class Trainer:
    """The process that a job's file names."""

    pid: int
    born: str
    machine: str
    folder: str


def start(job: Job, home: Path) -> subprocess.Popen[bytes]:
    """Start the trainer in a process group of its own, its words going to the job's log.

    However many ask at once, one trainer starts: the others get ConfigError. Raises TrainerEnvironmentError when its
    packages are missing.
    """
    command, variables = trainer_command(home, WORKER, [str(job.folder)])
    windows_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    with locks.mutex(job.folder / ".start.lock"):
        if is_running(job):
            raise ConfigError(f"The job {job.folder.name} is running already.")
        job.take()  # commands for an earlier process; those that come from now on are for this one
        (job.folder / "asked.json").unlink(missing_ok=True)
        with job.log.open("ab") as log:
            started = subprocess.Popen(
                command,
                env=variables,
                cwd=job.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=not windows_group,
                creationflags=windows_group,
            )
        born = processes.birth(started.pid)
        if born is not None:  # else it has ended already
            job.update(status="running", process=record(job, started.pid, born))
    return started


def record(job: Job, pid: int, born: str) -> dict[str, Any]:
    """What a job's file says of its process."""
    return {"pid": pid, "born": born, "machine": processes.machine(), "folder": str(job.folder)}


def trainer(job: Job) -> Trainer | None:
    """The living trainer of a job on this machine, or None."""
    found: Any = _quietly(job).get("process")
    if not isinstance(found, dict):
        return None
    told = cast("dict[str, Any]", found)
    pid, born, machine, folder = (told.get(name) for name in ("pid", "born", "machine", "folder"))
    if not (isinstance(pid, int) and isinstance(born, str) and isinstance(machine, str) and isinstance(folder, str)):
        return None
    if machine != processes.machine() or folder != str(job.folder) or processes.birth(pid) != born:
        return None
    words = processes.command_line(pid)
    if words is not None and folder not in words:  # the file was changed to name somebody else's process
        return None
    return Trainer(pid, born, machine, folder)


def is_running(job: Job) -> bool:
    """Whether a trainer of this job lives: here by its process, on another machine by the lock that it holds."""
    return trainer(job) is not None or locks.is_held(job.lock)


def _quietly(job: Job) -> dict[str, Any]:
    try:
        return job.read()
    except LoraLoopError:
        return {}


def status(job: Job) -> str:
    """The job's status; "interrupted" for a run whose process is gone. Raises StateError."""
    told = str(job.read().get("status", "queued"))
    return "interrupted" if told == "running" and not is_running(job) else told


def kill(job: Job) -> bool:
    """End the trainer and what it started, at once; the last saved state stays. False when none runs.

    Only a process that proves to be this job's trainer is touched: it holds the job's lock, or is still starting.
    Raises StateError when it runs on another machine or is not ours to end.
    """
    found = trainer(job)
    if found is None:
        if locks.is_held(job.lock):
            where = locks.facts(job.lock).get("machine", "another machine")
            raise StateError(f"The job {job.folder.name} runs on {where}; stop it there.")
        return False
    try:
        processes.kill_group(found.pid)
    except PermissionError as error:
        raise StateError(f"The process of the job {job.folder.name} is not ours to end ({error}).") from error
    return True


def show_stack(job: Job) -> bool:
    """Ask the trainer to write all of its stacks into the log; False where that cannot be asked for.

    A trainer that gives no sign of life for a while does so unasked, on every system.
    """
    found = trainer(job)
    if found is None or not hasattr(signal, "SIGUSR1") or not locks.is_held(job.lock):  # not yet ready for a signal
        return False
    os.kill(found.pid, signal.SIGUSR1)
    return True
