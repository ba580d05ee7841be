"""What draws the pictures, handed in from outside, and the loop that draws what is missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lib_lora_train.files.errors import DiskError
from lib_lora_train.grid.layout import Sheet, total_pixels
from lib_lora_train.grid.manifest import Done, Manifest
from lib_lora_train.grid.plan import Cell, Plan

SHEET_BYTES_PER_PIXEL = {"png": 2.0, "jpeg": 0.8, "webp": 0.5}
PNG_BYTES_PER_PIXEL = 1.8
"""Before the first picture: an SD picture as PNG has 1.3 to 1.8 bytes a pixel."""


@dataclass(frozen=True)
class Picture:
    """A drawn cell as the bytes of a PNG with its infotext in it."""

    png: bytes
    infotext: str


@dataclass(frozen=True)
class Failure:
    """A cell that could not be drawn, with the reason in one sentence."""

    reason: str


class Renderer(Protocol):
    """Draws cells that share checkpoint, LoRA, weight and settings."""

    def draw(self, cells: Sequence[Cell]) -> Sequence[Picture | Failure]:
        """One answer a cell, in order. A fault of one cell is a Failure; what ends the whole grid is raised."""
        ...


@dataclass(frozen=True)
class Estimate:
    """What a grid will take. `seconds` is None before any picture has been drawn."""

    images: int
    waiting: int
    seconds: float | None
    disk_bytes: int
    sheets: tuple[Sheet, ...]

    @property
    def sentence(self) -> str:
        """Images, time, disk and sheets for a person."""
        new = "" if self.waiting == self.images else f", {self.waiting:,} of them new"
        left = f"about {duration(self.seconds)}" if self.seconds is not None else "time: known after the first picture"
        largest = max(self.sheets, key=lambda sheet: sheet.size[0] * sheet.size[1]).size
        count = f"{len(self.sheets)} sheet{'s' * (len(self.sheets) != 1)}"
        return f"{self.images:,} pictures{new}; {left}; {_size(self.disk_bytes)} on the disk; {count} of up to {largest[0]:,} x {largest[1]:,} pixels."


def estimate(plan: Plan, manifest: Manifest, sheets: Sequence[Sheet], kind: str) -> Estimate:
    """What is left of `plan`, from the pictures that are there already."""
    waiting = manifest.waiting(plan)
    each = manifest.seconds_per_image(plan)
    sizes = [done.bytes for done in manifest.done.values() if done.file]
    pixels = plan.size[0] * plan.size[1]
    picture = sum(sizes) / len(sizes) if sizes else pixels * PNG_BYTES_PER_PIXEL
    disk = len(waiting) * picture + total_pixels(sheets) * SHEET_BYTES_PER_PIXEL[kind]
    seconds = None if each is None else each * len(waiting)
    return Estimate(len(plan.cells), len(waiting), seconds, int(disk), tuple(sheets))


def require_space(found: Estimate, manifest: Manifest) -> None:
    """Raises DiskError when the grid surely does not fit."""
    free = shutil.disk_usage(manifest.folder).free
    if found.disk_bytes > free:
        raise DiskError(
            f"This grid needs about {_size(found.disk_bytes)} in {manifest.folder}, and {_size(free)} are free: free some, or choose fewer or smaller pictures."
        )


def draw_missing(
    plan: Plan,
    manifest: Manifest,
    renderer: Renderer,
    told: Callable[[Done, int, int], None],
    most: int = 8,
) -> int:
    """Draw every cell without a picture; `told` hears of each with how many are done of how many. Returns the failures.

    A picture is on the disk and in the journal before the next one is begun. Raises what ends the whole grid.
    """
    waiting = manifest.waiting(plan)
    count = failures = 0
    for batch in plan.batches(waiting, most):
        begun = time.monotonic()
        answers = renderer.draw(batch)
        each = (time.monotonic() - begun) / len(batch)
        for cell, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Picture):
                done = manifest.record(cell, answer.png, answer.infotext, each)
            else:
                done = manifest.fail(cell, answer.reason)
                failures += 1
            count += 1
            told(done, count, len(waiting))
    return failures


def duration(seconds: float) -> str:
    """A time in words, to the precision that an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, round(number / 1e6))} MB"
