"""One builder at a time. The operating system holds the lock, so it goes away with a builder that is killed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

Report = Callable[[str], None]

if sys.platform == "win32":
    import msvcrt

    def _try_lock(stream: IO[str]) -> bool:
        try:
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import errno
    import fcntl

    def _try_lock(stream: IO[str]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A file system without locks (some network shares) must not stop a person who is alone on it.
            return error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)
        return True


@contextlib.contextmanager
def one_builder(folder: Path, report: Report, pause: float = 0.5) -> Generator[None, None, None]:
    """Hold the build lock of `folder`, waiting (and saying so) while another program builds there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("a+", encoding="utf-8") as stream:
        said = False
        while not _try_lock(stream):
            if not said:
                report("Another program is building the trainer's environment here; waiting for it.")
                said = True
            time.sleep(pause)
        yield  # closing the file gives the lock back
