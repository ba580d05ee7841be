"""The person's own wildcard files: written whole or not at all, deleted to a trash that gives them back.

Every method checks again, on the server, whether writing is allowed and whether the name stays inside the one folder
that may be written to. A file is a `.txt`, or a table of values (TAKEN_IN) that was taken in; whatever the page says, no
other suffix is ever written.
"""

from __future__ import annotations

import os
import re
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from lib_lora_train.files.atomic import disk_errors, fsync_folder, write_text
from lib_lora_train.files.errors import FilesError, OutsideRoot
from lib_lora_train.files.reading import plain_size, read_text
from lib_lora_train.files.roots import Root, safe_name
from lib_lora_train.ui.errors import NotAllowed, PageError

MAX_TEXT = 1024 * 1024
MAX_NAME = 200
MAX_FOLDERS = 8
TAKEN_IN = (".txt", ".yaml", ".yml", ".json")
"""Endings of the files that are taken in."""
_SPECIAL = re.compile(r"__|[*?\[\]{}$#()<>|%\\,=]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef]")


class Store:
    """Writes in `folder` only. `refusal` is asked at every call: a sentence when writing is refused, else ""."""

    def __init__(self, folder: Path, trash: Path, refusal: Callable[[], str]) -> None:
        self.folder = folder
        self.trash = trash
        self.refusal = refusal
        self._lock = threading.Lock()

    def read(self, name: str) -> tuple[str, str]:
        """The text of an own file and its stamp, which `write` wants back. Raises PageError."""
        path = self._path(name)
        try:
            stamp = _stamp(path)
            if plain_size(path) > MAX_TEXT:
                raise PageError(
                    f"'{name}' is larger than {MAX_TEXT // 1024} kB; edit it with a text editor, the list shows the change at once."
                )
            return read_text(path, encoding="utf-8-sig"), stamp
        except UnicodeDecodeError as error:
            raise PageError(f"'{name}' is not UTF-8 text; save it as UTF-8 with a text editor first.") from error
        except OSError as error:
            raise PageError(f"'{name}' cannot be read ({error.strerror}); choose it again from the list.") from error

    def write(self, name: str, text: str, stamp: str) -> str:
        """Replace an own file, or make it when `stamp` is "". Returns the new stamp.

        Raises PageError when the file has been changed or made by somebody else since, NotAllowed, DiskError.
        """
        self.require()
        clean = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        if len(clean) > MAX_TEXT or len(clean.encode("utf-8", "replace")) > MAX_TEXT:
            raise PageError(f"The text is larger than {MAX_TEXT // 1024} kB; split it into several wildcards.")
        if clean and not clean.endswith("\n"):
            clean += "\n"
        path = self._path(name)
        with self._lock:
            current = _stamp(path)
            if current != stamp:
                raise PageError(
                    f"'{name}' is there already; choose another name."
                    if not stamp
                    else f"'{name}' has been changed elsewhere since you opened it; copy your text, open it again and put it in."
                )
            with disk_errors(path.name, path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, clean.encode("utf-8", "replace").decode("utf-8"))
            return _stamp(path)

    def take_in(self, name: str, suffix: str, text: str) -> bool:
        """Make an own file out of somebody else's; False when one of that name is there, which stays as it is.

        Raises PageError for a name that cannot be one, NotAllowed, DiskError.
        """
        self.require()
        if suffix not in TAKEN_IN:
            raise PageError("Only .txt, .yaml and .json files are wildcards.")
        path = self._path(name, suffix)
        with self._lock:
            if any(path.with_suffix(other).exists() for other in TAKEN_IN):
                return False
            with disk_errors(path.name, path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
        return True

    def has_deleted(self) -> bool:
        """Whether there is something that `undo` brings back."""
        return any(entry.name.isdigit() and any(entry.rglob("*.txt")) for entry in _entries(self.trash))

    def rename(self, name: str, new: str) -> str:
        """Give an own file another name; returns it as it was written. Raises PageError when that name is taken."""
        self.require()
        new = checked_name(new)
        source, target = self._path(name), self._path(new)
        with self._lock:
            if not source.is_file():
                raise PageError(f"'{name}' is not one of your own wildcards; copy it first.")
            if target.exists() and not _same(source, target):
                raise PageError(f"'{new}' is there already; choose another name.")
            with disk_errors(target.name, target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
                fsync_folder(target.parent)
            self._tidy(source.parent)
        return new

    def delete(self, name: str) -> None:
        """Move an own file to the trash."""
        self.require()
        source = self._path(name)
        with self._lock:
            if not source.is_file():
                raise PageError(f"'{name}' is not one of your own wildcards, so it cannot be deleted here.")
            target = self.trash / f"{time.time_ns():020d}" / source.relative_to(self.folder)
            with disk_errors(target.name, self.trash):
                target.parent.mkdir(parents=True)
                os.replace(source, target)
                fsync_folder(target.parent)
            self._tidy(source.parent)

    def undo(self) -> str:
        """Bring back what was deleted last; returns its name. Raises PageError when there is nothing, or it is taken."""
        self.require()
        with self._lock:
            bins = sorted((entry for entry in _entries(self.trash) if entry.name.isdigit()), reverse=True)
            found = next(((folder, file) for folder in bins for file in sorted(folder.rglob("*.txt"))), None)
            if found is None:
                raise PageError("The trash is empty; there is nothing to bring back.")
            folder, file = found
            name = file.relative_to(folder).as_posix().removesuffix(".txt")
            target = self._path(name)
            if target.exists():
                raise PageError(f"'{name}' is there again already; rename that one first.")
            with disk_errors(target.name, target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
                fsync_folder(target.parent)
            self._tidy(file.parent, folder.parent)
        return name

    def require(self) -> None:
        """Raises NotAllowed where nothing may be written."""
        refused = self.refusal()
        if refused:
            raise NotAllowed(refused)

    def _path(self, name: str, suffix: str = ".txt") -> Path:
        try:
            return Root(self.folder).resolve(checked_name(name) + suffix)
        except OutsideRoot as error:
            raise PageError(str(error)) from error

    def _tidy(self, folder: Path, top: Path | None = None) -> None:
        """Remove folders that are empty now, up to the wildcard folder (or `top`)."""
        stop = top or self.folder
        while folder != stop and folder.is_relative_to(stop):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def checked_name(name: object) -> str:
    """`name` as it can be written between underscores and as a file: "places/beach". Raises PageError."""
    if not isinstance(name, str):
        raise PageError("A wildcard's name is text, such as 'places/beach'.")
    plain = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removesuffix(".txt").strip()
    if not plain:
        raise PageError("Type a name first, such as 'places/beach'.")
    folders = plain.split("/")
    if len(plain) > MAX_NAME or len(folders) > MAX_FOLDERS:
        raise PageError(f"That name is too long: at most {MAX_NAME} characters in at most {MAX_FOLDERS} folders.")
    for part in folders:
        try:
            safe = safe_name(part)
        except FilesError as error:
            raise PageError(str(error)) from error
        if safe != part or _SPECIAL.search(part) or part.startswith("_") or part.endswith("_"):
            raise PageError(
                "That name cannot be used: take letters, digits, blanks, '-', '.' and single '_' inside a word, and '/' for folders."
            )
    return plain


def _stamp(path: Path) -> str:
    """Change time and size as text; "" when there is no file."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _same(one: Path, other: Path) -> bool:
    """Whether two names are one file (a name differs only in case where the file system does not tell cases apart)."""
    return one.samefile(other)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
