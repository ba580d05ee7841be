"""Wildcard packs that are dropped on the page: .txt, .yaml and .json files, or a .zip of them, into the own folder.

What comes is a stranger's: names, sizes and contents are checked before anything is written, a zip is unpacked beside
the folder first, no other kind of file is taken, and nothing that is there already is replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import archive
from lib_lora_train.prompt import PromptError
from lib_lora_train.prompt.limits import DEFAULT_LIMITS
from lib_lora_train.prompt.tables import SUFFIXES as TABLES
from lib_lora_train.prompt.tables import read_table
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.html import Html, joined
from lib_lora_train.ui.store import Store
from lib_lora_train.ui.train import places
from lib_lora_train.ui.words import said, shown

TEXT = ".txt"
ZIP = ".zip"
SUFFIXES = (TEXT, *TABLES, ZIP)
MOST_UPLOADS = 200
MOST_BYTES = 16 * 1024 * 1024
"""Of one file of values."""
LIMITS = archive.Limits(entries=5_000, total_bytes=200 * 1024 * 1024, file_bytes=MOST_BYTES, depth=8)
MOST_NAMED = 3


@dataclass
class Taken:
    """What became of the files: names taken in, names that are there already, and why others were refused."""

    names: list[str] = field(default_factory=list[str])
    there: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])

    @property
    def sentence(self) -> Html:
        """What was done, for people."""
        parts = [said(shown("{} files of wildcards were taken in."), len(self.names))]
        if self.there:
            named = ", ".join(self.there[:MOST_NAMED]) + (" …" if len(self.there) > MOST_NAMED else "")
            parts.append(said(shown("{} are there already and stay as they are: {}"), len(self.there), named))
        if self.refused:
            parts.append(said(shown("{} cannot be used: {}"), len(self.refused), self.refused[0]))
        return joined(parts, " ")


def take_in(store: Store, uploads: Iterable[object]) -> Taken:
    """Copy the files that were dropped into the person's own wildcards.

    Raises NotAllowed, PageError when none of them can be one, ArchiveError, DiskError.
    """
    store.require()
    files = list(uploads)
    if len(files) > MOST_UPLOADS:
        raise PageError(shown("Those are too many files at once; pack them into one .zip."))
    found = Taken()
    for given in files:
        path = places.uploaded(given)
        suffix = path.suffix.lower()
        if suffix == ZIP:
            for name, file in _unpacked(path, found):
                _one(store, name, file, found)
        elif suffix in SUFFIXES:
            _one(store, path.stem, path, found)
        else:
            found.refused.append(f"{path.name}: only .txt, .yaml, .json and .zip files are wildcards.")
    if not (found.names or found.there):
        raise PageError(found.refused[0] if found.refused else shown("There is no wildcard in it."))
    return found


def _unpacked(path: Path, found: Taken) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="lora-loop-") as folder:
        target = Path(folder) / "pack"
        try:
            files = archive.extract(path, target, (TEXT, *TABLES), LIMITS)
        except archive.ArchiveError as error:
            found.refused.append(str(error))
            return
        for file in sorted(files):
            yield file.relative_to(target).with_suffix("").as_posix(), file


def _one(store: Store, name: str, path: Path, found: Taken) -> None:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PageError(f"{path.name} is larger than {MOST_BYTES // 1024**2} MB; split it.")
        suffix = path.suffix.lower()
        if suffix in TABLES:
            read_table(path, "", DEFAULT_LIMITS, lambda _note: None)
        text = path.read_text("utf-8-sig")
        if not text.strip():
            raise PageError(f"{path.name} is empty.")
        (found.names if store.take_in(name, suffix, text) else found.there).append(name)
    except UnicodeDecodeError:
        found.refused.append(f"{path.name} is not UTF-8 text; save it as UTF-8 with a text editor first.")
    except PromptError as error:
        found.refused.append(error.reason)
    except LoraLoopError as error:
        found.refused.append(f"{path.name}: {error}")
