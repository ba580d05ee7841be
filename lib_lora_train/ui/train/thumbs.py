"""Small pictures of many photos as one sprite, so that a page of fifty is one short message.

They are drawn beside the page, what was asked for last first; each look shows those that are there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps

from lib_lora_train.files import images
from lib_lora_train.files.errors import FilesError
from lib_lora_train.ui.html import Html, element

SIDE_PX = 72
COLUMNS, ROWS = 10, 5
MOST = COLUMNS * ROWS
MOST_CHARACTERS = 50_000
MOST_KEPT = 1200
"""Thumbnails kept in memory, at 15 kB each."""
MOST_ASKED = 4 * MOST
GREY = (128, 128, 128)
Name = tuple[str, int, int]
"""Path, size and time of change."""
_kept: OrderedDict[Name, _Square] = OrderedDict()
_asked: OrderedDict[Name, None] = OrderedDict()
_lock = threading.Lock()
_drawing = threading.Lock()


def key(paths: Sequence[Path]) -> str:
    """A short name for a page of photos."""
    return hashlib.blake2b("\n".join(map(str, paths)).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def sprite(paths: Sequence[Path]) -> Html:
    """The style that paints the cells of the table whose `data-thumbs` is `key(paths)`; what is not drawn yet is grey."""
    if not paths:
        return Html("")
    names = [_name(path) for path in paths[:MOST]]
    with _lock:
        pictures = tuple(reversed([_known(name) for name in reversed(names)]))  # the first is then asked for last
    if _asked:
        threading.Thread(target=_draw, name="lora-loop-thumbs", daemon=True).start()
    rule = f'[data-thumbs="{key(paths)}"] .lora-loop-thumb{{background-image:url({_sheet(pictures)})}}'
    return element("style", Html(rule))


class _Square:
    """A photo as a square. Each is itself only, so that a sheet of the same ones is known again."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture


@lru_cache(maxsize=8)
def _sheet(pictures: tuple[_Square | None, ...]) -> str:
    sheet = Image.new("RGB", (COLUMNS * SIDE_PX, ROWS * SIDE_PX), GREY)
    for place, square in enumerate(pictures):
        if square is not None:
            sheet.paste(square.picture, (place % COLUMNS * SIDE_PX, place // COLUMNS * SIDE_PX))
    return _uri(sheet)


def _name(path: Path) -> Name | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return str(path), told.st_size, told.st_mtime_ns


def _known(name: Name | None) -> _Square | None:
    """The square of a photo; one that is not there yet is asked for. Under the lock."""
    if name is None:
        return None
    if name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    _asked[name] = None
    _asked.move_to_end(name)
    while len(_asked) > MOST_ASKED:
        _asked.popitem(last=False)
    return None


def _draw() -> None:
    """Draw what is asked for until nothing is; one thread at a time."""
    if not _drawing.acquire(blocking=False):
        return
    try:
        while True:
            with _lock:
                if not _asked:
                    return
                name, _ = _asked.popitem()
            square = _square(Path(name[0]))
            with _lock:
                _kept[name] = square
                while len(_kept) > MOST_KEPT:
                    _kept.popitem(last=False)
    finally:
        _drawing.release()


def _square(path: Path) -> _Square:
    """A photo cut to a square; grey when it cannot be read: the check says why."""
    try:
        small = images.thumbnail(path, 3 * SIDE_PX)
        return _Square(ImageOps.fit(small, (SIDE_PX, SIDE_PX), centering=(0.5, 0.3)))
    except (OSError, MemoryError, FilesError):
        return _Square(Image.new("RGB", (SIDE_PX, SIDE_PX), GREY))


def _uri(sheet: Image.Image) -> str:
    """The sheet as a JPEG that fits a message, coarser where it must be."""
    for quality in (78, 65, 50, 38, 26, 14):
        stream = io.BytesIO()
        sheet.save(stream, "JPEG", quality=quality)
        if stream.tell() * 4 // 3 < MOST_CHARACTERS:
            break
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
