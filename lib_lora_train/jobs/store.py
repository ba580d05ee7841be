"""Job folders: made, found, listed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from lib_lora_train import __version__
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic
from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import config as configs
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import VERSION, Job, file_stamp


def create(config: TrainConfig, home: Path, folder: Path | None = None) -> Job:
    """A new job folder under `home/jobs` (or `folder`), queued. Raises ConfigError when its files would replace others.

    Relative paths in the config are made absolute, so that the job runs from anywhere.
    """
    if not config.name:
        raise ConfigError('name is empty: give the LoRA a name, such as name = "ohwx-man".')
    _require_free_name(config, home)
    now = time.time()
    stamp = datetime.fromtimestamp(now).strftime("%Y%m%d-%H%M")
    target = folder or free(home / "jobs", f"{stamp}-{safe_name(config.name)}")
    if target.exists() and any(target.iterdir()):
        raise ConfigError(f"{target} is not empty: choose another folder, or resume the job in it.")
    with atomic.disk_errors("job.json", target):
        target.mkdir(parents=True, exist_ok=True)
    job = Job(target.resolve())
    values = configs.located(configs.to_values(config), Path.cwd())
    atomic.write_json(
        job.file,
        {
            "version": VERSION,
            "program": __version__,
            "id": target.name,
            "created": now,
            "status": "queued",
            "config": values,
            "cache": str((home / "cache").resolve()),
            "base_stamp": file_stamp(values["base"]["path"]),
        },
    )
    return job


def free(folder: Path, name: str) -> Path:
    """A folder that is not there yet: NAME, NAME-2, NAME-3 …"""
    number = 1
    while (path := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _require_free_name(config: TrainConfig, home: Path) -> None:
    """Refuse to replace another run's LoRA in the host's folder, there or still on its way, and say which name is free."""
    if not config.save.copy_to:
        return
    pattern = re.compile(re.escape(config.name) + r"(-\d{6}|-step\d{8})?\.safetensors")
    taken = [path.name for path in Path(config.save.copy_to).glob("*.safetensors") if pattern.fullmatch(path.name)]
    taken += [job.folder.name for job in every(home) if _will_write(job, config)]
    if taken:
        version = 2
        while any(Path(config.save.copy_to).glob(f"{config.name}-v{version}*.safetensors")):
            version += 1
        raise ConfigError(
            f"name = {config.name!r} is taken in {config.save.copy_to} by {taken[0]}; call this one {config.name}-v{version}."
        )


def _will_write(job: Job, config: TrainConfig) -> bool:
    """Whether a job that is not over puts its files under the same names into the same folder."""
    try:
        other = job.config()
        if job.read()["status"] in ("done", "failed"):
            return False
    except LoraLoopError:  # a broken job writes nothing
        return False
    target = Path.cwd() / config.save.copy_to
    return other.name == config.name and bool(other.save.copy_to) and Path(other.save.copy_to) == target.resolve()


def find(text: str, home: Path) -> Job:
    """The job that `text` names: a folder, an id under `home/jobs`, or the newest job whose id ends with it.

    Raises StateError when there is none.
    """
    for folder in (Path(text), home / "jobs" / text):
        if (folder / "job.json").is_file():
            return Job(folder.resolve())
    for job in every(home):
        if job.folder.name.endswith(text):
            return job
    raise StateError(f"There is no job {text!r}: give its folder, or its name in {home / 'jobs'}.")


def every(home: Path) -> Iterator[Job]:
    """All jobs, newest first."""
    return (Job(home / "jobs" / name) for name in names(home))


def names(home: Path) -> list[str]:
    """The folders' names of all jobs, newest first; none of them is opened."""
    try:
        with os.scandir(home / "jobs") as entries:
            found = [entry.name for entry in entries if (home / "jobs" / entry.name / "job.json").is_file()]
    except FileNotFoundError:
        return []
    return sorted(found, reverse=True)


def usable(home: Path) -> Iterator[Job]:
    """All jobs whose config can be read, newest first."""
    for job in every(home):
        try:
            job.config()
        except LoraLoopError:
            continue
        yield job
