"""Locks that the operating system holds, so that they go away with their process however it ends.

The lock lies on one byte far behind the file's text: Windows forbids reading a locked byte, and the text says who
holds the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from lib_lora_train.files.errors import DiskError

MOST_TEXT = 4096
"""Bytes read of a lock's text."""
_PROBE_S = 0.3
"""For so long a lock is tried again: somebody who only looks holds it for an instant."""
_PAUSE_S = 0.02

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30

    def _try_lock(stream: IO[bytes], shared: bool) -> bool:
        place = stream.tell()
        try:
            stream.seek(_FAR)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            stream.seek(place)
        return True

else:
    import errno
    import fcntl

    def _try_lock(stream: IO[bytes], shared: bool) -> bool:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            # A file system without locks (some network shares) must not stop a person who is alone on it.
            return error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)
        return True


@dataclass
class Lock:
    """A lock on `path`; the file is made with its folder and stays when the lock is given back."""

    path: Path
    _stream: IO[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def is_mine(self) -> bool:
        """Whether this object holds the lock."""
        return self._stream is not None

    def acquire(self, facts: Mapping[str, Any] | None = None, wait_s: float = _PROBE_S) -> bool:
        """Take the lock within `wait_s` seconds and write down `facts` of the holder; False when another has it.

        Raises OSError when the file cannot be made.
        """
        if self._stream is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        deadline = time.monotonic() + wait_s
        while not _try_lock(stream, shared=False):
            if time.monotonic() >= deadline:
                stream.close()
                return False
            time.sleep(_PAUSE_S)
        self._stream = stream
        self.tell(facts or {})
        return True

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Write down other facts of the holder. A disk that is full costs only the words."""
        assert self._stream is not None
        with contextlib.suppress(OSError):
            self._stream.seek(0)
            self._stream.truncate()
            self._stream.write(json.dumps(dict(facts), ensure_ascii=False).encode("utf-8"))

    def release(self) -> None:
        """Give the lock back; the file keeps the last words."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds the lock. Without a file nobody does."""
    try:
        with path.open("rb", buffering=0) as stream:
            return not _try_lock(stream, shared=True)
    except OSError:
        return False


def facts(path: Path) -> dict[str, Any]:
    """What the last holder wrote down; empty when it cannot be read."""
    try:
        with path.open("rb", buffering=0) as stream:
            found: Any = json.loads(stream.read(MOST_TEXT) or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


@contextlib.contextmanager
def mutex(path: Path, wait_s: float = 20.0) -> Generator[None, None, None]:
    """Hold the lock for a short change of files. Raises DiskError when another program keeps it for `wait_s`."""
    lock = Lock(path)
    if not lock.acquire(wait_s=wait_s):
        raise DiskError(
            f"{path.name} in {path.parent} is held by another program for too long; close it and try again."
        )
    try:
        yield
    finally:
        lock.release()
