"""Where things are: the extension, the WebUI around it, its Python, and *home*. Looks at files only, runs nothing.

A WebUI's Python can lie anywhere: conda, a portable one, the system's, a venv beside the folder. The WebUI's own process
knows it, so it tells (`lend`): by a variable to what it starts, and by a file in *home* to whoever comes from a terminal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files import atomic
from lib_lora_train.files.errors import DiskError

HOME = "lora-loop"
HOME_VARIABLE = "LORA_LOOP_HOME"
HOST_PYTHON_VARIABLE = "LORA_LOOP_HOST_PYTHON"
LENT = "webui.json"
"""The file in `HOME/environment` that names the WebUI of this home and its Python."""


@dataclass(frozen=True)
class Host:
    """The WebUI around the extension: its folder, its Python if one was found, and what can be read of its kind."""

    folder: Path
    python: Path | None

    @property
    def is_forge(self) -> bool:
        """Whether it is Forge or one of the WebUIs that were made from it."""
        return (self.folder / "modules_forge").is_dir()

    @property
    def kind(self) -> str:
        """The name of this WebUI, by the files that tell them apart."""
        if not self.is_forge:
            return "SD.Next" if (self.folder / "installer.py").is_file() else "A1111"
        if "reforge" in _text(self.folder / "README.md")[:600].lower():
            return "reForge"
        name = self._forge("version")
        return f"Forge {name.title()}" if name.isalpha() else "Forge"  # forks put their name there: "neo", "classic"

    @property
    def version(self) -> str:
        """The version as the host writes it, or an empty string."""
        name = self._forge("version")
        if name:
            return self._forge("release") if name.isalpha() else name
        changes = _text(self.folder / "CHANGELOG.md")
        found = re.search(r"^## (?:Update for )?(\S+)", changes, re.MULTILINE)
        return found[1] if found else ""

    def _forge(self, name: str) -> str:
        text = _text(self.folder / "modules_forge" / "forge_version.py")
        found = re.search(rf"""^{name} = ["']([^"']+)["']""", text, re.MULTILINE)
        return found[1] if found else ""

    @property
    def site_packages(self) -> Path | None:
        """The folder of its installed packages, when its Python is a virtual environment or the one-click zip's."""
        if self.python is None:
            return None
        near = self.python.parent
        folders = (
            *near.parent.glob("lib/python3*/site-packages"),
            near.parent / "Lib/site-packages",
            near / "Lib/site-packages",
        )
        return next((folder for folder in folders if folder.is_dir()), None)

    def package_version(self, name: str) -> str:
        """The version of one of its packages by its metadata folder's name, or an empty string."""
        found = sorted((self.site_packages or Path("/nowhere")).glob(f"{name}-*.dist-info"))
        return found[0].name[len(name) + 1 : -len(".dist-info")] if found else ""


def extension_folder() -> Path:
    """The folder of this project's checkout (links are kept, so that a linked extension is still inside its WebUI)."""
    return Path(__file__).absolute().parents[2]


def find_host(extension: Path | None = None, home: Path | None = None) -> Host | None:
    """The WebUI in whose `extensions` folder this extension lies, or the one that `home` knows of (`lend`), or None."""
    extension = extension or extension_folder()
    lent = _lent(home) if home else None
    folder = extension.parent.parent
    inside = (
        extension.parent.name == "extensions" and (folder / "launch.py").is_file() and (folder / "modules").is_dir()
    )
    if not inside:
        return lent
    if lent and lent.folder.resolve() == folder.resolve():
        return lent
    return Host(folder, next((python for python in _host_pythons(folder) if python.is_file()), None))


def host_python(home: Path, extension: Path | None = None) -> Path | None:
    """The Python whose torch is to be reused: the one told by the environment variable, else the WebUI's."""
    told = os.environ.get(HOST_PYTHON_VARIABLE)
    if told:
        return Path(told).absolute()
    host = find_host(extension, home)
    return host.python if host else None


def lend(home: Path, webui: Path) -> None:
    """Called in the WebUI's own process: its Python is the one to reuse, now and from a terminal later.

    A person's own LORA_LOOP_HOST_PYTHON stays. A disk that cannot be written to only loses the terminal's part.
    """
    python = this_python()
    if python is None or os.environ.get(HOST_PYTHON_VARIABLE):
        return
    os.environ[HOST_PYTHON_VARIABLE] = str(python)
    host = Host(webui.absolute(), python)
    if _lent(home) != host:
        with contextlib.suppress(DiskError, OSError):
            (home / "environment").mkdir(parents=True, exist_ok=True)
            atomic.write_json(home / "environment" / LENT, {"folder": str(host.folder), "python": str(python)})


def this_python() -> Path | None:
    """The running Python as a program that can be started again and has a console; None where there is none to be found.

    `sys.executable` is empty or another program where Python is embedded, and `pythonw` where the WebUI has no window.
    """
    given = Path(sys.executable or "none")
    names = ("python.exe", "Scripts/python.exe") if sys.platform == "win32" else ("bin/python3", "bin/python")
    near = [given.with_name(given.name.lower().replace("pythonw", "python")), given]
    own = [python for python in near if re.match(r"python(?!w)", python.name.lower())]
    others = [Path(sys.prefix) / name for name in names]
    return next((python for python in (*own, *others) if python.is_file()), None)


def _lent(home: Path) -> Host | None:
    """What `lend` wrote, as far as it is still true: the program and the WebUI are where they were."""
    try:
        told: Any = json.loads((home / "environment" / LENT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    folder, python = found.get("folder"), found.get("python")
    if not (isinstance(folder, str) and isinstance(python, str)) or "\0" in folder + python:
        return None
    host = Host(Path(folder), Path(python))
    is_true = Path(python).is_absolute() and Path(python).is_file() and os.access(python, os.X_OK)
    return host if is_true and (host.folder / "launch.py").is_file() else None


def home_folder(explicit: Path | None = None, data_dir: Path | None = None, extension: Path | None = None) -> Path:
    """*Home*: told, else by the environment variable, else in the WebUI's data folder, else in the current folder."""
    told = os.environ.get(HOME_VARIABLE)
    if explicit is not None:
        return explicit.absolute()
    if data_dir is not None:
        return data_dir.absolute() / HOME
    if told:
        return Path(told).absolute()
    extension = extension or extension_folder()
    around = extension.parent.parent
    # `--data-dir` moves `extensions` and `models` together, away from the WebUI's code.
    in_data = extension.parent.name == "extensions" and (
        (around / "models").is_dir() or (around / "launch.py").is_file()
    )
    return (around if in_data else Path.cwd()) / HOME


def _host_pythons(webui: Path) -> Iterator[Path]:
    executables = ("Scripts/python.exe",) if sys.platform == "win32" else ("bin/python", "bin/python3")
    told = os.environ.get("venv_dir") or "venv"  # noqa: SIM112 - the name that the WebUI's start scripts read
    for folder in (told, "venv", ".venv"):
        yield from (webui / folder / executable for executable in executables)
    yield webui.parent / "system" / "python" / "python.exe"  # the one-click zip: an embeddable Python beside the WebUI


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
