"""What a grid remembers: every picture once, whole, under its key; nothing from a broken journal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.manifest import Manifest, rows_of
from lib_lora_train.grid.plan import Plan
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.render import draw_missing
from tests.grid.files import Painter, make_plan, write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_run(tmp_path / "lora", "x", 2)


def draw(folder: Path, plan: Plan, painter: Painter | None = None) -> Painter:
    painter = painter or Painter()
    draw_missing(plan, Manifest.open(folder), painter, lambda *_: None)
    return painter


def test_a_second_run_draws_nothing_and_a_wider_one_only_what_is_new(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    assert len(draw(folder, make_plan(run)).drawn) == 4 + 2 * 2 * 4
    assert draw(folder, make_plan(run)).drawn == []
    more = draw(folder, make_plan(run, weights=(0.0, 0.5, 0.75, 1.0)))
    assert {cell.weight for cell in more.drawn} == {0.75} and len(more.drawn) == 8


def test_a_picture_that_is_gone_or_cut_is_drawn_again(run: Run, tmp_path: Path) -> None:
    folder, plan = tmp_path / "grid", make_plan(run)
    draw(folder, plan)
    first, second = sorted((folder / "cells").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    assert {cell.key for cell in draw(folder, plan).drawn} == {first.stem, second.stem}


def test_a_journal_that_is_torn_or_tampered_with_is_read_as_far_as_it_is_sound(run: Run, tmp_path: Path) -> None:
    folder, plan = tmp_path / "grid", make_plan(run)
    draw(folder, plan)
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines()
    outside = json.loads(lines[0]) | {"file": "../../secret.png"}
    strange = ["[1]", "null", '{"key": 1}', '{"unknown": 1}', "\x00", json.dumps(outside)]
    journal.write_text("\n".join([*strange, *lines[1:-1], lines[-1][:20]]))
    again = draw(folder, plan)
    assert len(again.drawn) == 2
    assert draw(folder, plan).drawn == []  # the line after the torn one is whole
    assert all(not done.file.startswith("..") for done in Manifest.open(folder).done.values())


def test_the_rows_tell_everything_of_a_picture(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    card = (GridPrompt("=1+1", "[trigger], {red|blue} “hat”,\nnew line", "@bad"),)
    plan = make_plan(run, prompts=card)
    manifest = Manifest.open(folder)
    draw_missing(plan, manifest, Painter(["x-000002"]), lambda *_: None)
    manifest.export(plan, {"run": run.name})
    rows = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["cells"]
    assert rows == rows_of(plan, manifest) and len(rows) == 2 + 2 * 2 * 2
    assert {row["state"] for row in rows} == {"done", "failed"}
    done = next(row for row in rows if row["lora"] == "x-000001")
    assert "{" not in done["prompt"] and done["prompt"].endswith("<lora:x-000001:0.5>")
    assert (folder / done["file"]).stat().st_size > 0 and len(done["sha256"]) == 64
    table = list(csv.DictReader(io.StringIO((folder / "cells.csv").read_text(encoding="utf-8"))))
    assert len(table) == len(rows) and table[0]["steps"] == "4"
    assert table[0]["prompt_label"] == "'=1+1" and table[0]["negative_prompt"] == "'@bad"  # no spreadsheet runs them
    assert next(row for row in table if row["state"] == "failed")["error"].startswith("The memory")


def test_the_order_of_drawing_loads_each_lora_once(run: Run, tmp_path: Path) -> None:
    painter = draw(tmp_path / "grid", make_plan(run))
    assert painter.loads == [
        ("base.safetensors", ""),
        ("base.safetensors", "x-000001"),
        ("base.safetensors", "x-000002"),
    ]
