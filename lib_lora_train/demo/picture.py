"""One picture at the end of the demo: the photos, and in each place the base's answer and the LoRA's after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from lib_lora_train.grid.fonts import Pen

TILE, SMALL, GAP, MARGIN, SIDE = 256, 124, 12, 36, 200
PAPER, INK, FAINT, LINE = (250, 249, 246), (38, 36, 44), (120, 116, 128), (222, 218, 210)
_PHOTOS = 8


@dataclass(frozen=True)
class Row:
    """The answers to one prompt: `label` is what it asks for, `note` a word on it, `answers` are (label, file)."""

    label: str
    note: str
    answers: Sequence[tuple[str, Path]]


def compose(photos: Sequence[Path], rows: Sequence[Row], prompt: str) -> Image.Image:
    """The first of `photos` in a band, then one line for each of `rows` under what was asked, `prompt`."""
    columns = max(len(row.answers) for row in rows)
    width = max(SIDE + columns * TILE + (columns - 1) * GAP, _PHOTOS * (SMALL + GAP) - GAP) + 2 * MARGIN
    top = MARGIN + 44 + SMALL + 2 * MARGIN
    sheet = Image.new("RGB", (width, top + 74 + len(rows) * (TILE + GAP) - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    Pen(26).write(draw, (MARGIN, MARGIN), f"Trained on {len(photos)} photos", INK)
    shown = photos[: (width - 2 * MARGIN + GAP) // (SMALL + GAP)]
    for number, path in enumerate(shown):
        sheet.paste(_tile(path, SMALL), (MARGIN + number * (SMALL + GAP), MARGIN + 44))
    draw.line((MARGIN, top - MARGIN, width - MARGIN, top - MARGIN), fill=LINE, width=2)
    Pen(26).write(draw, (MARGIN, top), f"Asked for “{prompt}”", INK)
    for column, (label, _) in enumerate(rows[0].answers):
        Pen(20).write(draw, (MARGIN + SIDE + column * (TILE + GAP), top + 42), label, FAINT)
    for number, row in enumerate(rows):
        line = top + 74 + number * (TILE + GAP)
        Pen(22).write(draw, (MARGIN, line + TILE // 2 - 28), f"… {row.label}", INK)
        Pen(18).write(draw, (MARGIN, line + TILE // 2 + 4), row.note, FAINT)
        for column, (_, path) in enumerate(row.answers):
            sheet.paste(_tile(path, TILE), (MARGIN + SIDE + column * (TILE + GAP), line))
    return sheet


def _tile(path: Path, side: int) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (side, side), Image.Resampling.LANCZOS)
