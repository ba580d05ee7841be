"""Folders that names from outside (a page, a prompt, a preset) may not leave."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora_train.files.errors import FilesError, OutsideRoot

RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
)
MAX_NAME = 120
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True)
class Root:
    """A folder, and every name resolved in it stays in it (links included, unless they lead to `also`)."""

    folder: Path
    also: Sequence[Path] = ()

    def resolve(self, name: str) -> Path:
        """The absolute path of the relative `name` ("a/b.txt", either slash).

        Raises OutsideRoot for absolute names, drives, `..`, device names, NUL, and links that lead out.
        """
        parts = name.replace("\\", "/").split("/")
        if not name or any(_unsafe(part) for part in parts):
            raise OutsideRoot(
                "That name is not allowed: only plain names inside the folder, such as 'places/beach', can be used."
            )
        path = self.folder.joinpath(*parts)
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(allowed)) for allowed in (self.folder, *self.also)):
            raise OutsideRoot(
                "That name is a link that leads out of its folder; put the file itself there, or list its folder as a root."
            )
        return path


def _unsafe(part: str) -> bool:
    return (
        part in ("", ".", "..")
        or ":" in part
        or any(ord(character) < 32 for character in part)
        or part.split(".")[0].rstrip(" ").lower() in RESERVED
    )


def safe_name(text: str) -> str:
    """A file name (no suffix) made of `text`: same letters in any script, nothing that a file system refuses.

    Raises FilesError when nothing is left of it.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text)).strip(" .")
    while len(name.encode("utf-8")) > MAX_NAME:
        name = name[:-1].rstrip(" .")
    if not name.strip("_"):
        raise FilesError(f"{text!r} cannot be a file name: use letters, digits, '-' or '_'.")
    return name + "_" if name.split(".")[0].lower() in RESERVED else name
