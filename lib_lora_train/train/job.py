"""A job is a folder. This is what lies where in it, and the only way in which its `job.json` is read and written."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.files import atomic, locks
from lib_lora_train.files.reading import NotPlainFile, read_text
from lib_lora_train.train import config as configs
from lib_lora_train.train.errors import StateError
from lib_lora_train.train.options import is_table

VERSION = 1
STATUSES = ("queued", "running", "done", "stopped", "paused", "failed")
MOST_BYTES = 4_000_000
"""A larger `job.json` was not written by this program."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "version": (int,),
    "id": (str,),
    "created": (int, float),
    "finished": (int, float),
    "status": (str,),
    "config": (dict,),
    "cache": (str,),
    "accept": (list,),
    "base": (dict,),
    "base_stamp": (list,),
    "process": (dict, type(None)),
    "exit_code": (int,),
    "share_card": (bool,),
    "steps": (int,),
    "measured": (dict,),
}
"""What each field of `job.json` may hold; a field that is not here is left alone."""
COMMANDS = ("stop", "stop_after_epoch", "pause", "save_now", "sample_now")
ENDING = ("stop", "stop_after_epoch", "pause")


def file_stamp(path: str) -> list[int]:
    """Size and time of change of a file, cheap signs that it is still the same; empty for what is no file."""
    try:
        found = Path(path).stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else []


@dataclass(frozen=True)
class Job:
    """The folder of one training run."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "job.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def commands(self) -> Path:
        return self.folder / "commands"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def lock(self) -> Path:
        """Held by the trainer while it lives."""
        return self.folder / ".lock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def read(self) -> dict[str, Any]:
        """The checked content of `job.json`. Raises StateError when it is missing, broken or from a newer version."""
        try:
            values: Any = json.loads(read_text(self.file, MOST_BYTES))
        except FileNotFoundError:
            raise StateError(f"{self.folder} is not a job folder: there is no job.json in it.") from None
        except NotPlainFile as error:
            raise StateError(f"{self.file} is not a job of this program: {error.strerror}.") from error
        except (ValueError, OSError, RecursionError) as error:
            raise StateError(f"{self.file} cannot be read ({error}); start the run anew with its config.") from error
        if not is_table(values) or not is_table(values.get("config")):
            raise StateError(f"{self.file} is not a job of this program.")
        _check_fields(self.file, values)
        if values.get("version", 0) > VERSION:
            raise StateError(f"{self.file} was written by a newer version; update this program to resume it.")
        return values

    def config(self) -> configs.TrainConfig:
        """The run's config, every field checked again."""
        return configs.from_values(self.read()["config"])

    def update(self, **fields: Any) -> None:
        """Replace fields of `job.json`, whole or not at all, one program after the other."""
        with locks.mutex(self.folder / ".update.lock"):
            atomic.write_json(self.file, {**self.read(), **fields})

    def post(self, command: str) -> None:
        """Ask the trainer to do `command` (one of COMMANDS) at its next step."""
        if command not in COMMANDS:
            raise ValueError(command)
        self.commands.mkdir(exist_ok=True)
        atomic.write_bytes(self.commands / command, b"")

    def is_asked_to_stop(self) -> bool:
        """Whether a command waits that ends the run."""
        return any((self.commands / command).exists() for command in ENDING)

    def take(self) -> list[str]:
        """The commands that wait, removed as they are taken; unknown files are left alone."""
        if not self.commands.is_dir():
            return []
        waiting = [command for command in COMMANDS if (self.commands / command).exists()]
        for command in waiting:
            (self.commands / command).unlink(missing_ok=True)
        return waiting


def _check_fields(file: Path, values: Mapping[str, Any]) -> None:
    """Refuse a file that somebody else changed. The config is checked where it is used."""
    for name, kinds in _TYPES.items():
        value: Any = values.get(name)
        if name in values and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise StateError(
                f"{file} was changed by hand: {name} cannot be {str(value)[:40]!r}; put it right or delete the job."
            )
    if values.get("status", "queued") not in STATUSES:
        raise StateError(
            f"{file} was changed by hand: there is no status {str(values['status'])[:40]!r}; put it right or delete the job."
        )
    cache = values.get("cache", "")
    if cache and (not Path(cache).is_absolute() or ".." in Path(cache).parts):
        raise StateError(
            f"{file} was changed by hand: cache must be a whole path without '..'; put it right or delete the job."
        )
