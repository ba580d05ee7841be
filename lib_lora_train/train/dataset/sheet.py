"""The contact sheet: every photo with its crop, its verdict and its caption in one picture."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from lib_lora_train.files import images
from lib_lora_train.files.atomic import write_bytes
from lib_lora_train.train.dataset.photos import Problem
from lib_lora_train.train.dataset.report import PhotoReport, Report
from lib_lora_train.train.sections import DatasetConfig

MAX_PHOTOS = 240
COLUMNS = 5
PICTURE_PX = 256
MARGIN_PX = 16
TEXT_PX = 92
HEADER_PX = 76

_PAPER, _CARD, _INK, _PALE, _LINE = (242, 243, 245), (255, 255, 255), (32, 36, 42), (110, 118, 129), (220, 223, 228)
_VERDICTS = {"ok": (46, 160, 103), "note": (84, 132, 196), "warning": (214, 143, 28), "error": (201, 60, 55)}
_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "Arial.ttf",
    "arial.ttf",
    "Helvetica.ttc",
    "LiberationSans-Regular.ttf",
)
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "DroidSansFallbackFull.ttf",
    "wqy-zenhei.ttc",
)


@dataclass(frozen=True)
class _Pen:
    """A drawing surface and the fonts to write on it."""

    draw: Any
    font: Any
    small: Any

    def write(self, place: tuple[int, int], text: str, colour: tuple[int, int, int], *, small: bool = False) -> None:
        font = self.small if small else self.font
        try:
            self.draw.text(place, text, fill=colour, font=font)
        except UnicodeError:  # Pillow's own old bitmap font knows Latin-1 only
            self.draw.text(place, text.encode("latin-1", "replace").decode("latin-1"), fill=colour, font=font)

    def clipped(self, text: str, width_px: int) -> str:
        """`text`, cut so that it fits `width_px` in the small font."""
        if self._width(text) <= width_px:
            return text
        while text and self._width(text + "…") > width_px:
            text = text[:-1]
        return text.rstrip() + "…"

    def _width(self, text: str) -> float:
        try:
            return float(self.draw.textlength(text, font=self.small))
        except UnicodeError:
            return 7.0 * len(text)


def save(report: Report, config: DatasetConfig, path: Path) -> None:
    """Write the sheet of `report` as PNG, whole or not at all. Raises DiskError."""
    stream = io.BytesIO()
    compose(report, config).save(stream, "PNG", optimize=False)
    write_bytes(path, stream.getvalue())


def compose(report: Report, config: DatasetConfig) -> Image.Image:
    """The sheet: what cannot be read, then photos for training, held out, and for regularisation; at most `MAX_PHOTOS`."""
    everything = (*report.left_out, *report.photos, *report.held_out, *report.regularisation)
    cells: Sequence[PhotoReport | Problem] = everything[:MAX_PHOTOS]
    columns = max(1, min(COLUMNS, len(cells)))
    rows = -(-len(cells) // columns)
    card = PICTURE_PX, PICTURE_PX + TEXT_PX
    width = max(MARGIN_PX + columns * (card[0] + MARGIN_PX), 720)
    sheet = Image.new("RGB", (width, HEADER_PX + rows * (card[1] + MARGIN_PX) + MARGIN_PX), _PAPER)
    letters = "".join(f"{cell.photo.name}{cell.caption}" for cell in cells if isinstance(cell, PhotoReport))
    pen = _Pen(ImageDraw.Draw(sheet), _font(20, letters), _font(13, letters))
    total = len(everything)
    pen.write((MARGIN_PX, 12), report.understood[0] if report.understood else "No photos.", _INK)
    more = f" The first {len(cells)} of {total} are shown." if total > len(cells) else ""
    steps = f"{report.length.explanation} Dark parts are cut off.{more}"
    pen.write((MARGIN_PX, 44), pen.clipped(steps, width - 2 * MARGIN_PX), _PALE, small=True)
    for index, cell in enumerate(cells):
        corner = (
            MARGIN_PX + index % columns * (card[0] + MARGIN_PX),
            HEADER_PX + index // columns * (card[1] + MARGIN_PX),
        )
        _card(sheet, pen, corner, cell, config)
    return sheet


def _card(
    sheet: Image.Image, pen: _Pen, corner: tuple[int, int], cell: PhotoReport | Problem, config: DatasetConfig
) -> None:
    left, top = corner
    verdict = cell.verdict if isinstance(cell, PhotoReport) else "error"
    pen.draw.rectangle((left, top, left + PICTURE_PX - 1, top + PICTURE_PX + TEXT_PX - 1), fill=_CARD, outline=_LINE)
    if isinstance(cell, PhotoReport):
        sheet.paste(picture(cell, config), corner)
        texts = _texts(cell)
    else:
        pen.write(
            (left + PICTURE_PX // 2 - 40, top + PICTURE_PX // 2 - 8), "not readable", _VERDICTS["error"], small=True
        )
        texts = [cell.names[0] if cell.names else "", *textwrap.wrap(cell.message.partition(": ")[2], 38)]
    pen.draw.rectangle((left, top + PICTURE_PX, left + PICTURE_PX - 1, top + PICTURE_PX + 3), fill=_VERDICTS[verdict])
    for line, text in enumerate(texts[:4]):
        pen.write(
            (left + 8, top + PICTURE_PX + 10 + 19 * line),
            pen.clipped(text, PICTURE_PX - 16),
            _INK if line == 0 else _PALE,
            small=True,
        )


def _texts(cell: PhotoReport) -> list[str]:
    photo = cell.photo
    what = "regularisation" if photo.is_regularisation else f"x{cell.repeats}" if cell.repeats else "held out"
    caption = textwrap.wrap(cell.caption or "(no caption)", 40, max_lines=1 if cell.marks else 2, placeholder=" …")
    size = f"{photo.width} x {photo.height}  >  {cell.bucket[0]} x {cell.bucket[1]}   {what}"
    return [photo.name, size, *([cell.marks] if cell.marks else []), *caption]


def picture(cell: PhotoReport, config: DatasetConfig) -> Image.Image:
    """The whole photo in a square, what is cut off dimmed, the crop framed."""
    square = Image.new("RGB", (PICTURE_PX, PICTURE_PX), _LINE)
    try:
        image = images.decode(cell.photo.path, images.colour(config.background))
    except (images.ImageError, OSError):
        return square
    image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    scale = image.width / cell.resized[0], image.height / cell.resized[1]
    box = [
        round(cell.crop[0] * scale[0]),
        round(cell.crop[1] * scale[1]),
        round((cell.crop[0] + cell.bucket[0]) * scale[0]),
        round((cell.crop[1] + cell.bucket[1]) * scale[1]),
    ]
    dim = Image.blend(image, Image.new("RGB", image.size, _INK), 0.7)
    dim.paste(image.crop((box[0], box[1], box[2], box[3])), (box[0], box[1]))
    if (box[2] - box[0], box[3] - box[1]) != image.size:
        ImageDraw.Draw(dim).rectangle(
            (box[0], box[1], box[2] - 1, box[3] - 1), outline=_VERDICTS[cell.verdict], width=2
        )
    square.paste(dim, ((PICTURE_PX - dim.width) // 2, (PICTURE_PX - dim.height) // 2))
    return square


def _font(size: int, letters: str) -> Any:
    """A font of this system, one with East Asian letters if `letters` has any, else Pillow's own."""
    wide = any("\u2e80" <= letter <= "\uffdc" for letter in letters)
    for name in (*(_WIDE_FONTS if wide else ()), *_FONTS):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size only
        return ImageFont.load_default()
