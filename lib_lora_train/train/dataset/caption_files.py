"""Finding and reading the caption files of photos, and saying what is odd about them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files.reading import MOST_TEXT, read_bytes
from lib_lora_train.train.dataset.captions import TEMPLATE, base_caption, expand, lines_of
from lib_lora_train.train.dataset.folders import CAPTION_SUFFIXES, Folder, key
from lib_lora_train.train.dataset.photos import Level, Photo, Problem, counted, listed
from lib_lora_train.train.sections import DatasetConfig

LONG_BYTES = 4096
MAX_BYTES = 1024 * 1024

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Caption:
    """A caption file's text and how it was read."""

    text: str
    encoding: str
    """ "utf-8", "utf-16", "cp1252" or "latin-1"; a byte-order mark of UTF-8 is not worth a word."""
    size: int
    """Bytes on disk."""


def find(folder: Folder, picture: str) -> str | None:
    """The caption file of `picture` in its folder: `.txt` before `.caption`, the same case before another."""
    stem = PurePosixPath(picture).stem
    for suffix in CAPTION_SUFFIXES:
        names = folder.texts.get(key(stem + suffix), [])
        exact = [name for name in names if PurePosixPath(name).stem == stem]
        if names:
            return (exact or names)[0]
    return None


def read(path: Path) -> Caption:
    """The text, whatever wrote it. Raises OSError or DiskError when the file cannot be read."""
    return decoded(read_bytes(path, MOST_TEXT))


def decoded(data: bytes) -> Caption:
    """The text of a caption file: UTF-8 or UTF-16 with a mark, UTF-8, else cp1252, else Latin-1 (never fails)."""
    size, data = len(data), data[:MAX_BYTES]
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return Caption(data.decode(encoding, errors="replace").strip(), encoding.removesuffix("-sig"), size)
    for encoding in ("utf-8", "cp1252"):
        try:
            return Caption(data.decode(encoding).strip(), encoding, size)
        except UnicodeDecodeError:
            if size > MAX_BYTES and encoding == "utf-8":
                return Caption(data.decode(encoding, errors="ignore").strip(), encoding, size)
    return Caption(data.decode("latin-1").strip(), "latin-1", size)


def problems(
    photos: Sequence[Photo], read_as: dict[str, Caption], config: DatasetConfig, trigger: str
) -> Iterator[Problem]:
    """Everything odd about the captions of `photos`; `read_as` has the caption files by relative name."""
    yield from _missing(photos, read_as, config, trigger)
    yield from _files(read_as, config)
    yield from _shared(photos)
    yield from _templates(photos, config)
    told = [photo for photo in photos if photo.caption is not None and not photo.is_regularisation]
    word = trigger.split()[0].casefold() if trigger.split() else ""
    around = f"{config.prefix} {config.suffix}".casefold()
    if word and word not in around:
        without = tuple(photo.name for photo in told if photo.caption and word not in photo.caption.casefold())
        if without:
            yield Problem(
                "warning",
                "caption-trigger",
                f"The trigger {trigger.split()[0]!r} is not in {len(without)} of {len(told)} captions, so those photos do not teach it; add it, or set dataset.prefix.",
                without,
            )


def _missing(
    photos: Sequence[Photo], read_as: dict[str, Caption], config: DatasetConfig, trigger: str
) -> Iterator[Problem]:
    missing = [photo for photo in photos if photo.caption is None]
    empty = tuple(name for name, caption in read_as.items() if not caption.text)
    if empty:
        yield Problem(
            "warning",
            "caption-empty",
            f"{counted(len(empty), 'caption file is', 'caption files are')} empty, as if missing: {listed(empty)}.",
            empty,
        )
    if not missing:
        return
    names = tuple(photo.name for photo in missing)
    share = f"{len(missing)} of {len(photos)} photos have no caption"
    if config.fallback == "error":
        yield Problem(
            "error", "caption-missing", f"{share}, and dataset.fallback says to refuse: {listed(names)}.", names
        )
        return
    used = sorted({base_caption(photo, config, trigger) for photo in missing})
    level: Level = "note" if len(missing) == len(photos) else "warning"
    words = " / ".join(repr(text) for text in used[:3]) + (" …" if len(used) > 3 else "")
    yield Problem(level, "caption-missing", f"{share}; each is called {words}.", names)
    silent = tuple(photo.name for photo in missing if not base_caption(photo, config, trigger))
    if silent:
        cure = "set class_word" if missing[0].is_regularisation else "set a trigger"
        yield Problem(
            "warning",
            "caption-nothing",
            f"{counted(len(silent), 'photo is', 'photos are')} trained without any words, which teaches no name; {cure} or write captions.",
            silent,
        )


def _files(read_as: dict[str, Caption], config: DatasetConfig) -> Iterator[Problem]:
    for encoding in ("utf-16", "cp1252", "latin-1"):
        names = tuple(name for name, caption in read_as.items() if caption.encoding == encoding)
        if names:
            yield Problem(
                "note" if encoding == "utf-16" else "warning",
                "caption-encoding",
                f"{counted(len(names), 'caption is', 'captions are')} not UTF-8 and read as {encoding}: {listed(names)}; look at special letters, or save as UTF-8.",
                names,
            )
    long = tuple(name for name, caption in read_as.items() if caption.size > LONG_BYTES)
    if long:
        sizes = ", ".join(f"{name} ({read_as[name].size // 1024} kB)" for name in long[:5])
        yield Problem(
            "warning",
            "caption-long",
            f"{counted(len(long), 'caption is', 'captions are')} far longer than the text encoder reads: {sizes}.",
            long,
        )
    several = tuple(name for name, caption in read_as.items() if len(lines_of(caption.text)) > 1)
    if several and not config.templates:
        yield Problem(
            "note",
            "caption-lines",
            f"{counted(len(several), 'caption has', 'captions have')} several lines, of which the first is used: {listed(several)}.",
            several,
        )


def _shared(photos: Sequence[Photo]) -> Iterator[Problem]:
    users: dict[str, list[str]] = {}
    for photo in photos:
        if photo.caption_file:
            users.setdefault(photo.caption_file, []).append(photo.name)
    for file, names in users.items():
        if len(names) > 1:
            yield Problem(
                "warning",
                "caption-shared",
                f"{' and '.join(names)} share the caption {file}; rename one of them if that is not meant.",
                tuple(names),
            )


def _templates(photos: Sequence[Photo], config: DatasetConfig) -> Iterator[Problem]:
    """Templates where they are off, and broken ones where they are on: by file and line."""
    done: set[str] = set()
    for photo in photos:
        if not photo.caption or photo.caption_file in done:
            continue
        done.add(photo.caption_file)
        for number, line in enumerate(photo.caption.splitlines(), 1):
            found = TEMPLATE.search(line)
            if config.templates and any(sign in line for sign in "{}$%_<#"):
                try:
                    expand(line, 0)
                except LoraLoopError as error:
                    yield Problem(
                        "error", "caption-template", f"{photo.caption_file}, line {number}: {error}", (photo.name,)
                    )
            elif found and not config.templates and number == 1:
                cure = "turn on dataset.templates to draw from it, or remove the braces"
                yield Problem(
                    "error",
                    "caption-template",
                    f"{photo.caption_file}, line {number}, has the template {found[0]!r}; {cure}.",
                    (photo.name,),
                )
