"""Keeping one epoch: a clean name, its weight and picture on the card, nothing replaced, and all of it undone."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lib_lora_train.grid import discover
from lib_lora_train.grid import keep as keeping
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.keep import keep, undo
from tests.grid.files import kohya, write_lora, write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "Lora"
    write_run(folder, "x", 3)
    for name in ("x-000001", "x-000002"):
        (folder / f"{name}.json").write_text(json.dumps({"activation text": "ohwx cat", "notes": name}))
        (folder / f"{name}.png").write_bytes(name.encode())
    write_lora(folder / "neighbour.safetensors", 50)
    return discover.find("x", [folder])


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_kept_epoch_gets_the_runs_name_or_a_new_one(run: Run, tmp_path: Path) -> None:
    """`x` is in use by another epoch, and hosts remember what they read under a name."""
    before = listing(run.folder)
    picture = tmp_path / "cell.png"
    picture.write_bytes(b"a better picture")
    kept = keep(run, run.epochs[1], 0.8, tmp_path / "archive", preview=picture)
    assert kept.path.name == "x-kept.safetensors" and "would go on using it" in kept.notes[0]
    after = listing(run.folder)
    assert set(after) == {"x-kept.safetensors", "x-kept.json", "x-kept.png", "neighbour.safetensors"}
    assert after["x-kept.safetensors"] == before["x-000002.safetensors"] and after["x-kept.png"] == b"a better picture"
    card = json.loads(after["x-kept.json"])
    assert card["preferred weight"] == 0.8 and card["notes"] == "x-000002" and card["activation text"] == "ohwx cat"
    assert {"x.safetensors", "x-000001.safetensors", "x-000001.json", "x-000003.safetensors"} <= set(kept.moved)
    assert len(undo(tmp_path / "archive")) == 8
    assert listing(run.folder) == {**before, "x-000002.json": after_json(before["x-000002.json"])}
    assert list((tmp_path / "archive").iterdir()) == []


def after_json(data: bytes) -> bytes:
    """The same card as our writer formats it."""
    return (json.dumps(json.loads(data), indent=2, ensure_ascii=False) + "\n").encode()


def test_the_last_epoch_keeps_the_plain_name_that_it_has_already(run: Run, tmp_path: Path) -> None:
    before = listing(run.folder)
    kept = keep(run, run.epochs[2], 1.0, tmp_path / "archive")
    assert kept.path.name == "x.safetensors" and not kept.notes
    assert kept.path.read_bytes() == before["x-000003.safetensors"]
    card = json.loads((run.folder / "x.json").read_text())
    assert card["sd version"] == "SD1" and card["activation text"] == "ohwx cat"
    undo(tmp_path / "archive")
    assert listing(run.folder) == before


def test_a_name_of_ones_own_is_never_written_over(run: Run, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"neighbour\.safetensors is there already"):
        keep(run, run.epochs[1], 1.0, tmp_path / "archive", "neighbour")
    assert keep(run, run.epochs[1], 1.0, tmp_path / "archive", "../ohwx: best?").path.name == "_ohwx_ best_.safetensors"
    with pytest.raises(GridError, match="holds what an earlier choice put away"):
        keep(run, run.epochs[0], 1.0, tmp_path / "archive")


def test_an_archive_with_a_file_of_that_name_is_refused_before_anything_moves(run: Run, tmp_path: Path) -> None:
    before = listing(run.folder)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "x-000001.png").write_bytes(b"mine")
    with pytest.raises(GridError, match="nothing is replaced"):
        keep(run, run.epochs[1], 1.0, tmp_path / "archive")
    assert listing(run.folder) == before


def test_a_run_of_one_file_under_its_own_name(tmp_path: Path) -> None:
    write_lora(tmp_path / "Lora" / "solo.safetensors", 1, kohya("solo", 1))
    run = discover.find(str(tmp_path / "Lora" / "solo.safetensors"))
    kept = keep(run, run.epochs[0], 0.7, tmp_path / "archive")
    assert kept.path == tmp_path / "Lora" / "solo.safetensors" and kept.moved == ()
    assert json.loads(kept.path.with_suffix(".json").read_text())["preferred weight"] == 0.7
    undo(tmp_path / "archive")
    assert list(listing(run.folder)) == ["solo.safetensors"]


def test_a_kill_in_the_middle_can_be_undone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(run.folder)
    move, moved = keeping._move, []

    def dies(source: Path, goal: Path) -> None:
        if len(moved) == 4:
            raise KeyboardInterrupt
        moved.append(source)
        move(source, goal)

    monkeypatch.setattr(keeping, "_move", dies)
    with pytest.raises(KeyboardInterrupt):
        keep(run, run.epochs[1], 0.8, tmp_path / "archive")
    monkeypatch.setattr(keeping, "_move", move)
    undo(tmp_path / "archive")
    after = listing(run.folder)
    assert {name: data for name, data in after.items() if name.endswith(".safetensors")} == {
        name: data for name, data in before.items() if name.endswith(".safetensors")
    }


def test_an_archive_on_another_disk_is_copied_to(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing(run.folder)

    def rename(self: Path, goal: Path) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(Path, "rename", rename)
    keep(run, run.epochs[0], 1.0, tmp_path / "archive")
    assert (tmp_path / "archive" / "x.safetensors").read_bytes() == before["x.safetensors"]
    undo(tmp_path / "archive")
    assert {name: data for name, data in listing(run.folder).items() if not name.endswith(".json")} == {
        name: data for name, data in before.items() if not name.endswith(".json")
    }


def test_undo_replaces_nothing_and_says_when_there_is_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(GridError, match="holds nothing to undo"):
        undo(tmp_path / "archive")
    keep(run, run.epochs[1], 1.0, tmp_path / "archive")
    write_lora(run.folder / "x-000001.safetensors", 99)
    with pytest.raises(GridError, match=r"x-000001\.safetensors is there again"):
        undo(tmp_path / "archive")
    (tmp_path / "archive" / "undo.json").write_text("{}")
    with pytest.raises(GridError, match="cannot be read"):
        undo(tmp_path / "archive")
