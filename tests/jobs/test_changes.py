"""Cures, clones and the trash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs import card, change, cures, queue, store, trash
from lib_lora_train.jobs.card import Card
from lib_lora_train.train import config as configs
from lib_lora_train.train import estimate, presets
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError, StateError
from lib_lora_train.train.job import Job


def config(**values: Any) -> TrainConfig:
    return configs.from_values({"name": "cat", **values})


LARGE = config(loop={"batch_size": 4}, dataset={"resolution": 768}, adapter={"rank": 128})
KINDS = ("OutOfMemory", "paging", "sample_memory", "NotFinite", "flat_sample", "d_not_growing", "no_captions", "DiskError",
         "BaseError", "StateError", "DatasetError", "TrainerEnvironmentError", "CardLost", "Interrupted", "host_memory")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_cures_whose_changes_can_be_applied(kind: str) -> None:
    adaptive = config(optimizer={"name": "Prodigy", "learning_rate": 0.5})
    assert cures.cures(kind, adaptive)
    for one in (LARGE, adaptive):
        found = cures.cures(kind, one)
        assert len({cure.name for cure in found}) == len(found)
        for cure in found:
            assert (cure.sentence.endswith(".") and estimate.changed(one, cure.changes) != one) or not cure.changes


def test_t1_memory_cures_are_ordered_by_what_they_cost_and_say_what_they_save() -> None:
    names = [cure.name for cure in cures.cures("OutOfMemory", LARGE)]
    assert names == ["free_host", "checkpointing", "batch", "optimizer", "resolution", "text_encoder", "rank"]
    saves = {cure.name: cure.saves for cure in cures.cures("OutOfMemory", LARGE)}
    assert saves["checkpointing"] > saves["batch"] > saves["rank"] > 0
    smallest = config(
        loop={"gradient_checkpointing": True}, dataset={"resolution": 256}, optimizer={"name": "AdamW8bit"},
        adapter={"rank": 4, "text_encoder": False},
    )  # fmt: skip
    assert [cure.name for cure in cures.cures("OutOfMemory", smallest)] == ["free_host"]
    assert cures.cures("a kind that nobody knows", LARGE) == ()


def test_a_cure_changes_a_job_that_has_learned_nothing_and_clones_one_that_has(tmp_path: Path) -> None:
    job = store.create(LARGE, tmp_path)
    changes = {"loop.batch_size": 1, "loop.accumulation": 4}
    assert change.apply(job, tmp_path, changes) == job and job.config().loop.accumulation == 4
    (job.state).mkdir()
    (job.state / "latest").write_text("step-000001")
    assert change.apply(job, tmp_path, {"save.keep": 5}) == job
    other = change.apply(job, tmp_path, {"adapter.rank": 8})
    assert other != job and other.config().name == "cat-v2" and other.config().adapter.rank == 8
    assert job.config().adapter.rank == 128
    assert change.clone(other, tmp_path).config().name == "cat-v3"
    with pytest.raises(ConfigError, match="out of range"):
        change.clone(job, tmp_path, {"adapter.rank": 0})


def test_j10_delete_goes_to_the_trash_and_comes_back(tmp_path: Path) -> None:
    job = store.create(config(), tmp_path)
    name, text = job.folder.name, job.file.read_bytes()
    queue.add(tmp_path, [name])
    with pytest.raises(ConfigError, match="in the queue"):
        trash.delete(tmp_path, name)
    queue.remove(tmp_path, name)
    trash.delete(tmp_path, name)
    assert store.names(tmp_path) == [] and [one.name for one in trash.listed(tmp_path)] == [name]
    assert trash.restore(tmp_path, name).file.read_bytes() == text and trash.listed(tmp_path) == []
    trash.delete(tmp_path, name)
    (tmp_path / "jobs" / name).mkdir()
    with pytest.raises(ConfigError, match="again"):
        trash.restore(tmp_path, name)
    assert trash.empty(tmp_path, older_than_s=3600) == 0 and trash.empty(tmp_path) == 1 and trash.listed(tmp_path) == []
    for wrong in ("../jobs", "..", "", "a/b", "nothing"):
        with pytest.raises(StateError):
            trash.delete(tmp_path, wrong)
        with pytest.raises(StateError):
            trash.restore(tmp_path, wrong)


def test_a_link_to_elsewhere_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "home" / "jobs").mkdir(parents=True)
    (tmp_path / "home" / "jobs" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StateError):
        trash.delete(tmp_path / "home", "link")
    assert (tmp_path / "outside").is_dir()


def test_the_driver_s_table_is_read_and_odd_lines_left_out() -> None:
    text = "NVIDIA GeForce RTX 4080, 16376, 15000\n[N/A]\nA, b, c\n\nTesla T4, 15360, 10\n"
    first, second = card.driver_cards(text)
    assert first.name == "NVIDIA GeForce RTX 4080" and 17.1 < first.total < 17.2 and second.free < 0.02


@pytest.mark.parametrize("subject", sorted(presets.SUBJECTS))
@pytest.mark.parametrize("total", [4.0, 6.0, 8.0, 12.0, 24.0])
def test_a_preset_is_made_to_fit_or_says_that_it_cannot(tmp_path: Path, subject: str, total: float) -> None:
    values = presets.find(presets.SUBJECTS[subject], tmp_path).values
    chosen = configs.from_values(configs.merge(values, {"name": "cat"}))
    found = card.made_to_fit(chosen, estimate.SD15, Card("a card", total, total, 48.7), 1500, tmp_path)
    again = card.fit(estimate.changed(chosen, found.changes), estimate.SD15, Card("a card", total, total, 48.7), 1500)
    assert found.needed == again.needed and found.sentence == again.sentence
    assert found.sentence.startswith("fits: " if found.fits else "does not fit: ")
    assert found.sentence.endswith(f" of {total:.1f} GB, about {found.sentence.split('about ')[1]}")
    assert "1,500 steps" in found.sentence and (found.fits or total < 6)


def test_what_runs_really_took_corrects_the_next_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "base_facts", lambda _path: estimate.SD15)
    one = config(base={"path": "x.safetensors"})
    job: Job = store.create(one, tmp_path)
    needed = estimate.memory(one).total
    job.update(measured={"card": "a card", "peak_bytes": int(needed * 1.5e9), "step_seconds": 0.25})
    found = card.fit(one, estimate.SD15, Card("a card", 8.0, 8.0), 400, tmp_path)
    assert found.needed == pytest.approx(needed * 1.5, rel=0.01) and found.seconds == pytest.approx(100.0)
    assert card.fit(one, estimate.SD15, Card("another", 8.0, 8.0), 400, tmp_path).seconds is None
    job.update(measured={"card": "a card", "peak_bytes": "x", "step_seconds": []})
    assert card.fit(one, estimate.SD15, Card("a card", 8.0, 8.0), 400, tmp_path).needed == needed
