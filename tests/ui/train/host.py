"""A desk without a WebUI: folders, a base and a switch for being shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_lora_train.environment.state import Wanted
from lib_lora_train.jobs.instance import Instance
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry
from lib_lora_train.ui.train.building import Builder
from lib_lora_train.ui.train.desk import Answers, Desk


class Folders:
    """A host that is nothing but a folder."""

    name = "test"

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        self.data_folder = folder
        self.base = base
        self.lora_folder: Path | None = None
        self.more_lora_folders: tuple[Path, ...] = ()
        self.shared = False
        self.flags: dict[str, Any] = {}

    @property
    def lora_folders(self) -> tuple[Path, ...]:
        return (*((self.lora_folder,) if self.lora_folder else ()), *self.more_lora_folders)

    def catalogue(self) -> Catalogue:
        return Catalogue({CHECKPOINT: (Entry(self.base.name, (), str(self.base)),) if self.base else ()})

    def is_non_local(self) -> bool:
        return self.shared

    def flag(self, name: str, default: Any = None) -> Any:
        return self.flags.get(name, default)

    def option(self, name: str, default: Any = None) -> Any:
        return default

    def render(self, fields: Any) -> Any:
        raise AssertionError


def desk_in(folder: Path, base: Path | None = None) -> Desk:
    """A desk whose home is in `folder`."""
    home = folder / "lora-loop"
    home.mkdir(parents=True, exist_ok=True)
    return Desk(Folders(folder, base), home, Builder(lambda: Wanted(home)), Instance(home))


def answers(base: Any, photos: Path, **more: Any) -> Answers:
    """A filled form."""
    given: dict[str, Any] = {
        "name": "cat", "trigger": "ohwx", "class_word": "cat", "base": base, "folder": str(photos), "preset": "small",
        "options": {"dataset.resolution": "96", "dataset.bucket_min": "64", "dataset.bucket_max": "128", "loop.steps": "4"},
    }  # fmt: skip
    return Answers(**{**given, **more})
