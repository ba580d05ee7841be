"""Small pictures of many photos as one sprite, so that a page of fifty is one short message. A look draws a few more."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import time
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
PATIENCE_S = 0.3
"""How long one look draws."""
GREY = (128, 128, 128)
_kept: OrderedDict[tuple[str, int, int], _Square] = OrderedDict()
_lock = threading.Lock()


def key(paths: Sequence[Path]) -> str:
    """A short name for a page of photos."""
    return hashlib.blake2b("\n".join(map(str, paths)).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def sprite(paths: Sequence[Path]) -> Html:
    """The style that paints the cells of the table whose `data-thumbs` is `key(paths)`; what is not drawn yet is grey."""
    if not paths:
        return Html("")
    until = time.monotonic() + PATIENCE_S
    with _lock:
        pictures = tuple(_picture(path, time.monotonic() < until) for path in paths[:MOST])
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


def _picture(path: Path, may_draw: bool) -> _Square | None:
    """A photo from memory or drawn now; grey when it cannot be read, None when it is not drawn yet."""
    try:
        told = path.stat()
    except OSError:
        return None
    name = (str(path), told.st_size, told.st_mtime_ns)
    if name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    if not may_draw:
        return None
    square = Image.new("RGB", (SIDE_PX, SIDE_PX), GREY)
    try:
        small = images.thumbnail(path, 3 * SIDE_PX)
        square = ImageOps.fit(small, (SIDE_PX, SIDE_PX), centering=(0.5, 0.3))
    except (OSError, FilesError):
        pass  # a grey square: the check says why
    _kept[name] = _Square(square)
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return _kept[name]


def _uri(sheet: Image.Image) -> str:
    """The sheet as a JPEG that fits a message, coarser where it must be."""
    for quality in (78, 65, 50, 38, 26, 14):
        stream = io.BytesIO()
        sheet.save(stream, "JPEG", quality=quality)
        if stream.tell() * 4 // 3 < MOST_CHARACTERS:
            break
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
