"""What a host's Python is and where its torch lies. Run by that Python, as a file; imports nothing of ours."""

from __future__ import annotations

import importlib.util
import json
import sys
import sysconfig
from pathlib import Path


def describe() -> dict[str, object]:
    """The running Python in words; `paths` are the folders of installed packages, torch's first."""
    found = importlib.util.find_spec("torch")
    torch = str(Path(found.origin).parent.parent) if found is not None and found.origin else ""
    others = [entry for entry in sys.path if entry and entry != torch and not _is_standard(Path(entry))]
    return {
        "version": list(sys.version_info[:3]),
        "paths": ([torch] if torch else []) + others,
        "has_torch": bool(torch),
        "pip": _pip(),
    }


def _pip() -> list[str]:
    """How this Python runs pip: its own, else the wheel that comes with Python, where a venv was made without one (by uv)."""
    if importlib.util.find_spec("pip") is not None:
        return ["-m", "pip"]
    found = importlib.util.find_spec("ensurepip")
    packaged = sysconfig.get_config_var("WHEEL_PKG_DIR")  # Linux distributions keep it elsewhere
    folders = [Path(found.origin).parent / "_bundled"] if found is not None and found.origin else []
    folders += [Path(packaged)] if packaged else []
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    return [str(wheels[-1] / "pip")] if wheels else []


def _is_standard(entry: Path) -> bool:
    """Whether a folder of `sys.path` belongs to Python itself: the standard library, its zip, DLLs, or our script's own."""
    if entry.name in ("site-packages", "dist-packages"):
        return False
    library = Path(sysconfig.get_path("stdlib"))
    homes = (Path(sys.base_prefix), Path(sys.executable).parent, Path(__file__).absolute().parent)
    return (
        entry.suffix == ".zip"
        or entry.name in ("DLLs", "lib-dynload")
        or entry.is_relative_to(library)
        or entry in homes
    )


if __name__ == "__main__":
    here = str(Path(__file__).absolute().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # our own pip.py is not pip
    json.dump(describe(), sys.stdout)
