"""Reading files that may lie on a slow, long-named or vanishing drive."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lib_lora_train.files.errors import DiskError

T = TypeVar("T")
PAUSES_S = (0.1, 0.3, 1.0, 3.0)

_GONE = frozenset(
    getattr(errno, name)
    for name in (
        "EIO",
        "ESTALE",
        "ENODEV",
        "ENXIO",
        "ETIMEDOUT",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETUNREACH",
        "ENETDOWN",
        "ECONNRESET",
        "ENOENT",
    )
    if hasattr(errno, name)
)
_GONE_WINDOWS = frozenset({3, 21, 53, 55, 59, 64, 67, 121, 1231})
"""Windows' words for it: path not found, device not ready, network path, name, resource or location gone."""

sleep: Callable[[float], None] = time.sleep


def extended(path: Path) -> Path:
    """The absolute path, on Windows in the form that has no limit of 260 characters and keeps trailing dots."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    text = str(absolute)
    if sys.platform != "win32" or text.startswith("\\\\?\\"):
        return absolute
    return Path("\\\\?\\UNC\\" + text[2:] if text.startswith("\\\\") else "\\\\?\\" + text)


def vanished(error: OSError) -> bool:
    """Whether the drive, and not the file's content, is the reason: worth trying again."""
    return error.errno in _GONE or getattr(error, "winerror", None) in _GONE_WINDOWS


def patiently(what: str, read: Callable[[], T]) -> T:
    """What `read` returns; while the drive is away it is tried again, with growing pauses (4.4 s in all).

    Raises DiskError naming `what` when it stays away. Other errors pass through at once.
    """
    for pause_s in PAUSES_S:
        try:
            return read()
        except OSError as error:
            if not vanished(error):
                raise
            sleep(pause_s)
    try:
        return read()
    except OSError as error:
        if not vanished(error):
            raise
        message = f"{what} is gone (drive unplugged, share offline or file deleted?); bring it back and resume from the last saved state."
        raise DiskError(message) from error


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises DiskError when its drive stays away, OSError for other reasons (no permission)."""
    return patiently(path.name, path.read_bytes)
