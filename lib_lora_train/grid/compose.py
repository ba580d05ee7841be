"""The labelled sheets of a grid: headings, prompts and tiles, drawn band by band.

A PNG needs the memory of one band (a row of tiles) whatever its size; JPEG and WebP need one sheet, whose pixels
`Look.max_pixels` bounds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, images
from lib_lora_train.grid import png_stream
from lib_lora_train.grid.layout import (
    GAP_PX,
    LABEL_LINES,
    MARGIN_PX,
    NO_LORA,
    PAD_PX,
    Layout,
    Row,
    Sheet,
)
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.plan import CONTROL, Place

Colour = tuple[int, int, int]
# White like the hosts' own grids.
PAPER, INK, FAINT, LINE = (255, 255, 255), (28, 30, 36), (108, 114, 126), (226, 228, 233)
ACCENT, FAILED, EMPTY = (230, 106, 32), (253, 236, 234), (244, 245, 247)
FOLDER = "sheets"
_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True)
class Words:
    """What stands at the top: the run's name, two lines below it, and the epoch to point at (None for none)."""

    title: str
    lines: tuple[str, str]
    chosen: int | None = None


def write_sheets(layout: Layout, manifest: Manifest, words: Words) -> list[Path]:
    """Draw every sheet into the grid's folder; sheets of an earlier, larger grid are removed. Raises DiskError."""
    folder = manifest.folder / FOLDER
    with atomic.disk_errors(FOLDER, folder):
        folder.mkdir(exist_ok=True)
    sheets = layout.sheets()
    paths = [folder / f"grid-{number:02d}{_SUFFIX[layout.look.format]}" for number in range(1, len(sheets) + 1)]
    for number, (sheet, path) in enumerate(zip(sheets, paths, strict=True), 1):
        page = f"  ·  sheet {number} of {len(sheets)}" if len(sheets) > 1 else ""
        painter = Painter(
            layout, manifest, sheet, Words(words.title, (words.lines[0] + page, words.lines[1]), words.chosen)
        )
        with atomic.replacing(path) as stream:
            _save(painter, layout.look.format, stream)
    for old in folder.glob("grid-*"):
        if old not in paths:
            old.unlink(missing_ok=True)
    return paths


def _save(painter: Painter, kind: str, stream: Any) -> None:
    size = painter.sheet.size
    if kind == "png":
        png_stream.write(stream, size, painter.bands())
        return
    whole = Image.new("RGB", size, PAPER)
    top = 0
    for band in painter.bands():
        whole.paste(band, (0, top))
        top += band.height
    if kind == "jpeg":
        whole.save(stream, "JPEG", quality=92, subsampling=0, optimize=False)
    else:
        whole.save(stream, "WEBP", quality=90, method=3)


@dataclass
class Painter:
    """Draws one sheet from the top down."""

    layout: Layout
    manifest: Manifest
    sheet: Sheet
    words: Words

    def bands(self) -> Iterator[Image.Image]:
        """All bands; their heights add up to the sheet's."""
        yield self._title()
        yield self._headings()
        before: tuple[int, int] | None = None
        for row in self.sheet.rows:
            first = (row.prompt, row.seed) != before
            before = row.prompt, row.seed
            if first:
                yield self._prompt(row)
            yield self._tiles(row, first)
        yield self._band(MARGIN_PX)

    def _band(self, height: int) -> Image.Image:
        return Image.new("RGB", (self.sheet.size[0], height), PAPER)

    def _left(self, column: int) -> int:
        return MARGIN_PX + self.layout.gutter + column * (self.layout.column + GAP_PX)

    def _title(self) -> Image.Image:
        band, pens = self._band(self.layout.title_px), self.layout.pens
        draw, top, room = ImageDraw.Draw(band), MARGIN_PX, self.sheet.size[0] - 2 * MARGIN_PX
        for line in pens.title.wrapped(self.words.title, room, 1):
            pens.title.write(draw, (MARGIN_PX, top), line, INK)
        top += pens.title.line_px
        for text in self.words.lines:
            for line in pens.plain.wrapped(text, room, 1):
                pens.plain.write(draw, (MARGIN_PX, top), line, FAINT)
            top += pens.plain.line_px
        return band

    def _headings(self) -> Image.Image:
        band, pens, room = self._band(self.layout.heading_px), self.layout.pens, self.layout.column
        draw = ImageDraw.Draw(band)
        draw.line((MARGIN_PX, 0, self.sheet.size[0] - MARGIN_PX, 0), fill=LINE)
        for column, epoch in enumerate(self.sheet.columns):
            left, top = self._left(column), PAD_PX
            label = NO_LORA if epoch == CONTROL else self.layout.plan.request.epochs[epoch].label
            chosen = epoch == self.words.chosen and epoch != CONTROL
            lines = pens.strong.wrapped(label, room, LABEL_LINES)
            for line in lines:
                pens.strong.write(draw, (left, top), line, ACCENT if chosen else INK)
                top += pens.strong.line_px
            for text in self.layout.figures.get(epoch, ()):
                for line in pens.plain.wrapped(text, room, 1):
                    pens.plain.write(draw, (left, top), line, FAINT)
                top += pens.plain.line_px
            if chosen:
                draw.rectangle((left, band.height - 5, left + room - 1, band.height - 2), fill=ACCENT)
        return band

    def _prompt(self, row: Row) -> Image.Image:
        width, pens, request = self.sheet.size[0], self.layout.pens, self.layout.plan.request
        band = self._band(self.layout.group_px(row, width))
        draw, top = ImageDraw.Draw(band), PAD_PX
        draw.line((MARGIN_PX, 0, width - MARGIN_PX, 0), fill=LINE)
        label = f"{request.prompts[row.prompt].label}  ·  seed {request.seeds[row.seed]}"
        for line in pens.strong.wrapped(label, width - 2 * MARGIN_PX, 1):
            pens.strong.write(draw, (MARGIN_PX, top), line, INK)
        top += pens.strong.line_px
        for line in self.layout.prompt_lines(row, width):
            pens.plain.write(draw, (MARGIN_PX, top), line, FAINT)
            top += pens.plain.line_px
        return band

    def _tiles(self, row: Row, first: bool) -> Image.Image:
        band, pens = self._band(self.layout.row_px), self.layout.pens
        draw = ImageDraw.Draw(band)
        if row.weight != CONTROL:
            for number, text in enumerate(("weight", f"{self.layout.plan.weights[row.weight]:g}")):
                pen = pens.strong if number else pens.plain
                pen.write(draw, (MARGIN_PX, number * pens.plain.line_px), text, INK if number else FAINT)
        for column, epoch in enumerate(self.sheet.columns):
            if epoch == CONTROL and not first:  # one picture serves all weights
                continue
            weight = CONTROL if epoch == CONTROL else row.weight
            place = Place(self.sheet.checkpoint, self.sheet.extra, row.prompt, row.seed, weight, epoch)
            self._tile(band, draw, self._left(column), place)
        return band

    def _tile(self, band: Image.Image, draw: Any, left: int, place: Place) -> None:
        width, height = self.layout.tile
        key = self.layout.plan.places.get(place, "")
        path = self.manifest.picture(key)
        done = self.manifest.done.get(key)
        reason = done.error if done else "not drawn yet"
        if path:
            try:
                band.paste(*_fitted(path, left, (width, height)))
                return
            except (LoraLoopError, OSError) as error:
                reason = f"The picture {error}"
        failed = reason != "not drawn yet"
        draw.rectangle((left, 0, left + width - 1, height - 1), fill=FAILED if failed else EMPTY)
        pen = self.layout.pens.plain
        lines = pen.wrapped(reason, width - 2 * PAD_PX, max(1, (height - 2 * PAD_PX) // pen.line_px))
        for number, line in enumerate(lines):
            pen.write(draw, (left + PAD_PX, PAD_PX + number * pen.line_px), line, INK if failed else FAINT)


def _fitted(path: Path, left: int, tile: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """The picture scaled into its tile, and where it goes."""
    picture = images.decode(path)
    scale = min(tile[0] / picture.width, tile[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    return picture, (left + (tile[0] - size[0]) // 2, (tile[1] - size[1]) // 2)


def png_bytes(picture: Image.Image, infotext: str) -> bytes:
    """A picture as PNG with its `parameters`, which every host reads back."""
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext)
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
