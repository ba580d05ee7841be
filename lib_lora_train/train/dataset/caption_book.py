"""The captions of a folder of photos, read and written: one `.txt` beside each photo, and nothing else in that folder.

What a caption file held before it was first changed here is kept for good, and what the last change replaced is kept
for its undo, to the byte; both lie in a folder of their own (`keep`), never among the photos.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, locks
from lib_lora_train.files.reading import MOST_TEXT, content, read_bytes
from lib_lora_train.train.base import clip_count
from lib_lora_train.train.dataset import caption_files
from lib_lora_train.train.dataset.caption_edit import Edit
from lib_lora_train.train.dataset.captions import base_caption, caption_for
from lib_lora_train.train.dataset.folders import Folder, layout, walk
from lib_lora_train.train.dataset.photos import Photo, counted, listed
from lib_lora_train.train.errors import DatasetError
from lib_lora_train.train.sections import DatasetConfig

WRITERS = 8
Bytes = Mapping[str, "bytes | None"]
"""What caption files hold, by their names relative to the photos' folder; None is no file."""


@dataclass(frozen=True)
class Row:
    """One photo and what is said of it."""

    photo: Photo
    file: Path
    """Where its caption is written: the `.txt` beside it."""
    name: str
    """`file` relative to the photos' folder, with forward slashes."""
    held: bytes | None
    """What that `.txt` holds now, None when there is none."""
    text: str
    """Its caption, which may stand in another file (`.caption`) so far."""
    spoken: str
    """What is trained: the fallback where there is no caption, prefix and suffix."""
    tokens: int
    odd: tuple[str, ...]
    """What a person should look at: "empty", "trigger", "long", "encoding", "shared"."""

    @property
    def stamp(self) -> str:
        """Changes when the file does, and says whether somebody else changed it meanwhile."""
        return stamp(self.held)


def stamp(held: bytes | None) -> str:
    """A short sign of what a file holds."""
    return "none" if held is None else hashlib.blake2b(held, digest_size=8).hexdigest()


def read(config: DatasetConfig, trigger: str) -> tuple[Row, ...]:
    """Every photo of `config.path`, without looking into it, with its caption as it stands on the disk now.

    Raises DatasetError, DiskError when the folder or a caption cannot be read.
    """
    where = layout(config.path, config.regularisation)
    plain = replace(config, caption_dropout=0.0, caption_dropout_every=0, tag_dropout=0.0, shuffle=False)
    rows: list[Row] = []
    for folder in walk(where.root, where.regularisation):
        for picture in folder.pictures:
            rows.append(_row(folder, picture, plain, trigger))
    users: dict[Path, int] = {}
    for row in rows:
        users[row.file] = users.get(row.file, 0) + 1
    return tuple(replace(row, odd=(*row.odd, "shared")) if users[row.file] > 1 else row for row in rows)


def _row(folder: Folder, picture: str, config: DatasetConfig, trigger: str) -> Row:
    found = caption_files.find(folder, picture)
    file = found if found and found.lower().endswith(".txt") else f"{PurePosixPath(picture).stem}.txt"
    try:
        data = read_bytes(folder.path / found, MOST_TEXT) if found else None
    except OSError as error:
        raise DatasetError(f"The caption {folder.name_of(found or file)} cannot be read: {error.strerror}.") from error
    caption = caption_files.decoded(data) if data is not None else None
    text = caption.text if caption else ""
    photo = Photo(
        folder.path / picture, folder.name_of(picture), 0, 0, folder.name_of(picture), folder.label, folder.words
    )
    photo = replace(photo, caption=text or None, caption_file=folder.name_of(found) if text and found else "")
    spoken = _spoken(photo, config, trigger)
    tokens = clip_count.count(spoken[: caption_files.LONG_BYTES * 4])
    word = trigger.split()[0].casefold() if trigger.split() else ""
    odd = {
        "empty": not text,
        "trigger": bool(text) and word not in spoken.casefold(),
        "long": tokens > config.max_tokens,
        "encoding": caption is not None and caption.encoding not in ("utf-8", "utf-16"),
    }
    held = data if found == file else None
    return Row(
        photo,
        folder.path / file,
        folder.name_of(file),
        held,
        text,
        spoken,
        tokens,
        tuple(name for name, is_so in odd.items() if is_so),
    )


def _spoken(photo: Photo, config: DatasetConfig, trigger: str) -> str:
    try:
        return caption_for(photo, 0, 1, 0, config, trigger)
    except LoraLoopError:  # a broken template is told by the check
        return base_caption(photo, config, trigger)


def keep_for(home: Path, config: DatasetConfig) -> Path:
    """The folder that keeps the originals and the last change of this folder's captions."""
    root = layout(config.path, config.regularisation).root
    sign = hashlib.blake2b(str(root.resolve()).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return home / "captions" / sign


def plan(rows: Sequence[Row], edit: Edit, keep: Path) -> dict[str, bytes | None]:
    """What the edit makes of the rows' files, only those that change, by name. Writes nothing. Raises DatasetError."""
    first = _load(keep / "originals.json") if edit.kind == "original" else {}
    found: dict[str, bytes | None] = {}
    for row in rows:
        if edit.kind == "original":
            if row.name in first and first[row.name] != row.held:
                found[row.name] = first[row.name]
            continue
        text = edit.of(row.text)
        if text != row.text:
            found[row.name] = text.encode("utf-8")
    return found


def write(rows: Sequence[Row], changed: Bytes, keep: Path) -> int:
    """Give the rows' files these contents, each whole or not at all; returns how many.

    Only what is a row's own `.txt` is written. What was there goes into `keep` first, so that a crash between two files
    can be undone too. Raises DatasetError when a file is not as the rows say, DiskError.
    """
    own = {row.name: row for row in rows if row.name in changed}
    with atomic.disk_errors("The captions' originals", keep):
        keep.mkdir(parents=True, exist_ok=True)
    with locks.mutex(keep / ".lock"):
        for row in own.values():
            _require(row)
        first = _load(keep / "originals.json")
        fresh = {name: row.held for name, row in own.items() if name not in first}
        if fresh:
            _save(keep / "originals.json", {**first, **fresh})
        last = {name: {"before": _packed(row.held), "after": stamp(changed[name])} for name, row in own.items()}
        atomic.write_json(keep / "last.json", last)
        _put_all({row.file: changed[name] for name, row in own.items()})
    return len(own)


def can_undo(keep: Path) -> int:
    """How many captions the last change was about, 0 when there is nothing to undo."""
    return len(_journal(keep))


def undo(rows: Sequence[Row], keep: Path) -> tuple[int, str]:
    """Bring back, to the byte, what the last change replaced; how many, and a sentence on those that could not be.

    A caption that was changed by somebody else since is left alone. Raises DatasetError when there is nothing to undo.
    """
    own = {row.name: row for row in rows}
    with locks.mutex(keep / ".lock"):
        journal = _journal(keep)
        if not journal:
            raise DatasetError("There is no change to undo.")
        back, left = dict[Path, "bytes | None"](), list[str]()
        for name, entry in journal.items():
            row, before = own.get(name), entry["before"]
            if row is not None and row.stamp == stamp(before):
                continue  # a crash came before it was changed
            if row is None or row.stamp != entry["after"] or row.file.is_symlink():
                left.append(name)
                continue
            back[row.file] = before
        _put_all(back)
        (keep / "last.json").unlink(missing_ok=True)
    words = counted(len(left), "caption was", "captions were")
    return len(back), f"{words} changed by somebody else since and left alone: {listed(tuple(left))}." if left else ""


def _require(row: Row) -> None:
    """Raises DatasetError when a row's file may not be written, or is not as it was read."""
    if row.file.is_symlink():
        raise DatasetError(f"{row.name} is a link; put the caption itself there, then change it.")
    if not row.photo.path.is_file() or row.file.suffix.lower() != ".txt":
        raise DatasetError(f"The photo {row.photo.name} is gone; check the folder again.")
    if stamp(content(row.file, MOST_TEXT) if row.file.is_file() else None) != row.stamp:
        raise DatasetError(f"{row.name} was changed by somebody else meanwhile; look at it again.")


def _put_all(files: Mapping[Path, bytes | None]) -> None:
    """Several at a time: each waits for the disk to have it."""
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="captions") as pool:
        list(pool.map(_put, files.keys(), files.values()))


def _put(file: Path, data: bytes | None) -> None:
    if data is None:
        with atomic.disk_errors(file.name, file.parent):
            file.unlink(missing_ok=True)
    else:
        atomic.write_bytes(file, data)


def _packed(data: bytes | None) -> Any:
    """Bytes as a value for JSON that people can read where they are text."""
    try:
        return None if data is None else data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data or b"").decode("ascii")}


def _unpacked(value: Any) -> bytes | None:
    """Raises ValueError for what `_packed` did not write."""
    if isinstance(value, dict):
        return base64.b64decode(str(cast("dict[str, Any]", value).get("base64")), validate=True)
    if value is None or isinstance(value, str):
        return None if value is None else value.encode("utf-8")
    raise ValueError(type(value).__name__)


def _save(path: Path, held: Bytes) -> None:
    atomic.write_json(path, {name: _packed(data) for name, data in held.items()})


def _load(path: Path) -> dict[str, bytes | None]:
    """Raises DatasetError when the file was changed by hand: originals that cannot be read must not be forgotten."""
    try:
        told: Any = json.loads(path.read_text("utf-8"))
        return {name: _unpacked(value) for name, value in cast("dict[str, Any]", told).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read ({str(error)[:80]}); move it away to change captions.") from error


def _journal(keep: Path) -> dict[str, dict[str, Any]]:
    """The last change: what each file held before, and the stamp of what it was given. A broken one is none."""
    try:
        told: Any = json.loads((keep / "last.json").read_text("utf-8"))
        return {
            name: {"before": _unpacked(entry["before"]), "after": str(entry["after"])} for name, entry in told.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
