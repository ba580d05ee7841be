"""Rows G1 to G10: large grids, kills, broken files, doubled tags, re-rolled prompts, labels in any script."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from lib_lora_train.files.errors import DiskError
from lib_lora_train.grid import discover, render
from lib_lora_train.grid.compose import Words, write_sheets
from lib_lora_train.grid.layout import Layout, Look
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.plan import CONTROL, Cell, Place
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.render import Failure, Picture
from lib_lora_train.grid.session import Session
from tests.grid.files import Painter, kohya, make_plan, write_lora, write_run
from tests.runs import Workshop

ROOT = Path(__file__).parents[2]


def test_g1_size_time_and_disk_are_known_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "lora", "x", 10)
    card = tuple(GridPrompt(str(number), f"[trigger] {number}") for number in range(4))
    large = {"width": 512, "height": 768, "steps": 20, "cfg_scale": 7.0, "sampler_name": "euler", "clip_skip": 1}
    plan = make_plan(run, weights=(0.6, 0.8, 1.0), prompts=card, seeds=(1, 2, 3), settings=large, control=False)
    session = Session(plan, run, tmp_path / "grid")
    first = session.estimate()
    assert (first.images, first.waiting, first.seconds) == (360, 360, None)
    assert (
        first.sentence.startswith("360 pictures; time: known after the first picture; ") and "pixels." in first.sentence
    )
    assert 360 * 512 * 768 < first.disk_bytes < 2_000_000_000
    session.manifest.record(plan.cells[0], b"x" * 700_000, "", 12.0)
    later = session.estimate()
    assert (later.waiting, later.seconds) == (359, 359 * 12.0) and "359 of them new; about 72 min" in later.sentence
    assert later.disk_bytes == pytest.approx(359 * 700_000, rel=0.2)
    monkeypatch.setattr(render.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1_000_000})())
    with pytest.raises(DiskError, match=r"needs about \d+ MB .* and 1 MB are free"):
        session.estimate()


def test_g2_a_grid_over_the_pixel_limit_becomes_pages_of_the_size_that_was_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "lora", "x", 7)
    plan = make_plan(run, weights=(0.2, 0.5, 1.0), seeds=(1, 2, 3))
    session = Session(plan, run, tmp_path / "grid", Look(max_pixels=1_000_000, format="webp"))
    said = session.estimate().sheets
    assert len(said) > 1
    session.draw(Painter(), lambda *_: None)
    outcome = session.finish()
    assert outcome.page.is_file() and len(outcome.sheets) == len(said)
    for path, sheet in zip(outcome.sheets, said, strict=True):
        with Image.open(path) as picture:
            assert picture.size == sheet.size


def test_g3_a_grid_that_was_killed_goes_on_where_it_was(workshop: Workshop, tmp_path: Path) -> None:
    """SIGKILL in a real process in the middle; the second run draws the rest, and all is as if it had not happened."""
    from lib_lora_train.train.base.tensors import open_tensors

    assert open_tensors(workshop.base).header.tensors
    run = _lora_for(workshop, tmp_path / "lora")
    words = [
        "--run",
        str(run),
        "--base",
        str(workshop.base),
        "--prompt",
        "{a|b|c} mat",
        "--weights",
        "0,0.5,1",
        "--seeds",
        "1,2",
    ]
    words += ["--size", "64x64", "--steps", "2", "--json", "--home", str(tmp_path / "home")]
    command = [sys.executable, "-m", "lib_lora_train.cli", "grid", *words]
    killed = subprocess.Popen(
        [*command, "--out", str(tmp_path / "killed")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout
    seen = 0
    for line in killed.stdout:
        seen += json.loads(line)["kind"] == "cell"
        if seen == 4:
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.stdout.close()
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "cells").glob("*.png")}
    assert 4 <= len(before) < 10
    events = []
    for folder in ("killed", "whole"):
        done = subprocess.run(
            [*command, "--out", str(tmp_path / folder)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        events.append([json.loads(line) for line in done.stdout.splitlines()])
    assert sum(event["kind"] == "cell" for event in events[0]) == 10 - len(before)
    killed_cells, whole_cells = (
        {path.name: path.read_bytes() for path in (tmp_path / folder / "cells").glob("*.png")}
        for folder in ("killed", "whole")
    )
    assert killed_cells == whole_cells and len(whole_cells) == 10
    assert {name: (tmp_path / "killed" / "cells" / name).stat().st_mtime_ns for name in before} == before


def _lora_for(workshop: Workshop, folder: Path) -> Path:
    """Two epochs of a LoRA on two modules of the workshop's base."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    folder.mkdir()
    for epoch in (1, 2):
        tensors = {
            f"{name}.lora_down.weight": torch.randn(2, 64),
            f"{name}.lora_up.weight": torch.randn(64, 2),
            f"{name}.alpha": torch.tensor(2.0),
        }
        save_file(tensors, folder / f"x-{epoch:06d}.safetensors", kohya("x", epoch))
    return folder


def test_g4_a_cell_that_fails_is_a_tile_with_its_reason_and_is_tried_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "lora", "x", 3)
    plan = make_plan(run)
    session = Session(plan, run, tmp_path / "grid", Look(format="png"))
    heard: list[str] = []
    failures = session.draw(Painter(["x-000002"]), lambda done, *_: heard.append(done.error))
    assert failures == 8 and len(heard) == 28 and heard.count("") == 20
    outcome = session.finish()
    assert outcome.failures == 8
    page = outcome.page.read_text(encoding="utf-8")
    assert "The memory does not suffice for this size" in page
    again = Session(plan, run, tmp_path / "grid")
    painter = Painter()
    assert again.draw(painter, lambda *_: None) == 0
    assert {cell.epoch.name for cell in painter.drawn if cell.epoch} == {"x-000002"} and len(painter.drawn) == 8


def test_g5_files_that_cannot_be_used_are_listed_beforehand_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    write_run(folder, "x", 2)
    (folder / "x-000003.safetensors").write_bytes(b"")
    whole = (folder / "x-000002.safetensors").read_bytes()
    (folder / "x-000004.safetensors").write_bytes(whole[:-50])
    (folder / "x-000005.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    write_lora(
        folder / "x-000006.safetensors", 6, kohya("x", 6) | {"ss_base_model_version": "sdxl_base_v1-0"}, context=2048
    )
    base = tmp_path / "base.safetensors"
    _write_base(base, 768)
    run = discover.find(str(folder), base=base)
    problems = {epoch.name: epoch.problem for epoch in run.epochs if epoch.problem}
    assert problems["x-000003"].startswith("it is empty (0 bytes)")
    assert "incomplete" in problems["x-000004"] and "git-lfs pointer" in problems["x-000005"]
    assert problems["x-000006"] == "it is for SDXL, and base.safetensors is SD 1.x; choose the base it was trained on."
    assert [epoch.name for epoch in run.usable] == ["x-000001", "x-000002"]
    assert sum("is left out" in note for note in run.notes) == 4
    everything_else = discover.find(str(folder))  # without a base, the other kind cannot be told from the right one
    assert "x-000006" in [epoch.name for epoch in everything_else.usable]


def _write_base(path: Path, width: int) -> None:
    import struct

    entry = {"dtype": "F32", "shape": [1, width], "data_offsets": [0, 4 * width]}
    text = json.dumps({"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * width))


@pytest.mark.parametrize("with_metadata", [True, False])
def test_g6_every_way_of_naming_is_in_its_natural_order(tmp_path: Path, with_metadata: bool) -> None:
    files = [
        ("x-000002", 2, 80),
        ("x-step00000300", 7, 300),
        ("x_e9", 9, 360),
        ("x-000010", 10, 400),
        ("x-step00000450", 11, 450),
        ("x", 12, 480),
    ]
    for name, epoch, step in random.Random(3).sample(files, len(files)):
        metadata = kohya("x", epoch) | {"ss_steps": str(step)} if with_metadata else None
        write_lora(tmp_path / f"{name}.safetensors", step, metadata)
    run = discover.find(str(tmp_path / "x-000010.safetensors"))
    found = [epoch.name for epoch in run.epochs]
    if with_metadata:
        assert found == [name for name, _, _ in files]
    else:  # nothing says how steps and epochs compare: epochs, then steps, then the bare name
        assert found == ["x-000002", "x_e9", "x-000010", "x-step00000300", "x-step00000450", "x"]
    assert run.epochs[-1].final and run.epochs[-1].name == "x"


def test_g7_a_tag_in_the_prompt_is_replaced_not_doubled_and_it_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path, "x", 2)
    plan = make_plan(
        run, prompts=(GridPrompt("p", "a cat <lora:x:1>, <lora:x-000001:0.5> <lora:detail:0.3>"),), seeds=(1,)
    )
    for cell in plan.cells:
        assert cell.prompt.count("<lora:x") == (1 if cell.epoch else 0) and cell.prompt.count("<lora:detail:0.3>") == 1
    assert any("<lora:x:1> is replaced" in note for note in plan.notes)


def test_g8_choices_are_frozen_across_all_cells_that_are_compared(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "colour.txt").write_text("\n".join(f"colour {number}" for number in range(500)))
    run = write_run(tmp_path / "lora", "x", 4)
    card = (GridPrompt("p", "[trigger], __colour__ {hat|coat}"),)
    plan = make_plan(run, [tmp_path / "words"], prompts=card, seeds=(1, 2, 3))
    texts = {seed: {cell.text for cell in plan.cells if cell.seed == seed} for seed in (1, 2, 3)}
    assert all(len(found) == 1 for found in texts.values()) and len({*texts[1], *texts[2], *texts[3]}) == 3
    session = Session(plan, run, tmp_path / "grid")
    session.publish()
    rows = json.loads((tmp_path / "grid" / "manifest.json").read_text())["cells"]
    assert all("__" not in row["prompt"] and "{" not in row["prompt"] for row in rows)
    (tmp_path / "words" / "colour.txt").write_text(
        "other\nwords\n"
    )  # another list is another prompt, not a stale picture
    later = make_plan(run, [tmp_path / "words"], prompts=card, seeds=(1, 2, 3))
    assert not set(later.by_key) & set(plan.by_key)


def test_g9_the_control_without_the_lora_is_there_unless_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, "x", 2)
    with_zero, without_zero = make_plan(run, weights=(0.0, 0.5, 1.0)), make_plan(run, weights=(0.5, 1.0))
    assert with_zero.places == without_zero.places
    control = with_zero.cell(Place(0, 0, 0, 0, CONTROL, CONTROL))
    assert control and control.epoch is None and "<lora" not in control.prompt and "ohwx cat" in control.prompt
    refused = make_plan(run, weights=(0.5, 1.0), control=False)
    assert all(place.epoch != CONTROL for place in refused.places)


@pytest.mark.parametrize(
    "text",
    [
        "w" * 5000,
        "ein sehr langes Wort " * 200,
        "雪の森の中で" * 300,
        "مرحبا بالعالم " * 50,
        "שלום עולם נחמד",
        "ночь, снег, лес 🦊👩‍👩‍👧 ไทย हिन्दी",
        "\x00\x1b[31m\u202e\ufeff\ud7ff\U0010ffff\u0301\u0301",
        "",
    ],
)
def test_g10_labels_of_any_length_and_script(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / "lora", "x", 2)
    plan = make_plan(run, prompts=(GridPrompt(text[:400] or "-", text, trigger=False),), seeds=(1,))
    manifest = Manifest.open(tmp_path / "grid")
    render.draw_missing(plan, manifest, _Complains(text), lambda *_: None)
    layout = Layout(plan, Look(tile_px=48, format="png"), {0: [text], 1: ["loss 0.1"]})
    [path] = write_sheets(layout, manifest, Words(text, (text, text), 0))
    with Image.open(path) as picture:
        assert picture.size == layout.sheets()[0].size
        picture.load()


class _Complains:
    """Fails every cell with a long reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def draw(self, cells: Sequence[Cell]) -> Sequence[Picture | Failure]:
        return [Failure(self.reason or "no reason") for _ in cells]


def test_g3_a_file_that_was_trained_again_under_its_name_costs_its_own_cells_only(tmp_path: Path) -> None:
    run = write_run(tmp_path / "lora", "x", 3)
    session = Session(make_plan(run), run, tmp_path / "grid")
    session.draw(Painter(), lambda *_: None)
    write_lora(tmp_path / "lora" / "x-000002.safetensors", 99, kohya("x", 2))
    run = discover.find(str(tmp_path / "lora"))
    painter = Painter()
    Session(make_plan(run), run, tmp_path / "grid").draw(painter, lambda *_: None)
    assert {cell.epoch.name for cell in painter.drawn if cell.epoch} == {"x-000002"} and len(painter.drawn) == 8
