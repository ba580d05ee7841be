"""Finding the epochs of a run: every trainer's names, metadata where names are silent, nothing counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.grid import discover, lora_file
from lib_lora_train.grid.errors import RunNotFound
from lib_lora_train.grid.names import natural, take_apart
from tests.grid.files import kohya, write_lora, write_run


@pytest.mark.parametrize(
    ("stem", "base", "epoch", "step"),
    [
        ("x-000002", "x", 2, None),
        ("x-000010", "x", 10, None),
        ("x", "x", None, None),
        ("x-step00000450", "x", None, 450),
        ("x_e9", "x", 9, None),
        ("ohwx man-epoch-09", "ohwx man", 9, None),
        ("my_lora_000000500", "my_lora", None, 500),
        ("x_450steps", "x", None, 450),
        ("2025-01-02_x-save-450-9-0", "2025-01-02_x", 9, 450),
        ("x_ep9_s450", "x", 9, 450),
        ("lora-v2", "lora-v2", None, None),
        ("girl-2024", "girl-2024", None, None),
        ("雪-000003", "雪", 3, None),
        ("house3", "house3", None, None),
    ],
)
def test_names_of_many_trainers(stem: str, base: str, epoch: int | None, step: int | None) -> None:
    named = take_apart(stem)
    assert (named.base, named.epoch, named.step) == (base, epoch, step)


def test_nine_comes_before_ten() -> None:
    assert sorted(["x-10", "X-9", "x-1"], key=natural) == ["x-1", "X-9", "x-10"]


def test_a_run_is_found_from_a_file_a_folder_a_name_and_a_job(tmp_path: Path) -> None:
    write_run(tmp_path / "Lora" / "people", "ohwx", 3)
    write_lora(tmp_path / "Lora" / "other-000001.safetensors", 9)
    folder = tmp_path / "Lora"
    for text in ("ohwx", "ohwx-000002", "OHWX.safetensors", str(folder / "people" / "ohwx-000002.safetensors")):
        run = discover.find(text, [folder])
        assert [epoch.label for epoch in run.epochs] == ["epoch 1", "epoch 2", "epoch 3"], text
    job = tmp_path / "jobs" / "20260101-ohwx"
    write_run(job / "out", "ohwx", 2)
    (job / "job.json").write_text("{}")
    assert discover.find(str(job)).job == job
    assert len(discover.find("20260101-ohwx", jobs=tmp_path / "jobs").epochs) == 2


def test_the_final_file_is_the_last_epoch_under_another_name(tmp_path: Path) -> None:
    run = write_run(tmp_path, "x", 3)
    last = run.epochs[-1]
    assert [epoch.name for epoch in run.epochs] == ["x-000001", "x-000002", "x-000003"]
    assert last.also == ("x",) and last.final
    assert "x is the same as x-000003 and is drawn once." in run.notes
    assert run.names >= {"x", "x-000001"}


def test_a_final_file_that_is_not_numbered_is_an_epoch_of_its_own(tmp_path: Path) -> None:
    """kohya saves the last epoch under the bare name only."""
    write_run(tmp_path, "x", 2)
    write_lora(tmp_path / "x.safetensors", 3, kohya("x", 3))
    run = discover.find(str(tmp_path))
    assert [(epoch.name, epoch.label, epoch.final) for epoch in run.epochs] == [
        ("x-000001", "epoch 1", False),
        ("x-000002", "epoch 2", False),
        ("x", "epoch 3", True),
    ]


def test_metadata_decides_where_names_do_not_say(tmp_path: Path) -> None:
    """Renamed files join the run that their metadata names, in the order of their steps."""
    write_lora(tmp_path / "x-000002.safetensors", 2, kohya("x", 2))
    write_lora(tmp_path / "the good one.safetensors", 1, kohya("x", 1))
    write_lora(tmp_path / "x-step00000060.safetensors", 5, kohya("x", 2) | {"ss_steps": "60"})
    run = discover.find(str(tmp_path))
    assert [(epoch.name, epoch.label) for epoch in run.epochs] == [
        ("the good one", "epoch 1"),
        ("x-step00000060", "step 60"),
        ("x-000002", "epoch 2"),
    ]


def test_several_runs_in_a_folder_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "one", 2)
    write_run_two = tmp_path / "two-000001.safetensors"
    write_lora(write_run_two, 7)
    with pytest.raises(RunNotFound, match="files of 2 runs; name one of them: one, two"):
        discover.find(str(tmp_path))
    assert discover.find(str(write_run_two)).name == "two"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="No LoRA called 'cat' was found"):
        discover.find("cat", [tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunNotFound, match="has no LoRA files"):
        discover.find(str(tmp_path / "empty"))


def test_two_sessions_and_two_ranks_of_one_name_are_noticed(tmp_path: Path) -> None:
    write_lora(tmp_path / "x-000001.safetensors", 1, kohya("x", 1) | {"ss_network_dim": "8"})
    other = kohya("x", 2) | {"ss_training_started_at": "1700009999.0", "ss_network_dim": "16"}
    write_lora(tmp_path / "x-000002.safetensors", 2, other)
    notes = " ".join(discover.find(str(tmp_path)).notes)
    assert "2 training runs of the same name" in notes and "different ranks (16, 8)" in notes


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("all", [1, 2, 3, 4, 5]),
        ("last:2", [4, 5]),
        ("every:2", [1, 3, 5]),
        ("1-2,5", [1, 2, 5]),
        ("final", [5]),
        ("x-000003", [3]),
        ("x", [5]),
        ("epoch 4,2", [2, 4]),
    ],
)
def test_choosing_epochs(tmp_path: Path, wanted: str, found: list[int]) -> None:
    run = write_run(tmp_path, "x", 5)
    assert [epoch.epoch for epoch in discover.choose(run, wanted)] == found


def test_an_epoch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, "x", 2)
    with pytest.raises(RunNotFound, match="Epochs '7': x has no such epoch that can be used; it has epoch 1, epoch 2"):
        discover.choose(run, "1,7")


def test_the_trigger_is_the_cards_then_the_metadatas(tmp_path: Path) -> None:
    run = write_run(tmp_path, "x", 2)
    assert run.trigger == "ohwx cat"
    (tmp_path / "x-000002.json").write_text('{"activation text": "zorpi creature"}')
    assert run.trigger == "zorpi creature"
    (tmp_path / "x-000002.json").write_text("[broken")
    assert run.trigger == "ohwx cat"


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that looks at a run at each keystroke must not read gigabytes each time."""
    write_run(tmp_path, "x", 3)
    read: list[str] = []
    original = lora_file.read_header

    def counting(path: Path) -> Any:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(lora_file, "read_header", counting)
    first = discover.find(str(tmp_path))
    assert len(read) == 4  # headers; the tensors were read when the run was looked at for the first time
    write_lora(tmp_path / "x-000002.safetensors", 9, kohya("x", 2, 3))
    read.clear()
    again = discover.find(str(tmp_path))
    assert len(read) == 4 + 1
    before, after = ({epoch.name: epoch.content for epoch in one.epochs} for one in (first, again))
    assert before.pop("x-000002") != after.pop("x-000002") and before == after
