"""Files that are whole or absent: temporary sibling, fsync, rename, fsync of the folder.

The order is what POSIX asks for: data before name, name before the folder's own entry. Windows has no fsync of a
folder; its rename is tried again for a while because virus scanners hold new files open.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any

from lib_lora_train.files.errors import DiskError

TEMPORARY_SUFFIX = ".lora-loop-tmp"
RENAME_TRIES = 10

checkpoint: Callable[[str], None] = lambda _stage: None  # noqa: E731 - replaced by kill tests, which die at each stage


def _temporary(path: Path) -> Path:
    """A sibling of `path` that no other process or thread writes."""
    return path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY_SUFFIX}")


def fsync_folder(folder: Path) -> None:
    """Make the folder's entries durable (nothing to do on Windows)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename over `target`, trying again with growing pauses while another program holds it.

    Raises DiskError when it stays held; the new bytes are then kept beside it under `.new`.
    """
    for attempt in range(RENAME_TRIES):
        try:
            os.replace(source, target)
        except PermissionError as error:
            if attempt + 1 < RENAME_TRIES:
                time.sleep(0.02 * 2**attempt)
                continue
            kept = target.with_name(target.name + ".new")
            with contextlib.suppress(OSError):
                os.replace(source, kept)
            message = f"{target.name} is held open by another program, so the new version is kept as {kept.name}; close that program and rename it."
            raise DiskError(message) from error
        return


@contextlib.contextmanager
def disk_errors(what: str, folder: Path) -> Generator[None, None, None]:
    """Turn the operating system's disk errors into one sentence that names `what` and `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC):
            reason = "the disk is full; free some space and go on from the last saved state"
        elif error.errno == errno.EFBIG:
            reason = "the file is larger than the file system, or a limit of this system (ulimit -f), allows"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = "the folder cannot be written to; choose another one or change its permissions"
        elif error.errno in (
            errno.ENOENT,
            errno.ENODEV,
            errno.EIO,
            errno.ESTALE if hasattr(errno, "ESTALE") else errno.EIO,
        ):
            reason = "the folder is gone (unplugged or deleted?); bring it back and go on from the last saved state"
        else:
            raise
        raise DiskError(f"{what} could not be written in {folder}: {reason}.") from error


@contextlib.contextmanager
def replacing(path: Path) -> Generator[IO[bytes], None, None]:
    """A binary stream whose bytes become `path` when the block ends without an error; else `path` is as it was.

    Raises DiskError with the cure when the disk is full, read-only or gone.
    """
    temporary = _temporary(path)
    with disk_errors(path.name, path.parent):
        try:
            with temporary.open("wb") as stream:
                yield stream
                checkpoint("written")
                stream.flush()
                os.fsync(stream.fileno())
            checkpoint("synced")
            rename(temporary, path)
            checkpoint("renamed")
            fsync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `path` whole or not at all."""
    with replacing(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def replacing_folder(path: Path) -> Generator[Path, None, None]:
    """A temporary folder that becomes `path` when the block ends without an error. `path` must not exist yet.

    Every file in it is fsynced before the rename, so a folder under its final name is complete.
    """
    temporary = _temporary(path)
    with disk_errors(path.name, path.parent):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            checkpoint("written")
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with file.open("rb+") as stream:
                        os.fsync(stream.fileno())
            fsync_folder(temporary)
            checkpoint("synced")
            rename(temporary, path)
            checkpoint("renamed")
            fsync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def sweep(folder: Path, older_than: float = 0.0) -> list[Path]:
    """Remove what an interrupted write left in `folder` more than `older_than` seconds ago; returns what was removed.

    A folder that others write to as well needs an age that no write reaches.
    """
    leftovers = list(folder.glob("*" + TEMPORARY_SUFFIX)) if folder.is_dir() else []
    old = [entry for entry in leftovers if time.time() - entry.lstat().st_mtime >= older_than]
    for entry in old:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    return old
