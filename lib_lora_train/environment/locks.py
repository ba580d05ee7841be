"""The pinned packages: lock files with hashes, read without any library."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# By version and not by hash: each platform and accelerator has a build of its own.
TORCH = "torch==2.13.0"

# (torch older than this, the bitsandbytes that works with it)
BITSANDBYTES = (((2, 3), "0.45.5"), ((2, 4), "0.48.2"), ((99, 0), "0.50.2"))

_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")
_MARKER = re.compile(r"(?P<left>python_full_version|sys_platform) (?P<how><|>=|==) '(?P<right>[^']+)'")


@dataclass(frozen=True)
class Pin:
    """One line of a lock: a distribution (normalised name), its version and where it applies."""

    name: str
    version: str
    marker: str = ""

    def applies(self, python: tuple[int, ...] | None = None, platform: str | None = None) -> bool:
        """Whether this line is for that Python (default: the running one) and platform.

        Raises ValueError for a marker that is not `python_full_version < '3.11'` or `sys_platform == 'win32'`.
        """
        if not self.marker:
            return True
        match = _MARKER.fullmatch(self.marker)
        if match is None:
            raise ValueError(f"{self.name}: the marker {self.marker!r} is not one that the lock's reader knows")
        if match["left"] == "sys_platform":
            return (platform or sys.platform) == match["right"]
        limit = tuple(int(part) for part in match["right"].split("."))
        ours = (python or sys.version_info[:3])[:3]
        return ours < limit if match["how"] == "<" else ours >= limit


@dataclass(frozen=True)
class Lock:
    """Some lock files that are installed together."""

    files: tuple[Path, ...]

    def pins(self) -> list[Pin]:
        """Every line, whether it applies here or not."""
        lines = (line for file in self.files for line in file.read_text("utf-8").splitlines())
        matches = (_PIN.match(line) for line in lines)
        return [Pin(normalised(found["name"]), found["version"], found["marker"] or "") for found in matches if found]

    def digest(self, *more: str) -> str:
        """Ten letters that change when any line does, the same whatever git did to the line ends."""
        total = hashlib.sha256()
        for text in (*(file.read_text("utf-8") for file in self.files), *more):
            total.update(text.encode("utf-8") + b"\0")
        return total.hexdigest()[:10]


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shipped(*names: str) -> Lock:
    """The lock files of those names that come with this package."""
    folder = Path(__file__).absolute().parent / "locks"
    return Lock(tuple(folder / f"{name}.txt" for name in names))


def bitsandbytes_lock(torch_version: str) -> Lock:
    """The lock of the bitsandbytes that works with this torch."""
    version = release(torch_version)
    return shipped(next(f"bitsandbytes-{ours}" for limit, ours in BITSANDBYTES if version < limit))


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.1.2+cu121` is (2, 1, 2)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def python_tag(version: Sequence[int]) -> str:
    """`cp310` for Python 3.10, the first part of an environment's folder name."""
    return f"cp{version[0]}{version[1]}"
