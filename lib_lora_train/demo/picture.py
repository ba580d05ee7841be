"""One picture at the end of the demo: the photos, the base's answer, and the LoRA's answer after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE, GAP, LABEL, MARGIN = 192, 12, 34, 28
PAPER, INK, FAINT = (250, 249, 246), (38, 36, 44), (120, 116, 128)


def compose(photos: Sequence[Path], answers: Sequence[tuple[str, Path]], prompt: str) -> Image.Image:
    """Two rows: `photos`, then `answers` (label, picture), each cut to a square tile; `prompt` stands between."""
    columns = max(len(answers), min(len(photos), 6))
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    height = 2 * MARGIN + 2 * (LABEL + TILE) + LABEL + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), f"{len(photos)} photos", font=_font(20), fill=INK)
    for column, path in enumerate(photos[:columns]):
        sheet.paste(_tile(path), (MARGIN + column * (TILE + GAP), MARGIN + LABEL))
    second = MARGIN + LABEL + TILE + GAP + LABEL
    pen.text((MARGIN, second - LABEL), f"“{prompt}”", font=_font(20), fill=INK)
    for column, (label, path) in enumerate(answers):
        left = MARGIN + column * (TILE + GAP)
        sheet.paste(_tile(path), (left, second + 4))
        pen.text((left, second + TILE + 10), label, font=_font(16), fill=FAINT)
    return sheet


def _tile(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (TILE, TILE), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()
