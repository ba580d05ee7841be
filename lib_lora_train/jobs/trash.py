"""Jobs that were deleted lie in `home/trash` until it is emptied, and can be put back."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lib_lora_train.files import atomic, locks
from lib_lora_train.files.errors import OutsideRoot
from lib_lora_train.files.roots import Root
from lib_lora_train.jobs import process, queue, store
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import Job


@dataclass(frozen=True)
class Deleted:
    """A job in the trash, and when it came there (seconds since 1970)."""

    name: str
    deleted: float


def folder(home: Path) -> Path:
    """The trash of a home."""
    return home / "trash"


def delete(home: Path, name: str) -> None:
    """Put a job into the trash. Raises ConfigError when it runs or waits in the queue, StateError for no job's name."""
    with locks.mutex(queue.folder(home) / "queue.lock"):
        job = queue.job_of(home, name)
        if not job.folder.is_dir() or job.folder.is_symlink():
            raise StateError(f"There is no job {name!r} in {home / 'jobs'}.")
        if process.is_running(job):
            raise ConfigError(f"The job {name} is running; stop it first.")
        if any(entry.job == name for entry in queue.read(home).entries):
            raise ConfigError(f"The job {name} is in the queue; take it out first.")
        _move(job.folder, store.free(folder(home), name))


def restore(home: Path, name: str) -> Job:
    """Put a job back where it was. Raises StateError when it is not in the trash, ConfigError when its place is taken."""
    source = _inside(folder(home), name)
    if not source.is_dir():
        raise StateError(f"There is no job {name!r} in the trash.")
    target = home / "jobs" / name
    if target.exists():
        raise ConfigError(f"There is a job {name} again; delete or rename that one first.")
    _move(source, target)
    os.utime(target)
    return Job(target)


def listed(home: Path) -> list[Deleted]:
    """The jobs in the trash, the newest first."""
    if not folder(home).is_dir():
        return []
    found = [
        Deleted(entry.name, entry.stat().st_mtime)
        for entry in os.scandir(folder(home))
        if entry.is_dir(follow_symlinks=False) and Path(entry.path, "job.json").is_file()
    ]
    return sorted(found, key=lambda one: (one.deleted, one.name), reverse=True)


def empty(home: Path, older_than_s: float = 0.0) -> int:
    """Delete for good what has lain in the trash for so long; gives how many jobs were deleted."""
    old = [one for one in listed(home) if time.time() - one.deleted >= older_than_s]
    for one in old:
        shutil.rmtree(folder(home) / one.name, ignore_errors=True)
    return len(old)


def _inside(root: Path, name: str) -> Path:
    try:
        path = Root(root).resolve(name)
    except OutsideRoot as error:
        raise StateError(f"{name[:80]!r} is no job's name.") from error
    if path.parent != root:
        raise StateError(f"{name[:80]!r} is no job's name.")
    return path


def _move(source: Path, target: Path) -> None:
    with atomic.disk_errors(source.name, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    atomic.rename(source, target)
    os.utime(target)  # when it came here
