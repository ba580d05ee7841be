"""The short training of the environment's self-test: it really trains, and what is broken in a torch shows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from lib_lora_train.train import device, trial
from lib_lora_train.train.base import sd1
from lib_lora_train.train.errors import TrainError

pytestmark = pytest.mark.torch


def test_it_trains_two_steps_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    steps: list[int] = []
    record = trial.loop._record
    monkeypatch.setattr(trial.loop, "_record", lambda run, *rest: (steps.append(run.progress.step), record(run, *rest)))
    found = trial.run()
    assert steps == [1, 2]
    assert found["device"] == ("CPU" if not torch.cuda.is_available() else torch.cuda.get_device_name())
    assert 0 < found["seconds"] < 120
    assert list(tmp_path.iterdir()) == []


def test_a_torch_without_what_the_trainer_asks_for_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch 2.1 did: a module that it lacks is first asked for when a run sets up its device."""

    def missing(*_: object) -> None:
        raise AttributeError("module 'torch.utils' has no attribute 'deterministic'")

    monkeypatch.setattr(device, "_set_determinism", missing)
    with pytest.raises(AttributeError, match="deterministic"):
        trial.run()


def test_steps_that_change_nothing_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.loop.schedule, "multiplier", lambda *_: 0.0)
    with pytest.raises(TrainError, match="changed nothing"):
        trial.run()


def test_a_gpu_without_free_memory_is_said_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: Path) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 MiB")

    monkeypatch.setattr(trial, "_train", full)
    with pytest.raises(RuntimeError, match="out of memory"):
        trial.run()  # without a GPU it is the machine that is full, and nothing would train here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "GTX 1060")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (2**28, 6 * 2**30))
    found = trial.run()
    assert "seconds" not in found
    assert "GTX 1060 has only 0.2 of its 6.0 GB free" in found["skipped"]


def test_a_torch_without_the_deterministic_module_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.1.2, A1111 1.10.1's own: no run began there."""
    monkeypatch.delattr(torch.utils, "deterministic", raising=False)
    try:
        device._set_determinism(False, True)
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        device._set_determinism(True, True)


def test_fused_attention_is_chosen_by_what_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that calls itself 2.1 and takes the mask, or 2.13 and refuses it, is believed by its deeds."""

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("Expected attn_mask dtype to be bool or to match query dtype")

    sd1._fused_attention_casts_masks.cache_clear()
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuses)
    try:
        assert not sd1._fused_attention_casts_masks()
    finally:
        sd1._fused_attention_casts_masks.cache_clear()
