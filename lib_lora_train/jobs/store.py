"""Job folders: made, found, listed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from lib_lora_train import __version__
from lib_lora_train.files import atomic
from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import config as configs
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import VERSION, Job


def create(config: TrainConfig, home: Path, folder: Path | None = None) -> Job:
    """A new job folder under `home/jobs` (or `folder`), queued. Raises ConfigError when its files would replace others.

    Relative paths in the config are made absolute, so that the job runs from anywhere.
    """
    if not config.name:
        raise ConfigError("name is empty: give the LoRA a name, such as name = \"ohwx-man\".")
    _require_free_name(config)
    now = time.time()
    stamp = datetime.fromtimestamp(now).strftime("%Y%m%d-%H%M")
    target = folder or _free(home / "jobs", f"{stamp}-{safe_name(config.name)}")
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
        },
    )
    return job


def _free(folder: Path, name: str) -> Path:
    """A folder that is not there yet: NAME, NAME-2, NAME-3 …"""
    number = 1
    while (path := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _require_free_name(config: TrainConfig) -> None:
    """Refuse to replace somebody else's LoRA in the host's folder, and say which name is free."""
    if not config.save.copy_to or not Path(config.save.copy_to).is_dir():
        return
    pattern = re.compile(re.escape(config.name) + r"(-\d{6}|-step\d{8})?\.safetensors")
    taken = [path.name for path in Path(config.save.copy_to).glob("*.safetensors") if pattern.fullmatch(path.name)]
    if taken:
        version = 2
        while any(Path(config.save.copy_to).glob(f"{config.name}-v{version}*.safetensors")):
            version += 1
        raise ConfigError(f"name = {config.name!r}: {config.save.copy_to} has {taken[0]} already; call this one {config.name}-v{version}.")


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
    folders = (home / "jobs").glob("*/job.json") if (home / "jobs").is_dir() else ()
    return (Job(file.parent) for file in sorted(folders, key=lambda file: file.parent.name, reverse=True))


