"""An environment on disk: its folder, the record that makes it complete, and finding one without running anything.

`HOME/environment/cp310-1a2b3c4d5e-host/` holds `packages/` and uses a host's Python; without `-host` it holds `venv/`.
A folder under such a name is complete: it was built under another name, tested and renamed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lib_lora_train.environment.activate import PACKAGES_VARIABLE
from lib_lora_train.environment.locks import TORCH, Lock, python_tag, shipped
from lib_lora_train.files.atomic import write_json

RECORD = "environment.json"
FORMAT = 1
LIGHT = "-light"
"""How the folder's name of an environment without torch ends."""
TRIAL = "lib_lora_train.train.trial"
"""Trains two steps in the environment's self-test; named only, as `launch` names the trainer: nothing of it is imported."""


@dataclass(frozen=True)
class Wanted:
    """What an environment must be: under which home, for which host's Python (or none), with which packages.

    Without `torch` it is a light one (`light`): for what draws prompts and looks at photos, beside any Python.
    """

    home: Path
    host_python: Path | None = None
    trainer: Lock = field(default_factory=lambda: shipped("trainer"))
    complete: Lock = field(default_factory=lambda: shipped("complete"))
    torch: str = TORCH
    trial: str = TRIAL
    """The module whose `run()` the self-test trains with, or ""."""

    @property
    def folder(self) -> Path:
        """The folder of all environments."""
        return self.home / "environment"

    @property
    def lock(self) -> Lock:
        """What is installed: the trainer's packages, and without a host also what torch needs."""
        return self.trainer if self.host_python else Lock((*self.trainer.files, *self.complete.files))

    def name(self, version: tuple[int, ...]) -> str:
        """The folder's name for that version of Python."""
        return python_tag(version) + self.suffix

    @property
    def suffix(self) -> str:
        """The folder's name without the version of Python."""
        if not self.torch:
            return f"-{self.lock.digest()}{LIGHT}"
        return f"-{self.lock.digest()}-host" if self.host_python else f"-{self.lock.digest(self.torch)}"


def light(home: Path) -> Wanted:
    """The few packages for commands that need no torch, beside the running Python."""
    return Wanted(home, Path(sys.executable), trainer=shipped("light"), torch="", trial="")


@dataclass(frozen=True)
class Environment:
    """A complete environment: the Python to start, and what it is to see."""

    home: Path
    python: Path
    folder: Path | None = None
    packages: tuple[Path, ...] = ()
    host_paths: tuple[Path, ...] = ()
    torch: str = ""


def find(wanted: Wanted) -> Environment | None:
    """The environment if it is complete and was tested with what it would use now. Starts no process."""
    # What an activated process sees came with it; a child would not see it, so the folder must be found again.
    activated = PACKAGES_VARIABLE in os.environ
    may_be_here = wanted.torch and not activated and wanted.host_python in (None, Path(sys.executable))
    here = running(wanted) if may_be_here else None
    if here is not None:
        return here
    own = wanted.folder / wanted.name(sys.version_info[:3])
    others = sorted(wanted.folder.glob(f"cp*{wanted.suffix}"), reverse=True)
    return next((found for folder in (own, *others) if (found := load(wanted, folder)) is not None), None)


def running(wanted: Wanted) -> Environment | None:
    """The running Python itself, when it holds torch and every package of the lock (a container, a developer's own)."""
    try:
        versions = all(
            importlib.metadata.version(pin.name) == pin.version for pin in wanted.trainer.pins() if pin.applies()
        )
    except importlib.metadata.PackageNotFoundError:
        return None
    if not versions or importlib.util.find_spec("torch") is None:
        return None
    folder = Path(sys.prefix).parent
    if not read_record(folder):
        return Environment(wanted.home, Path(sys.executable))
    return Environment(wanted.home, Path(sys.executable), folder, package_folders(folder))


def load(wanted: Wanted, folder: Path) -> Environment | None:
    """The environment in `folder`, or None unless it is complete and was tested with the same Python and torch."""
    record = read_record(folder)
    python = wanted.host_python or venv_python(folder)
    tested = record.get("tested", {}).get(tested_key(wanted))
    if record.get("format") != FORMAT or not isinstance(tested, dict) or not python.is_file():
        return None
    about = cast("dict[str, Any]", tested)
    paths = tuple(Path(path) for path in about["paths"])
    if wanted.host_python and torch_version(paths) != about["torch"]:
        return None
    return Environment(wanted.home, python, folder, package_folders(folder), paths, about["torch"])


def tested_key(wanted: Wanted) -> str:
    """The name of the record of a test: the folder of the host's Python (`python` and `python3` in it are one)."""
    return str(wanted.host_python.parent) if wanted.host_python else "venv"


def package_folders(folder: Path) -> tuple[Path, ...]:
    """The folders that go first on `sys.path`: the packages and, after them, the optional extras."""
    extras = sorted(extra for extra in (folder / "extras").glob("*") if extra.suffix != ".tmp")
    return tuple(path for path in (folder / "packages", *extras) if path.is_dir())


def read_record(folder: Path) -> dict[str, Any]:
    """What was written when the environment was complete; empty when it is not, or cannot be read."""
    try:
        found = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def add_tested(folder: Path, key: str, about: dict[str, Any]) -> None:
    """Record that the environment was tested, with which torch and which of the host's folders."""
    record = read_record(folder)
    tested = {**record.get("tested", {}), key: about}
    write_json(folder / RECORD, {"format": FORMAT, **record, "tested": tested})


def torch_version(paths: tuple[Path, ...]) -> str:
    """The version of the torch in one of those folders, read from its file; empty when there is none."""
    for path in paths:
        try:
            text = (path / "torch" / "version.py").read_text("utf-8")
        except OSError:
            continue
        found = re.search(r"__version__ = '([^']+)'", text)
        return found[1] if found else ""
    return ""


def venv_python(folder: Path) -> Path:
    """The interpreter of the complete environment in `folder`."""
    return folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
