"""Which wildcard files there are: one scan of a root's folders, bounded in number, depth and time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.tables import SUFFIXES


@dataclass
class Folder:
    """What one scan found: text files by name, tables by the folder that prefixes their names, folders by change time."""

    texts: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    tables: list[tuple[str, Path]] = field(default_factory=lambda: list[tuple[str, Path]]())
    changed: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    notes: list[str] = field(default_factory=lambda: list[str]())

    def fresh(self) -> bool:
        """Whether no folder has gained or lost an entry since the scan."""
        return all(_changed(path) == stamp for path, stamp in self.changed.items())


def scan(root: Path, roots: list[Path], limits: Limits) -> Folder:
    """Scan `root`. Links are followed only into one of `roots`, and no folder is entered twice."""
    found = Folder()
    deadline = time.monotonic() + limits.scan_seconds
    allowed = [os.path.realpath(path) for path in roots]
    waiting: list[tuple[str, str, int]] = [(str(root), "", 0)]
    entered: set[str] = set()
    files = 0
    while waiting:
        folder, prefix, depth = waiting.pop()
        real = os.path.realpath(folder) if prefix else os.path.realpath(root)
        if real in entered:
            continue
        entered.add(real)
        found.changed[folder] = _changed(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if prefix:
                found.notes.append(f"The folder '{prefix}' cannot be read ({error.strerror}).")
            continue
        for entry in entries:
            if entry.is_symlink() and not _inside(os.path.realpath(entry.path), allowed):
                found.notes.append(
                    f"'{prefix}{entry.name}' is a link that leads out of the wildcard folders; it is left out."
                )
            elif entry.is_dir():
                if depth < limits.folder_depth:
                    waiting.append((entry.path, f"{prefix}{entry.name}/", depth + 1))
            else:
                files += 1
                _file(found, entry, prefix)
        if files > limits.files or time.monotonic() > deadline:
            found.notes.append(
                f"The scan of the wildcard folder stopped after {files:,} files; names beyond them are not known."
            )
            break
    found.tables.sort()
    return found


def _file(found: Folder, entry: os.DirEntry[str], prefix: str) -> None:
    stem, dot, suffix = entry.name.rpartition(".")
    suffix = (dot + suffix).lower() if stem else ""
    if (suffix == ".txt" or suffix in SUFFIXES) and not entry.is_file():
        found.notes.append(f"'{prefix}{entry.name}' is a pipe, a device or gone, not a file; it is left out.")
    elif suffix == ".txt":
        found.texts[prefix + stem] = entry.path
    elif suffix in SUFFIXES:
        found.tables.append((prefix, Path(entry.path)))


def _inside(path: str, allowed: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in allowed)


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a string, asked for very often
    except OSError:
        return -1
