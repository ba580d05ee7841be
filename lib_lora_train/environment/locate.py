"""Where things are: the extension, the WebUI around it, its Python, and *home*. Looks at files only, runs nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = "lora-loop"
HOME_VARIABLE = "LORA_LOOP_HOME"
HOST_PYTHON_VARIABLE = "LORA_LOOP_HOST_PYTHON"


@dataclass(frozen=True)
class Host:
    """The WebUI around the extension: its folder, its Python if one was found, and what can be read of its kind."""

    folder: Path
    python: Path | None

    @property
    def kind(self) -> str:
        """The family of WebUI, by the folders that tell them apart."""
        return "Forge" if (self.folder / "modules_forge").is_dir() else "A1111"

    @property
    def version(self) -> str:
        """The version as the host writes it, or an empty string."""
        for name, pattern in (
            ("modules_forge/forge_version.py", r"""^(?:version|release) = ['"]([^'"]+)['"]"""),
            ("CHANGELOG.md", r"^## (\S+)"),
        ):
            found: list[str] = re.findall(pattern, _text(self.folder / name), re.MULTILINE)
            if found:
                return " ".join(found) if "forge" in name else found[0]
        return ""

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


def find_host(extension: Path | None = None) -> Host | None:
    """The WebUI in whose `extensions` folder this extension lies, or None."""
    extension = extension or extension_folder()
    folder = extension.parent.parent
    inside = (
        extension.parent.name == "extensions" and (folder / "launch.py").is_file() and (folder / "modules").is_dir()
    )
    if not inside:
        return None
    return Host(folder, next((python for python in _host_pythons(folder) if python.is_file()), None))


def host_python(extension: Path | None = None) -> Path | None:
    """The Python whose torch is to be reused: the one told by the environment variable, else the WebUI's."""
    told = os.environ.get(HOST_PYTHON_VARIABLE)
    if told:
        return Path(told).absolute()
    host = find_host(extension)
    return host.python if host else None


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
