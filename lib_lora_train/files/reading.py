"""Reading people's files: they may lie on a slow, long-named or vanishing drive, and be no files at all.

Whatever may come from a stranger (photos, captions, wildcards, presets, LoRA files) is opened here: a pipe or a device
is refused before it is opened, because it would never end, and so is what is larger than its kind can be.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from lib_lora_train.files.errors import DiskError

T = TypeVar("T")
PAUSES_S = (0.1, 0.3, 1.0, 3.0)

MOST_PHOTO = 500_000_000
"""Bytes of a photo; more is a film or a trap."""
MOST_TEXT = 16_000_000
"""Bytes of a caption, a configuration, a preset, the notes beside a model."""
MOST_NOTES = 200_000_000
"""Bytes of what a run or a grid writes down about itself."""

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


class NotPlainFile(OSError):
    """A pipe, a device, or more than its kind can be. `strerror` is the reason and the cure, without the file's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)


def plain_size(path: Path | str, most: int | None = None) -> int:
    """The size of a plain file in bytes; links to one count. Opens nothing.

    Raises NotPlainFile when it is no plain file or larger than `most` bytes, OSError when it is not there.
    """
    return _checked(os.stat(path), most)  # noqa: PTH116 - wildcards ask this for thousands of texts


def opened(path: Path | str, most: int | None = None, *, buffering: int = -1) -> BinaryIO:
    """A plain file of at most `most` bytes, open for reading. Raises as `plain_size` does."""
    plain_size(path, most)

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # should it become a pipe just now

    stream: BinaryIO = open(path, "rb", buffering, opener=without_waiting)  # noqa: SIM115 - for its opener
    try:
        _checked(os.fstat(stream.fileno()), most)
    except OSError:
        stream.close()
        raise
    return stream


def _checked(told: os.stat_result, most: int | None) -> int:
    if stat.S_ISDIR(told.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(told.st_mode):
        raise NotPlainFile("it is a pipe or a device, not a file; leave it out")
    if most is not None and told.st_size > most:
        raise NotPlainFile(f"it has {told.st_size:,} bytes, more than the {most:,} that such a file may have")
    return told.st_size


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


def read_bytes(path: Path, most: int) -> bytes:
    """The whole file. Raises DiskError when its drive stays away, NotPlainFile, OSError for other reasons (no permission)."""

    def read() -> bytes:
        return content(path, most)

    return patiently(path.name, read)


def read_text(path: Path, most: int = MOST_TEXT, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The whole text, line ends as `\\n`. Raises NotPlainFile, OSError, UnicodeDecodeError."""
    return content(path, most).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def content(path: Path, most: int) -> bytes:
    """The whole file, at once: its drive is there. Raises NotPlainFile, OSError."""
    with opened(path, most) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size)  # no more, should it grow meanwhile
