"""The job's log: what the trainer printed, kept small on disk and made safe to show."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from lib_lora_train.files.reading import opened

MOST_BYTES = 8_000_000
"""A longer log is cut: its last half becomes `log.1.txt`, in place of the one before."""
TAIL_BYTES = 64_000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def rotate(path: Path, most: int = MOST_BYTES) -> bool:
    """Cut the log when it is too long; whoever writes it goes on at its new end, as it appends. Never raises."""
    with contextlib.suppress(OSError):
        if path.stat().st_size <= most:
            return False
        with path.open("r+b") as stream:
            stream.seek(-(most // 2), os.SEEK_END)
            path.with_name("log.1.txt").write_bytes(stream.read(most // 2))
            stream.truncate(0)
        return True
    return False


def tail(path: Path, most: int = TAIL_BYTES) -> str:
    """The end of the log as plain text of at most `most` bytes of UTF-8: no escapes, no control characters, and of a
    line that a progress bar drew over and over, what was drawn last. Empty without a log.
    """
    try:
        with opened(path) as stream:
            size = stream.seek(0, os.SEEK_END)
            # A progress bar hides most of what it wrote, so more is read than is shown.
            stream.seek(max(0, size - 4 * most))
            data = stream.read(4 * most)
    except OSError:
        return ""
    text = plain(data.decode("utf-8", errors="replace")).encode("utf-8")
    if len(text) <= most:
        return text.decode("utf-8")
    return text[-most:].decode("utf-8", errors="ignore").partition("\n")[2] or text[-most:].decode("utf-8", "ignore")


def plain(text: str) -> str:
    """Text without terminal escapes and control characters; a carriage return begins its line anew."""
    bare = _ESCAPES.sub("", text).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in bare.split("\n"))
    return "\n".join(_CONTROLS.sub("", line) for line in lines)
