"""Sheets: their size is known beforehand, every tile is where it belongs, and memory does not grow with the grid."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora_train.grid import compose, png_stream
from lib_lora_train.grid.compose import Words, write_sheets
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.fonts import Pen
from lib_lora_train.grid.layout import GAP_PX, MARGIN_PX, Layout, Look
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.plan import CONTROL, Place, Plan
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.render import draw_missing
from tests.grid.files import Painter, make_plan, picture_of, write_run

ROOT = Path(__file__).parents[2]
WORDS = Words("x", ("a line", "another"), 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("compose"), "x", 3)


def drawn(folder: Path, plan: Plan, painter: Painter | None = None) -> Manifest:
    manifest = Manifest.open(folder)
    draw_missing(plan, manifest, painter or Painter(), lambda *_: None)
    return manifest


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_every_tile_is_where_its_headings_say(run: Run, tmp_path: Path, kind: str) -> None:
    plan = make_plan(run)
    layout = Layout(plan, Look(tile_px=64, format=kind), {0: ["40 steps", "loss 0.1"]})
    [path] = write_sheets(layout, drawn(tmp_path, plan), WORDS)
    [sheet] = layout.sheets()
    with Image.open(path) as picture:
        assert picture.size == sheet.size and picture.format == {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}[kind]
        pixels = picture.convert("RGB")
    top = layout.title_px + layout.heading_px
    before = None
    for row in sheet.rows:
        first = (row.prompt, row.seed) != before
        before = row.prompt, row.seed
        top += layout.group_px(row, sheet.size[0]) if first else 0
        for column, epoch in enumerate(sheet.columns):
            if epoch == CONTROL and not first:
                continue
            place = Place(0, 0, row.prompt, row.seed, CONTROL if epoch == CONTROL else row.weight, epoch)
            cell = plan.cell(place)
            assert cell
            left = MARGIN_PX + layout.gutter + column * (layout.column + GAP_PX)
            found = pixels.getpixel((left + 30, top + 20))
            assert max(abs(one - two) for one, two in zip(found, picture_of(cell).getpixel((5, 5)), strict=True)) < 12
        top += layout.row_px
    assert top + MARGIN_PX == sheet.size[1]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_cell_is_on_a_sheet_and_no_sheet_is_too_large(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = write_run(tmp_path_factory.mktemp("sheets"), "x", data.draw(st.integers(1, 6)))
    count = data.draw(st.integers(1, 6))
    plan = make_plan(
        run,
        weights=tuple(round(0.1 * number, 1) for number in range(count)),
        control=data.draw(st.booleans()) or count == 1,
        seeds=tuple(range(data.draw(st.integers(1, 4)))),
        prompts=tuple(GridPrompt(str(number), "word " * data.draw(st.integers(0, 90))) for number in range(2)),
    )
    look = Look(
        data.draw(st.integers(48, 2000)),
        data.draw(st.integers(1, 30)) * 1_000_000,
        data.draw(st.sampled_from(["png", "webp"])),
    )
    sheets = Layout(plan, look).sheets()
    shown = {
        (sheet.checkpoint, sheet.extra, row.prompt, row.seed, CONTROL if epoch == CONTROL else row.weight, epoch)
        for sheet in sheets
        for row in sheet.rows
        for epoch in sheet.columns
    }
    assert shown == {tuple(place) for place in plan.places}
    for sheet in sheets:
        assert max(sheet.size) <= (16_383 if look.format == "webp" else 60_000)
        one_tile = len(sheet.rows) == 1 and len([epoch for epoch in sheet.columns if epoch != CONTROL]) <= 1
        assert one_tile or sheet.size[0] * sheet.size[1] <= look.max_pixels * 1.02


def test_sheets_of_a_larger_grid_before_are_removed(run: Run, tmp_path: Path) -> None:
    plan = make_plan(run, seeds=tuple(range(24)), weights=(1.0,))
    manifest = drawn(tmp_path, plan)
    assert len(write_sheets(Layout(plan, Look(max_pixels=1_000_000)), manifest, WORDS)) > 2
    plan = make_plan(run)
    write_sheets(Layout(plan, Look(tile_px=64, format="png")), manifest, WORDS)
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["grid-01.png"]


def test_a_picture_that_was_damaged_since_is_a_tile_with_its_reason(run: Run, tmp_path: Path) -> None:
    plan = make_plan(run)
    manifest = drawn(tmp_path, plan)
    path = manifest.picture(plan.places[Place(0, 0, 0, 0, CONTROL, CONTROL)])
    assert path
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    layout = Layout(plan, Look(tile_px=64, format="png"))
    [sheet] = write_sheets(layout, manifest, WORDS)
    top = layout.title_px + layout.heading_px + layout.group_px(layout.sheets()[0].rows[0], layout.width(4))
    with Image.open(sheet) as picture:
        assert picture.getpixel((MARGIN_PX + layout.gutter + 1, top + 1)) == compose.FAILED


@pytest.mark.parametrize("look", [{"tile_px": 5}, {"format": "gif"}, {"max_pixels": 5}])
def test_a_look_that_cannot_be_is_refused(look: dict[str, Any]) -> None:
    with pytest.raises(GridError, match=r"--(tile|format|megapixels)"):
        Look(**look)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.binary(min_size=16, max_size=64))
def test_a_png_in_bands_reads_back_to_the_same_pixels(width: int, heights: list[int], seed: bytes) -> None:
    whole = Image.frombytes("RGB", (width, sum(heights)), (seed * (width * sum(heights)))[: 3 * width * sum(heights)])
    tops = [sum(heights[:number]) for number in range(len(heights))]
    bands = [whole.crop((0, top, width, top + height)) for top, height in zip(tops, heights, strict=True)]
    stream = io.BytesIO()
    png_stream.write(stream, whole.size, bands, "prompt ü")
    stream.seek(0)
    with Image.open(stream) as picture:
        assert picture.tobytes() == whole.tobytes() and picture.info["parameters"] == "prompt ü"


def test_a_png_whose_bands_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        png_stream.write(io.BytesIO(), (4, 4), [Image.new("RGB", (4, 3))])
    with pytest.raises(ValueError, match="band"):
        png_stream.write(io.BytesIO(), (4, 4), [Image.new("RGB", (5, 4))])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.integers(20, 400), st.integers(1, 5))
def test_wrapped_text_fits_its_place(text: str, width: int, lines: int) -> None:
    pen = _PEN
    found = pen.wrapped(text, width, lines)
    assert len(found) <= lines
    widest = pen.length("W…") + 2
    assert all(pen.length(line) <= max(width, widest) + 1 for line in found)
    if not any(line.endswith("…") for line in found):
        kept = "".join("".join(found).split())
        assert kept == "".join("".join(letter if letter.isprintable() else " " for letter in text).split())


_PEN = Pen(14)

MEASURE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from lib_lora_train.grid.compose import Words, write_sheets
from lib_lora_train.grid.layout import Layout, Look
from tests.grid.files import Painter, make_plan, write_run
from tests.grid.test_compose import drawn
folder = Path({folder!r})
count = int(sys.argv[1])
run = write_run(folder / "lora", "x", count)
settings = {{"width": 256, "height": 256, "steps": 1, "cfg_scale": 7.0, "sampler_name": "euler", "clip_skip": 1}}
plan = make_plan(run, weights=tuple(round(n / 20, 2) for n in range(1, count + 1)), seeds=(1,), prompts=make_plan(run).request.prompts[:1], settings=settings)
manifest = drawn(folder / "grid", plan)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sheets = write_sheets(Layout(plan, Look(256, 200_000_000, "png")), manifest, Words("x", ("", "")))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
print(len(plan.cells), len(sheets), Image.open(sheets[0]).size, (after - before) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell a process its largest size")
def test_twenty_by_twenty_is_composed_in_the_memory_of_one_row(tmp_path: Path) -> None:
    """28 million pixels are 85 MB as one picture (the hosts' own grid takes several times that); a row of tiles is 4 MB."""
    code = MEASURE.format(root=str(ROOT), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code, "20"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == "401" and words[1] == "1"
    assert int(words[-1]) < 40, f"{words[-1]} MB more"


@pytest.mark.parametrize("figures", [["1,234 steps", "loss 0.1234", "held out 0.1357"], []], ids=["figures", "none"])
@pytest.mark.parametrize("tile", [48, 64, 128, 320])
def test_small_pictures_have_columns_as_wide_as_their_headings(run: Run, tile: int, figures: list[str]) -> None:
    """No figure is cut, neighbours do not touch, and the title has room; large pictures are not moved apart."""
    plan = make_plan(run, settings={"width": 512, "height": 512})
    layout = Layout(plan, Look(tile_px=tile, format="png"), dict.fromkeys(range(3), figures))
    pens = layout.pens
    for text in figures:
        assert pens.plain.wrapped(text, layout.column, 1) == [text]
        assert pens.plain.length(text) + pens.plain.size <= layout.column + GAP_PX
    for epoch in plan.request.epochs:
        assert pens.strong.wrapped(epoch.label, layout.column, 1) == [epoch.label]
    assert pens.strong.wrapped("without the LoRA", layout.column, 2)[-1].endswith("LoRA")
    assert all(sheet.size[0] >= 560 for sheet in layout.sheets())
    assert layout.column == tile if tile >= 128 else tile < layout.column <= 13 * pens.plain.size
