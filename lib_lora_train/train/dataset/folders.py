"""Which files of a folder are photos and captions, and what its folders' names say.

Any layout is taken: photos in the folder itself, in folders below it, kohya's `10_ohwx man` folders, their parent,
or the project folder with `img` and `reg` that kohya's form makes.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lib_lora_train.files import text
from lib_lora_train.files.images import SUFFIXES
from lib_lora_train.files.reading import extended, patiently
from lib_lora_train.train.errors import DatasetError

CAPTION_SUFFIXES = (".txt", ".caption")
_UNUSED = (
    ".mp4 .mov .avi .mkv .webm .zip .rar .7z .tar .gz .psd .xcf .kra .svg .pdf .cr2 .cr3 .nef .arw .dng .orf .raf .rw2"
)
UNUSED_SUFFIXES = frozenset(_UNUSED.split())
"""Not photos, but somebody may think that they are used: they are named. All other files are ignored quietly."""

_JUNK_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "__pycache__"})
_NUMBERED = re.compile(r"(\d{1,5})_(.*)")
_YEARS = range(1900, 2101)
_IMAGE_FOLDERS = ("img", "image", "images")
_REGULARISATION_FOLDERS = ("reg", "regularization", "regularisation", "class")


@dataclass
class Folder:
    """One folder that has photos."""

    path: Path
    relative: str
    """Path below the dataset's folder with forward slashes; empty for the folder itself."""
    label: str
    """What the concept is called: the numbered folder's name where there is one, else the folder's own."""
    words: str
    repeats: int
    """kohya's number, or 0."""
    pictures: list[str] = field(default_factory=list[str])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Caption files by their `key`."""
    unused: list[str] = field(default_factory=list[str])

    def name_of(self, file: str) -> str:
        """The relative name for people: signs that steer a terminal, and bytes that are no letters, are shown as codes."""
        return text.name(f"{self.relative}/{file}" if self.relative else file)


@dataclass(frozen=True)
class Layout:
    """Where photos and regularisation photos are."""

    root: Path
    regularisation: Path | None
    understood: tuple[str, ...]


def key(name: str) -> str:
    """A name as it is compared: no case, and letters with accents written one way (Macs write them another)."""
    return unicodedata.normalize("NFC", name).casefold()


def layout(path: str, regularisation: str) -> Layout:
    """The folders meant by the two settings. Raises DatasetError when one is no folder."""
    root = _folder(path, "dataset.path")
    beside = _folder(regularisation, "dataset.regularisation") if regularisation else None
    below = {key(entry.name): entry for entry in _children(root)}
    images = next((below[name] for name in _IMAGE_FOLDERS if name in below), None)
    if images is None or not any(_number(entry.name) for entry in _children(images)):
        return Layout(root, beside, ())
    understood = [f"{root.name} is a kohya project: photos are taken from {images.name}."]
    if beside is None:
        beside = next((below[name] for name in _REGULARISATION_FOLDERS if name in below), None)
        if beside is not None and not any(_children(beside)):
            beside = None
        if beside is not None:
            understood.append(f"Regularisation photos are taken from {beside.name}.")
    return Layout(images, beside, tuple(understood))


def walk(root: Path, without: Path | None = None) -> Iterator[Folder]:
    """Every folder from `root` down that has photos or unused files, sorted by name. Links are followed once.

    `without` is left out: regularisation photos may lie within the dataset's folder.

    Raises DiskError when the drive goes away, DatasetError when a folder may not be read.
    """
    seen = {os.path.realpath(without)} if without else set[str]()

    def visit(path: Path, parts: tuple[str, ...]) -> Iterator[Folder]:
        real = os.path.realpath(path)
        if real in seen:
            return
        seen.add(real)
        folder = _named(root, path, parts)
        below = _sort(_entries(path), folder)
        if folder.pictures or folder.unused:
            yield folder
        for name in below:
            yield from visit(path / name, (*parts, name))

    yield from visit(root, ())


def _folder(given: str, setting: str) -> Path:
    if not given.strip():
        raise DatasetError(f"No folder of photos is given; set {setting}.")
    path = extended(Path(given.strip().strip('"')).expanduser())
    if path.is_file():
        cure = "unpack it first" if path.suffix.lower() in (".zip", ".rar", ".7z") else f"give its folder {path.parent}"
        raise DatasetError(f"{path} is a file, not a folder of photos; {cure}.")
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}; check {setting}.")
    return path


def _entries(path: Path) -> list[os.DirEntry[str]]:
    def read() -> list[os.DirEntry[str]]:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: (key(entry.name), entry.name))

    try:
        return patiently(str(path), read)
    except PermissionError:
        raise DatasetError(f"{path} may not be read; change its permissions or leave it out.") from None


def _children(path: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(path) if entry.is_dir()]


def _sort(entries: list[os.DirEntry[str]], folder: Folder) -> list[str]:
    """Put the files of one folder where they belong; returns the names of its folders."""
    below: list[str] = []
    for entry in entries:
        name = entry.name
        suffix = PurePosixPath(name).suffix.lower()
        if name.startswith(".") or key(name) in _JUNK_FOLDERS:
            continue
        if entry.is_dir():
            below.append(name)
        elif not entry.is_file() and not entry.is_symlink():
            continue  # a pipe or a device would never end
        elif suffix in SUFFIXES:
            folder.pictures.append(name)
        elif suffix in CAPTION_SUFFIXES:
            folder.texts.setdefault(key(name), []).append(name)
        elif suffix in UNUSED_SUFFIXES:
            folder.unused.append(name)
    return below


def _named(root: Path, path: Path, parts: tuple[str, ...]) -> Folder:
    """What the names say: the nearest numbered folder, from this one up to the dataset's own, gives the repeats."""
    for name in reversed((root.name, *parts)):
        numbered = _number(name)
        if numbered:
            return Folder(path, "/".join(parts), name, numbered[1], numbered[0])
    name = parts[-1] if parts else root.name
    return Folder(path, "/".join(parts), name, name if parts else "", 0)


def _number(name: str) -> tuple[int, str] | None:
    """kohya's (repeats, words) of a folder's name; a year ("2024_summer") is no number of repeats."""
    match = _NUMBERED.fullmatch(name)
    if not match or int(match[1]) in _YEARS or int(match[1]) < 1:
        return None
    return int(match[1]), match[2].strip()
