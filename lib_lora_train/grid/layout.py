"""How large a grid's sheets will be and what stands on each, known before the first picture is drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.fonts import Pen
from lib_lora_train.grid.plan import CONTROL, Plan

FORMATS = {"png": 60_000, "jpeg": 60_000, "webp": 16_000}
"""Formats, and the longest side of a sheet in each (WebP ends at 16,383 pixels, JPEG at 65,535)."""
MARGIN_PX, GUTTER_PX, GAP_PX, PAD_PX = 28, 112, 8, 12
SMALLEST_TILE_PX = 48
PROMPT_LINES, LABEL_LINES = 3, 2
WIDEST_HEADING = 13
"""Columns of small pictures are widened for their headings, up to so many times the height of the letters."""
LEAST_WIDTH_PX = 560
"""Of a sheet, so that title and prompts can be read above a few small pictures."""
NO_LORA = "without the LoRA"


@dataclass(frozen=True)
class Look:
    """What sheets look like. `tile_px` is the longest side of a picture on a sheet; a sheet has at most `max_pixels`.

    `fonts` are font files to use before the system's own (a host brings some).
    """

    tile_px: int = 320
    max_pixels: int = 60_000_000
    format: str = "jpeg"
    fonts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise GridError(f"--format {self.format!r} is not known; there are {', '.join(FORMATS)}.")
        if not SMALLEST_TILE_PX <= self.tile_px <= 4096:
            raise GridError(f"--tile {self.tile_px} is out of range: use {SMALLEST_TILE_PX} … 4096 pixels.")
        if not 1_000_000 <= self.max_pixels <= 1_000_000_000:
            raise GridError("--megapixels is out of range: use 1 … 1000.")


@dataclass(frozen=True)
class Row:
    """One row of tiles: numbers into the plan's prompts, seeds and weights (CONTROL where there are none)."""

    prompt: int
    seed: int
    weight: int


@dataclass(frozen=True)
class Sheet:
    """One picture of a grid. `columns` are epochs, CONTROL for the pictures without the LoRA."""

    checkpoint: int
    extra: int
    columns: tuple[int, ...]
    rows: tuple[Row, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Pens:
    """The letters of a sheet."""

    title: Pen
    strong: Pen
    plain: Pen

    @classmethod
    def of(cls, look: Look, tile: tuple[int, int]) -> Pens:
        """Letters that suit the tiles: larger ones on larger sheets, within reason."""
        plain = max(13, min(26, tile[0] // 16))
        return cls(Pen(plain + 9, True, look.fonts), Pen(plain + 2, True, look.fonts), Pen(plain, False, look.fonts))


@dataclass
class Layout:
    """The measures of a plan's sheets. `figures` are the lines under each epoch's heading."""

    plan: Plan
    look: Look
    figures: Mapping[int, Sequence[str]] = field(default_factory=lambda: dict[int, Sequence[str]]())
    tile: tuple[int, int] = field(init=False)
    pens: Pens = field(init=False)
    column: int = field(init=False)
    """Width of a column: of its pictures, or of its heading where that is wider."""

    def __post_init__(self) -> None:
        width, height = self.plan.size
        room = (FORMATS[self.look.format] - 2 * MARGIN_PX - self.gutter) // 2 - GAP_PX
        scale = min(1.0, self.look.tile_px / max(width, height), room / max(width, height))
        self.tile = max(8, round(width * scale)), max(8, round(height * scale))
        self.pens = Pens.of(self.look, self.tile)
        self.column = max(self.tile[0], min(self._heading_width(), WIDEST_HEADING * self.pens.plain.size))

    def _heading_width(self) -> int:
        """The least width at which no heading is cut or touches the next: words of labels and whole figures."""
        strong, plain = self.pens.strong, self.pens.plain
        labels = [*self._labels(), *NO_LORA.split(" ", 1)]  # its two lines
        figures = [text for lines in self.figures.values() for text in lines]
        widths = [*map(strong.length, labels), *map(plain.length, figures)]
        return math.ceil(max(widths)) + plain.size - GAP_PX

    def _labels(self) -> list[str]:
        return [epoch.label for epoch in self.plan.request.epochs]

    @property
    def gutter(self) -> int:
        return GUTTER_PX

    def width(self, columns: int) -> int:
        """A sheet's width in pixels."""
        return max(LEAST_WIDTH_PX, 2 * MARGIN_PX + self.gutter + columns * (self.column + GAP_PX) - GAP_PX)

    @property
    def title_px(self) -> int:
        return MARGIN_PX + self.pens.title.line_px + 2 * self.pens.plain.line_px + PAD_PX

    @property
    def heading_px(self) -> int:
        """The height of the epochs' headings."""
        lines = max((len(lines) for lines in self.figures.values()), default=0)
        labels = [*self._labels(), NO_LORA]
        wrapped = max(len(self.pens.strong.wrapped(label, self.column, LABEL_LINES)) for label in labels)
        return wrapped * self.pens.strong.line_px + lines * self.pens.plain.line_px + 2 * PAD_PX

    def prompt_lines(self, row: Row, width: int) -> list[str]:
        """The text above the rows of a prompt and seed."""
        text = self.plan.drawn(row.prompt, row.seed).text or "(empty prompt)"
        return self.pens.plain.wrapped(text, width - 2 * MARGIN_PX, PROMPT_LINES)

    def group_px(self, row: Row, width: int) -> int:
        """The height of that text with its heading."""
        return self.pens.strong.line_px + len(self.prompt_lines(row, width)) * self.pens.plain.line_px + 2 * PAD_PX

    @property
    def row_px(self) -> int:
        return self.tile[1] + GAP_PX

    def sheets(self) -> list[Sheet]:
        """Every sheet with its size; a grid that is too large for one becomes several, none is refused."""
        plan = self.plan
        found: list[Sheet] = []
        for checkpoint, extra in itertools.product(range(len(plan.request.checkpoints)), range(len(plan.extras))):
            for columns in self._columns():
                width = self.width(len(columns))
                most = min(FORMATS[self.look.format], max(self.look.max_pixels // width, self._least(width)))
                for rows in self._rows(width, most):
                    found.append(Sheet(checkpoint, extra, columns, rows, (width, self.height(rows, width))))
        return found

    def height(self, rows: Sequence[Row], width: int) -> int:
        """A sheet's height in pixels."""
        groups = [next(group) for _, group in itertools.groupby(rows, key=lambda row: (row.prompt, row.seed))]
        heading = sum(self.group_px(row, width) for row in groups)
        return self.title_px + self.heading_px + heading + len(rows) * self.row_px + MARGIN_PX

    def _least(self, width: int) -> int:
        """The height of a sheet with one row."""
        lines = self.pens.strong.line_px + PROMPT_LINES * self.pens.plain.line_px + 2 * PAD_PX
        return self.title_px + self.heading_px + lines + self.row_px + MARGIN_PX

    def _columns(self) -> Iterator[tuple[int, ...]]:
        """The epochs of each sheet side by side, the control on all of them."""
        control = [CONTROL] if any(place.epoch == CONTROL for place in self.plan.places) else []
        epochs = list(range(len(self.plan.request.epochs))) if self.plan.weights else []
        widest = FORMATS[self.look.format] - 2 * MARGIN_PX - self.gutter
        # No sheet so wide that the pixel limit leaves no room for a row.
        widest = min(widest, self.look.max_pixels // self._least(0))
        most = max(1, widest // (self.column + GAP_PX) - len(control))
        for start in range(0, max(1, len(epochs)), most):
            yield (*control, *epochs[start : start + most])

    def _rows(self, width: int, most_px: int) -> Iterator[tuple[Row, ...]]:
        rows = [
            Row(prompt, seed, weight)
            for prompt in range(len(self.plan.request.prompts))
            for seed in range(len(self.plan.request.seeds))
            for weight in (range(len(self.plan.weights)) if self.plan.weights else (CONTROL,))
        ]
        sheet: list[Row] = []
        for row in rows:
            if sheet and self.height([*sheet, row], width) > most_px:
                yield tuple(sheet)
                sheet = []
            sheet.append(row)
        yield tuple(sheet)


def total_pixels(sheets: Sequence[Sheet]) -> int:
    """All sheets together."""
    return sum(sheet.size[0] * sheet.size[1] for sheet in sheets)
