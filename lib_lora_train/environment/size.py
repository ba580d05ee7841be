"""What a build will fetch and write, and how far one is: said before it begins and shown while it runs.

The figures were measured with the lock as it is: the wheels that pip fetches, and the folder once it is built.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lib_lora_train.environment.pip import TORCH_INDEX_VARIABLE
from lib_lora_train.environment.state import Wanted

MB_PER_MINUTE = 375
"""A line of 50 Mbit/s."""
WRITTEN_PER_MINUTE = 1000
"""MB that pip unpacks and compiles on an ordinary machine."""
TESTED_AT = 0.95
"""The share of a build after which only the self-test is left."""


@dataclass(frozen=True)
class Size:
    """Packages, MB to fetch, and MB on the disk."""

    packages: int
    fetched: int
    written: int

    @property
    def minutes(self) -> int:
        """About how long it takes, at 50 Mbit/s."""
        return math.ceil(self.fetched / MB_PER_MINUTE + self.written / WRITTEN_PER_MINUTE)

    @property
    def sentence(self) -> str:
        """For a person, before anything is fetched."""
        time = "about a minute" if self.minutes == 1 else f"about {self.minutes} minutes"
        return f"{self.packages} packages, {amount(self.fetched)} to fetch, {amount(self.written)} on the disk; {time} at 50 Mbit/s"


# By what is built: MB to fetch and MB on the disk.
LIGHT = (28, 105)
TRAINER = (24, 200)
COMPLETE = {"linux": (2800, 4900), "win32": (180, 900), "darwin": (170, 900)}


def expected(wanted: Wanted, python: tuple[int, ...] | None = None) -> Size:
    """What building `wanted` takes, for a Python of that version (default: the running one)."""
    count = sum(pin.applies(python) for pin in wanted.lock.pins())
    if wanted.host_python:
        return Size(count, *(TRAINER if wanted.torch else LIGHT))
    platform = "linux" if os.environ.get(TORCH_INDEX_VARIABLE, "").strip() else sys.platform
    return Size(count + 1, *COMPLETE.get(platform, COMPLETE["linux"]))


def share(wanted: Wanted) -> float:
    """How far the build that runs now is, from 0 to 1, by the bytes that it has fetched and written so far."""
    size = expected(wanted)
    done = sum(_bytes(folder) for folder in wanted.folder.glob("cp*.tmp")) / 1e6
    return min(TESTED_AT, done / (size.fetched + size.written))


def amount(megabytes: int) -> str:
    """`205 MB`, `4.9 GB`."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _bytes(folder: Path) -> int:
    """The sizes of the files below a folder, some of which may be gone before they are looked at."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                total += _bytes(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else entry.stat().st_size
    except OSError:
        pass
    return total
