"""What the epoch grid's form tells before the drawing, and *Keep this one*: within the LoRA folder, and undone whole."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files.errors import OutsideRoot
from lib_lora_train.grid import discover
from lib_lora_train.grid.errors import GridError, RunNotFound
from lib_lora_train.host import grid_desk, grid_runs
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.grid_desk import Page
from tests.grid.files import write_lora, write_run

PAGE = Page("a cat", "a dog", 64, 96)


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A WebUI's folders; it draws nothing. `refreshed` counts how often its list of LoRAs was made anew."""
    write_run(tmp_path / "Lora", "x", 3)
    write_run(tmp_path / "Lora" / "more", "y", 2)
    write_run(tmp_path / "elsewhere", "z", 2)
    write_lora(tmp_path / "Lora" / "alone.safetensors", 50)
    made = SimpleNamespace(
        lora_folder=tmp_path / "Lora",
        lora_folders=(tmp_path / "Lora",),
        data_folder=tmp_path,
        flag=lambda name: None,
        shared=SimpleNamespace(state=SimpleNamespace(job="")),
        refreshed=0,
    )

    def refresh() -> None:
        made.refreshed += 1

    modules: dict[str, Any] = {name: ModuleType(name) for name in ("networks", "modules", "modules.call_queue")}
    modules["networks"].list_available_networks = refresh
    modules["modules.call_queue"].queue_lock = threading.Lock()
    modules["modules.processing"] = ModuleType("modules.processing")
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_runs_are_listed_by_name_those_of_several_files_first(webui: Any) -> None:
    assert grid_runs.listed(webui) == ["more/y", "x", "alone"]
    assert grid_runs.named(webui, "more/y").folder == webui.lora_folder / "more"
    assert [grid_runs.named(webui, text).name for text in ("x", "x-000002", "x.safetensors", "y")] == list("xxxy")
    assert grid_runs.named(webui, str(webui.lora_folder / "x-000001.safetensors")).name == "x"


def test_neo_11_every_lora_folder_counts(webui: Any, tmp_path: Path) -> None:
    """`--lora-dirs`: runs of each folder are listed, found, kept and undone where they lie."""
    more = tmp_path / "elsewhere"
    webui.lora_folders = (webui.lora_folder, tmp_path / "gone", more)
    write_run(more / "deep", "w", 2)
    write_run(more, "x", 1)
    assert grid_runs.listed(webui) == ["deep/w", "more/y", "x", "z", "alone"]
    assert (
        grid_runs.named(webui, "z").folder == grid_runs.named(webui, str(more / "z-000001.safetensors")).folder == more
    )
    assert grid_runs.named(webui, "deep/w").folder == more / "deep"
    assert grid_runs.named(webui, "x").folder == webui.lora_folder
    with pytest.raises(RunNotFound):
        grid_runs.named(webui, "deep/nobody")
    with pytest.raises(RequestError, match="own LoRA folders"):
        grid_runs.named(webui, "../grids/x")
    before = listing(more)
    kept = grid_desk.keep_one(webui, "z", "epoch 2", 0.8, "")
    assert kept.path.parent == more and grid_desk.kept_run(webui, kept).folder == more
    assert grid_desk.undo(webui, "z")[0] == "z" and listing(more) == before


@pytest.mark.parametrize(
    "text", ["../elsewhere/z", "..\\elsewhere\\z", "{tmp}/elsewhere/z", "..", "/etc", "more/../../elsewhere"]
)
def test_nothing_outside_the_lora_folder_is_read(webui: Any, tmp_path: Path, text: str) -> None:
    with pytest.raises((RequestError, RunNotFound)):
        grid_runs.named(webui, text.format(tmp=tmp_path))


def test_what_the_grid_will_take(webui: Any) -> None:
    found = grid_desk.overview(webui, [{"run": "x", "weights": "0,0.5,1", "prompts": "- a teapot"}], PAGE)
    assert found.estimate.images == (3 * 2 + 1) * 2 and len(found.chosen) == 3
    assert found.estimate.seconds is None and found.page is None
    assert not (webui.data_folder / "lora-loop").exists()  # looking leaves nothing behind
    more = {"run": "x", "epochs": "last:1", "weights": "1", "seeds": 3, "axis": "cfg_scale=4,7", "control": False}
    assert grid_desk.overview(webui, [more], PAGE).estimate.images == 1 * 3 * 2


@pytest.mark.parametrize(
    "form",
    [{"run": "x", "weights": "many"}, {"run": "nobody"}, {"run": "x", "epochs": "9"}, {"run": "x", "axis": "cfg"}],
)
def test_what_cannot_be_drawn_is_said(webui: Any, form: dict[str, Any]) -> None:
    with pytest.raises(LoraLoopError):
        grid_desk.overview(webui, [form], PAGE)


def test_keep_and_undo(webui: Any) -> None:
    before = listing(webui.lora_folder)
    kept = grid_desk.keep_one(webui, "x", "epoch 2", 0.8, "")
    assert kept.path.name == "x-kept.safetensors" and webui.refreshed == 1
    assert kept.path.read_bytes() == before["x-000002.safetensors"]
    assert json.loads(kept.path.with_suffix(".json").read_text("utf-8"))["preferred weight"] == 0.8
    assert kept.archive == webui.data_folder / "lora-loop" / "archive" / "x"
    assert set(grid_desk.put_away(webui)) == {"x", "x-kept"}
    write_lora(webui.lora_folder / "x-000001.safetensors", 60)  # trained again
    with pytest.raises(GridError, match="undo that first"):
        grid_desk.keep_one(webui, "x-000001", "epoch 1", 1, "other")
    (webui.lora_folder / "x-000001.safetensors").unlink()
    assert grid_desk.undo(webui, "x-kept")[0] == "x"
    assert listing(webui.lora_folder) == before
    with pytest.raises(RequestError, match="nothing to undo"):
        grid_desk.undo(webui, "../x")


@pytest.mark.parametrize(
    ("epoch", "weight", "said"),
    [
        ("", 1, "Choose which one"),
        ("all", 1, "Choose which one"),
        ("epoch 9", 1, "has no such epoch"),
        ("epoch 2", 0, "use one between"),
        ("epoch 2", 11, "use one between"),
        ("epoch 2", float("nan"), "not a number"),
        ("epoch 2", "1", "not a number"),
        ("epoch 2", True, "not a number"),
        ("epoch 2", None, "not a number"),
    ],
)
def test_a_wrong_choice_moves_nothing(webui: Any, epoch: str, weight: Any, said: str) -> None:
    before = listing(webui.data_folder)
    with pytest.raises(LoraLoopError, match=said):
        grid_desk.keep_one(webui, "x", epoch, weight, "")
    assert listing(webui.data_folder) == before


def test_a_chosen_name_stays_in_the_folder(webui: Any) -> None:
    kept = grid_desk.keep_one(webui, "x", "epoch 1", 1, "../../best")
    assert kept.path.parent == webui.lora_folder


def test_a_link_out_of_the_folder_is_not_moved(webui: Any, tmp_path: Path) -> None:
    (webui.lora_folder / "x-000001.safetensors").unlink()
    (webui.lora_folder / "x-000001.safetensors").symlink_to(tmp_path / "elsewhere" / "z-000001.safetensors")
    with pytest.raises(OutsideRoot):
        grid_desk.keep_one(webui, "x", "epoch 2", 1, "")


def test_nothing_is_moved_while_the_webui_draws(webui: Any) -> None:
    webui.shared.state.job = "task(1)"
    with pytest.raises(RequestError, match="is drawing"):
        grid_desk.keep_one(webui, "x", "epoch 2", 1, "")


def test_the_prompt_gets_the_kept_lora_in_the_place_of_the_runs_tags(webui: Any) -> None:
    found = discover.find("x", [webui.lora_folder])
    assert grid_desk.prompt_with("", found, "x", 0.8) == "ohwx cat <lora:x:0.8>"
    assert grid_desk.prompt_with("a hat, <lora:x-000003:1>", found, "x-kept", 1.0) == "ohwx cat, a hat <lora:x-kept:1>"
    assert grid_desk.prompt_with("OHWX cat <lora:other:1>", found, "x", 1) == "OHWX cat <lora:other:1> <lora:x:1>"
