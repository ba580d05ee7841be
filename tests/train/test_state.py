"""Saved states: everything comes back as it was, and what cannot be read is passed over aloud."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_lora_train.train import state
from lib_lora_train.train.errors import StateError
from lib_lora_train.train.state import Progress, load_state, save_state

pytestmark = pytest.mark.torch

SHARED = torch.arange(4.0)
OPTIMIZER: dict[str, Any] = {
    "state": {0: {"step": torch.tensor(3.0), "exp_avg": SHARED}, 11: {"exp_avg": SHARED, "none": None}},
    "param_groups": [
        {"betas": (0.9, 0.99), "lr": 1e-4, "d": math.inf, "on": True, "params": [0, 11], "deep": [(1, [])]}
    ],
    "half": torch.arange(6).view(2, 3).t().to(torch.bfloat16),
}


def save_at(root: Path, step: int, **facts: Any) -> Path:
    progress = Progress(epoch=2, group=1, step=step, images=2 * step, window=[0.1, math.pi], facts=facts)
    adapter = {"a.lora_up.weight": torch.full((2, 2), float(step)), "a.alpha": torch.tensor(1.0)}
    return save_state(root, progress, adapter, OPTIMIZER, {"scaler": None, "identity": {"base": "é"}})


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    save_at(tmp_path, 5, told=["x"], first_d=1e-6)
    found, skipped = load_state(tmp_path)
    assert found is not None and not skipped
    assert same(found.optimizer, OPTIMIZER)
    assert found.progress == Progress(2, 1, 5, 10, [0.1, math.pi], {"told": ["x"], "first_d": 1e-6})
    assert found.identity == {"base": "é"} and found.adapter["a.lora_up.weight"][0, 0] == 5
    assert {path.suffix for path in (tmp_path / "step-000005").iterdir()} == {".safetensors", ".json"}  # no pickle


def test_the_same_state_is_the_same_bytes(tmp_path: Path) -> None:
    one, other = save_at(tmp_path / "a", 1), save_at(tmp_path / "b", 1)
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_what_cannot_be_saved_safely_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="set"):
        save_state(tmp_path, Progress(step=1), {}, {"odd": {1, 2}}, {})
    assert load_state(tmp_path) == (None, [])


def test_no_state_is_no_fault(tmp_path: Path) -> None:
    assert load_state(tmp_path / "missing") == (None, [])


def cut_json(folder: Path) -> None:
    (folder / state.POSITION).write_text((folder / state.POSITION).read_text()[:-9])


def drop_file(folder: Path) -> None:
    (folder / state.OPTIMIZER).unlink()


def cut_tensors(folder: Path) -> None:
    (folder / state.ADAPTER).write_bytes((folder / state.ADAPTER).read_bytes()[:-4])


def drop_adapter_tensor(folder: Path) -> None:
    tensors = load_file(folder / state.ADAPTER)
    del tensors["a.lora_up.weight"]
    save_file(tensors, folder / state.ADAPTER)


def drop_optimizer_tensor(folder: Path) -> None:
    tensors = load_file(folder / state.OPTIMIZER)
    tensors.popitem()
    save_file(tensors, folder / state.OPTIMIZER)


def other_field(folder: Path) -> None:
    plan = json.loads((folder / state.POSITION).read_text())
    (folder / state.POSITION).write_text(json.dumps({**plan, "progress": {"nonsense": 1}}))


def newer(folder: Path) -> None:
    plan = json.loads((folder / state.POSITION).read_text())
    (folder / state.POSITION).write_text(json.dumps({**plan, "version": state.VERSION + 1}))


@pytest.mark.parametrize(
    "damage",
    [cut_json, drop_file, cut_tensors, drop_adapter_tensor, drop_optimizer_tensor, other_field, newer],
)
def test_r9_a_state_that_cannot_be_used_gives_way_to_the_one_before(tmp_path: Path, damage: Any) -> None:
    save_at(tmp_path, 5)
    damage(save_at(tmp_path, 10))
    found, [sentence] = load_state(tmp_path)
    assert found is not None and found.progress.step == 5
    assert "step-000010" in sentence and ("newer version" if damage is newer else "damaged") in sentence
    save_at(tmp_path, 10)  # and the run that comes there again may save over it
    again, skipped = load_state(tmp_path)
    assert again is not None and again.progress.step == 10 and not skipped


def test_r10_a_lost_pointer_costs_nothing(tmp_path: Path) -> None:
    save_at(tmp_path, 5)
    for text in (None, "step-000099\n", ""):
        (tmp_path / "latest").unlink() if text is None else (tmp_path / "latest").write_text(text)
        found, skipped = load_state(tmp_path)
        assert found is not None and found.progress.step == 5 and not skipped


def test_the_newest_is_by_number_and_a_half_one_is_swept(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000):
        save_at(tmp_path, step)
    (tmp_path / "step-2000000.1-1.lora-loop-tmp").mkdir()
    (tmp_path / "step-notes").mkdir()
    found, skipped = load_state(tmp_path)
    assert found is not None and found.progress.step == 1_000_000 and not skipped
    assert not (tmp_path / "step-2000000.1-1.lora-loop-tmp").exists() and (tmp_path / "step-notes").exists()


def test_only_the_oldest_are_pruned(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save_at(tmp_path, step)
    state.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000002", "step-000010"]
