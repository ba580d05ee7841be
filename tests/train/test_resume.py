"""A run that was stopped or killed and resumed is, byte for byte, the run that was not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lib_lora_train.train.job import Job
from tests.runs import Workshop, events, killed_at_step, last_state, outputs, run

pytestmark = pytest.mark.torch

EVERY_STEP = "save.state_every_steps=1"


def whole(workshop: Workshop, home: Path, *settings: str) -> Job:
    """The run that is never stopped."""
    job = workshop.job(home, *settings, name="whole")
    assert run(job) == 0
    return job


def assert_same(job: Job, expected: Job) -> None:
    """All LoRA files and the last state are the same bytes (the state names its config and photos too)."""
    assert outputs(job) == outputs(expected)
    assert {name: data for name, data in last_state(job).items()} == last_state(expected)


def data_of(file: bytes) -> bytes:
    """A safetensors file without its header."""
    return file[8 + int.from_bytes(file[:8], "little") :]


@pytest.fixture(scope="module")
def reference(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return whole(workshop, tmp_path_factory.mktemp("reference"), EVERY_STEP)


@pytest.mark.parametrize("step", [1, 2, 4, 5, 7])
def test_killed_in_any_step_and_resumed_equals_never_stopped(
    workshop: Workshop, jobs: Path, reference: Job, step: int
) -> None:
    job = workshop.job(jobs, EVERY_STEP)
    assert killed_at_step(job, step) == -signal.SIGKILL
    assert not (job.out / "cat.safetensors").exists()
    assert run(job) == 0
    assert_same(job, reference)


def test_killed_twice_and_resumed_twice_equals_never_stopped(workshop: Workshop, jobs: Path, reference: Job) -> None:
    job = workshop.job(jobs, EVERY_STEP)
    assert killed_at_step(job, 3) == -signal.SIGKILL
    assert killed_at_step(job, 6) == -signal.SIGKILL
    assert run(job) == 0
    assert_same(job, reference)
    steps = [event["step"] for event in events(job, "step")]
    assert sorted(set(steps)) == list(range(1, max(steps) + 1))


@pytest.mark.parametrize(
    "settings",
    [
        ("loop.accumulation=3", "loop.batch_size=1"),
        ("optimizer.name=Prodigy", "optimizer.learning_rate=1"),
        (
            "optimizer.name=DAdaptAdam",
            "optimizer.learning_rate=1",
            "optimizer.scheduler=cosine",
            "objective.noise_offset=0.1",
        ),
        ("optimizer.name=Adafactor", "adapter.dropout=0.3", "adapter.rank_dropout=0.3", "adapter.module_dropout=0.3"),
        (
            "optimizer.name=Lion",
            "dataset.shuffle=true",
            "dataset.flip=true",
            "dataset.random_crop=true",
            "dataset.color_jitter=true",
        ),
        (
            "adapter.text_encoder=false",
            "adapter.conv_rank=2",
            "dataset.tag_dropout=0.3",
            "objective.multires_iterations=4",
        ),
        ("dataset.held_out=2", "loop.accumulation=2", "adapter.dropout=0.3", "objective.noise_offset=0.1"),
        ("dataset.held_out=0.3", "adapter.text_encoder=false", "dataset.random_crop=true", "save.every_steps=1"),
    ],
    ids=[
        "half-full accumulation",
        "Prodigy",
        "DAdaptAdam",
        "dropouts",
        "augmentations",
        "convolutions",
        "held-out photos",
        "held-out photos, uncached",
    ],
)
def test_every_source_of_randomness_survives_a_kill(workshop: Workshop, jobs: Path, settings: tuple[str, ...]) -> None:
    expected = whole(workshop, jobs, *settings, "save.state_every_steps=2")
    job = workshop.job(jobs, *settings, "save.state_every_steps=2")
    assert killed_at_step(job, 4) == -signal.SIGKILL  # the state before is of step 2
    assert run(job) == 0
    assert_same(job, expected)


def test_a_stopped_run_saves_and_goes_on(
    workshop: Workshop, jobs: Path, reference: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(jobs, EVERY_STEP)
    take, calls = Job.take, []

    def stop_after_two(self: Job) -> list[str]:
        calls.append(1)
        return ["stop"] if len(calls) == 2 else take(self)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "take", stop_after_two)
        assert run(job) == 6
    assert job.read()["status"] == "stopped"
    assert (job.out / "cat-step00000002.safetensors").exists()
    assert run(job) == 0
    (job.out / "cat-step00000002.safetensors").unlink()
    assert_same(job, reference)


def test_saving_state_at_other_steps_changes_nothing(workshop: Workshop, jobs: Path, reference: Job) -> None:
    assert outputs(whole(workshop, jobs)) == outputs(reference)


def test_samples_change_nothing(workshop: Workshop, jobs: Path, reference: Job) -> None:
    job = whole(workshop, jobs, "samples.prompts=a (cat:1.3) --w 64 --h 64 --s 3", "samples.every_steps=2")
    assert outputs(job) == outputs(reference)
    pictures = sorted(path.name for path in job.samples.glob("*.png"))
    assert pictures[0] == "cat-e000001-00.png"
    assert "cat-s00000002-00-base.png" in pictures


def test_a_cold_cache_changes_nothing(workshop: Workshop, jobs: Path, reference: Job) -> None:
    job = workshop.job(jobs, EVERY_STEP)
    job.update(cache=str(jobs / "fresh"))
    assert run(job) == 0
    assert outputs(job) == outputs(reference)
    off = whole(workshop, jobs, EVERY_STEP, "cache.latents=off")  # which the metadata mentions
    assert {name: data_of(file) for name, file in outputs(off).items()} == {
        name: data_of(file) for name, file in outputs(reference).items()
    }
