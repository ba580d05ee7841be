"""Rows T and R, and M6, M7: what goes wrong in a run, each with what an expert would demand.

R1 to R5 and R11 are in tests/train/test_saving.py, R9 and R10 in test_state.py, T3 in test_monitor.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora_train.jobs import status_command
from lib_lora_train.train import config as configs
from lib_lora_train.train import samples, setup
from lib_lora_train.train.base.random_base import write_random_base
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.job import Job
from lib_lora_train.train.state import load_state
from lib_lora_train.train.step import Objective
from tests.runs import Workshop, copy_job, draw_photo, events, killed_at_step, last_state, outputs, run

FIRST_STEPS = "save.state_every_steps=1"


@pytest.fixture(scope="module")
def done(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run of two epochs."""
    job = workshop.job(tmp_path_factory.mktemp("done"))
    assert run(job) == 0
    return job


@pytest.fixture(scope="module")
def begun(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run that was killed in its fourth step, in the middle of an epoch, with photos of its own."""
    home = tmp_path_factory.mktemp("begun")
    shutil.copytree(workshop.photos, home / "photos")
    job = workshop.job(home, f"dataset.path={home / 'photos'}", FIRST_STEPS, "loop.batch_size=1")
    assert killed_at_step(job, 4) == -signal.SIGKILL
    return job


@pytest.fixture
def going_on(begun: Job, tmp_path: Path) -> Job:
    """A copy of it with photos that the test may change."""
    job = copy_job(begun, tmp_path / "job")
    shutil.copytree(begun.folder.parent / "photos", tmp_path / "photos")
    edit(job, dataset={"path": str(tmp_path / "photos")})
    return job


def edit(job: Job, **sections: Any) -> None:
    job.update(config=configs.merge(job.read()["config"], sections))


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, fault: Callable[[], Any]) -> None:
    """Something happens in the forward pass of a step (from 1; batches are not accumulated)."""
    forward, passes = Objective.forward, [0]

    def failing(self: Objective, inputs: Any) -> Any:
        passes[0] += 1
        found = forward(self, inputs)
        return found * fault() if passes[0] == step else found

    monkeypatch.setattr(Objective, "forward", failing)


def error_of(job: Job) -> dict[str, Any]:
    [error] = events(job, "error")
    assert error["message"].endswith(".") and job.read()["status"] == "failed"
    return error


def out_of_memory() -> Any:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_t1_out_of_memory_says_what_to_change_and_keeps_the_state(
    workshop: Workshop, jobs: Path, done: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(jobs)
    with monkeypatch.context() as patch:
        at_step(patch, 3, out_of_memory)
        assert run(job) == 4
    message = error_of(job)["message"]
    order = ["gradient_checkpointing", "loop.batch_size (now 2)", "dataset.resolution", "adapter.rank"]
    places = [message.index(words) for words in order]
    assert places == sorted(places) and "The state is saved" in message
    found, _ = load_state(job.state)
    assert found is not None and found.progress.step == 2
    assert run(job) == 0 and outputs(job) == outputs(done)


def test_t1_at_the_first_step_nothing_is_promised_that_is_not_there(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(jobs)
    monkeypatch.setattr(setup, "load_base", lambda *_: out_of_memory())
    assert run(job) == 4
    assert "saved" not in error_of(job)["message"]


@pytest.mark.parametrize(
    "fault", [out_of_memory, lambda: (_ for _ in ()).throw(RuntimeError("[enforce] not enough memory: you tried"))]
)
def test_t2_a_sample_that_does_not_fit_is_left_out(
    workshop: Workshop, jobs: Path, done: Job, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Any]
) -> None:
    job, draw = (
        workshop.job(jobs, 'samples.prompts=["cat --w 64 --h 64 --s 1", "cat --w 128 --h 64 --s 1"]'),
        samples.draw,
    )

    def scarce(base: Any, sample: Any, *rest: Any) -> Any:
        return fault() if sample.width > 64 else draw(base, sample, *rest)

    monkeypatch.setattr(samples, "draw", scarce)
    assert run(job) == 0
    said = [event["message"] for event in events(job, "warning") if event["name"] == "sample_memory"]
    assert len(said) == 3 and "128x64 does not fit" in said[0]
    assert sorted(path.name for path in job.samples.iterdir()) == [
        "cat-e000001-00-base.png",
        "cat-e000001-00.png",
        "cat-e000002-00.png",
    ]
    assert outputs(job) == outputs(done)


def test_t2_the_vae_goes_back_to_where_it_waits(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_lora_train.train.base.load import load_base
    from lib_lora_train.train.sections import BaseConfig, SamplesConfig

    base = load_base(BaseConfig(path=str(workshop.base)))
    sample = samples.parse("a --w 64 --h 64 --s 1", SamplesConfig(), 64, "", 1)
    contexts = samples.contexts(base, sample, 1, torch.device("cpu"))
    moves: list[Any] = []
    monkeypatch.setattr(base.vae, "to", lambda place: moves.append(place) or base.vae)
    monkeypatch.setattr(type(base.family), "decode", lambda *_: out_of_memory())
    with pytest.raises(torch.cuda.OutOfMemoryError):
        samples.draw(base, sample, contexts, torch.device("cpu"))
    assert len(moves) == 2


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_t4_a_loss_that_is_no_number_stops_before_the_step(
    workshop: Workshop, jobs: Path, done: Job, monkeypatch: pytest.MonkeyPatch, number: float
) -> None:
    job = workshop.job(jobs, FIRST_STEPS)
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: number)
        assert run(job) == 5
    message = error_of(job)["message"]
    assert "The loss at step 3 is not a number" in message and ".png" in message
    assert "learning_rate" in message and "bf16" in message and "VAE" in message
    for name, tensor in load_file(job.state / "step-000002" / "adapter.safetensors").items():
        assert tensor.isfinite().all(), name
    assert run(job) == 0 and outputs(job) == outputs(done)


def test_t4_a_gradient_that_is_no_number_too(workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * float("nan")

    job, forward = workshop.job(jobs), Objective.forward
    monkeypatch.setattr(Objective, "forward", lambda self, inputs: Breaking.apply(forward(self, inputs)))
    assert run(job) == 5
    assert "The gradient at step 1" in error_of(job)["message"]


def test_t5_a_sample_that_shows_nothing_is_told_once(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(jobs, "samples.prompts=a cat --w 64 --h 64 --s 1", "save.every_epochs=0")
    monkeypatch.setattr(samples, "draw", lambda *_: Image.new("RGB", (64, 64)))
    assert run(job) == 0
    [warning] = [event for event in events(job, "warning") if event["name"] == "flat_sample"]
    assert "one flat colour" in warning["message"] and "bf16" in warning["message"]


def test_t7_a_trainer_that_dies_leaves_a_run_to_go_on_with(begun: Job) -> None:
    assert begun.read()["status"] == "running"  # it had no time to say otherwise
    assert status_command.describe(begun)["status"] == "interrupted"
    found, _ = load_state(begun.state)
    assert found is not None and found.progress.step == 3


def test_t7_a_driver_that_gives_up_is_a_failure_with_a_log(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lost() -> Any:
        raise RuntimeError("CUDA error: unspecified launch failure")

    job = workshop.job(jobs, FIRST_STEPS)
    at_step(monkeypatch, 3, lost)
    assert run(job) == 1
    assert "unspecified launch failure" in error_of(job)["message"] and "Traceback" in capfd.readouterr().err
    found, _ = load_state(job.state)
    assert found is not None and found.progress.step == 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optimizer.learning_rate=1", "optimizer.learning_rate = 1 is made for DAdaptAdam"),
        ("adapter.rank=4096", "adapter.rank = 4096 is out of range: use from 1 to 1024"),
        ("loop.steps=-1", "loop.steps = -1 steps"),
        ("loop.steps=1000000000", "loop.steps = 1000000000 steps is out of range"),
        ("loop.epochs=2.5", "loop.epochs = 2.5 is not a whole number"),
    ],
)
def test_t11_settings_beyond_sense_name_field_unit_and_range(
    workshop: Workshop, jobs: Path, setting: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        workshop.job(jobs, setting)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        ("loop.batch_size=64",),
        ("loop.batch_size=4", "loop.accumulation=64"),
        ("loop.batch_size=2", "loop.accumulation=3", "dataset.repeats=3", "loop.epochs=1"),
        ("loop.steps=5", "loop.epochs=0"),
        ("dataset.buckets=false", "loop.batch_size=3"),
    ],
)
def test_t12_the_steps_shown_are_the_steps_done(workshop: Workshop, jobs: Path, settings: tuple[str, ...]) -> None:
    job = workshop.job(jobs, *settings)
    assert run(job) == 0
    shown = {event["steps"] for event in events(job, "state") if "steps" in event}
    done = [event["step"] for event in events(job, "step")]
    assert shown == {len(done)} and done == list(range(1, len(done) + 1))
    assert (job.out / "cat.safetensors").exists()


def test_t14_the_same_bytes_twice(workshop: Workshop, jobs: Path, done: Job) -> None:
    again = workshop.job(jobs, name="elsewhere")
    assert run(again) == 0
    assert outputs(again) == outputs(done) and last_state(again) == last_state(done)


def test_r6_other_settings_are_refused_with_what_was_and_what_may_change(going_on: Job, begun: Job) -> None:
    edit(going_on, adapter={"rank": 8}, optimizer={"learning_rate": 5e-4}, save={"precision": "fp16"})
    assert run(going_on) == 3
    message = error_of(going_on)["message"]
    assert "adapter.rank was 2 and is 8" in message and "optimizer.learning_rate was 0.001 and is 0.0005" in message
    refused, allowed = message.split("What may change:")
    assert "save.precision" not in refused and {"loop.epochs", "save.precision", "samples.prompts"} <= set(
        allowed.replace(",", " ").split()
    )
    assert last_state(going_on) == last_state(begun)


def test_r6_what_does_not_touch_the_learning_may_change(going_on: Job) -> None:
    edit(going_on, save={"precision": "bf16", "every_epochs": 0}, cache={"latents": "memory"}, loop={"epochs": 1})
    assert run(going_on) == 0
    assert list(outputs(going_on)) == ["cat-000001.safetensors", "cat.safetensors"]
    assert all(t.dtype in (torch.bfloat16, torch.float32) for t in load_file(going_on.out / "cat.safetensors").values())


def test_r7_photos_that_changed_are_named_and_may_be_accepted(going_on: Job) -> None:
    photos = Path(going_on.config().dataset.path)
    (photos / "3.png").unlink()
    draw_photo(photos / "new.png", 11)
    assert run(going_on) == 3
    message = error_of(going_on)["message"]
    assert "1 gone (3.png" in message and "1 new (new.png" in message and "--accept dataset" in message
    going_on.update(accept=["dataset"])
    assert run(going_on) == 0
    assert [event["step"] for event in events(going_on, "step")] == list(range(1, 15))


def test_r7_with_so_few_photos_left_that_the_place_in_the_epoch_is_gone(going_on: Job) -> None:
    photos = Path(going_on.config().dataset.path)
    for number in range(2, 7):
        (photos / f"{number}.png").unlink()
    going_on.update(accept=["dataset"])
    edit(going_on, loop={"epochs": 4})
    assert run(going_on) == 0  # 3 steps were done; 2 photos in 4 epochs are 8 steps
    assert [event["step"] for event in events(going_on, "step")] == list(range(1, 9))


def test_r8_at_the_end_of_an_epoch_and_twice(workshop: Workshop, jobs: Path, done: Job) -> None:
    first = len([event for event in events(done, "step") if event["epoch"] == 1])
    job = workshop.job(jobs, FIRST_STEPS)
    for step in (first + 1, first + 2):
        assert killed_at_step(job, step) == -signal.SIGKILL
    assert run(job) == 0 and outputs(job) == outputs(done)


def test_r8_a_finished_run_is_extended_as_if_it_had_been_longer(workshop: Workshop, jobs: Path, done: Job) -> None:
    longer = workshop.job(jobs, "loop.epochs=3")
    assert run(longer) == 0
    job = copy_job(done, jobs / "extended")
    edit(job, loop={"epochs": 3})
    assert run(job) == 0
    for name in ("cat-000003.safetensors", "cat.safetensors"):
        assert outputs(job)[name] == outputs(longer)[name]
    assert [event["step"] for event in events(job, "step")] == [event["step"] for event in events(longer, "step")]


def test_r8_repeats_that_were_worked_out_stay_when_the_run_is_extended(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_lora_train.train.dataset import length

    monkeypatch.setattr(length, "guide_repeats", lambda _photos: 2)
    monkeypatch.setattr(length, "AUTOMATIC_EPOCHS", 1)
    job = workshop.job(jobs, "dataset.repeats=0", "loop.epochs=0", "loop.batch_size=7")
    assert run(job) == 0
    before = [event["images"] for event in events(job, "step")][-1]
    edit(job, loop={"epochs": 2})
    assert run(job) == 0
    assert before == 14 and [event["images"] for event in events(job, "step")][-1] == 28


def test_m6_a_vae_that_overflows_names_the_photo(workshop: Workshop, jobs: Path) -> None:
    base = jobs / "broken.safetensors"
    jobs.mkdir()
    tensors = load_file(workshop.base)
    name = next(key for key in tensors if key.startswith("first_stage_model.encoder.conv_out") and key.endswith("bias"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, base)
    job = workshop.job(jobs, f"base.path={base}")
    assert run(job) == 5
    message = error_of(job)["message"]
    assert "the VAE of broken.safetensors" in message and ".png" in message and not events(job, "step")


@pytest.mark.parametrize("accepted", [False, True])
def test_m7_a_base_that_changed_since_is_refused_unless_accepted(
    workshop: Workshop, jobs: Path, accepted: bool
) -> None:
    base = jobs / "base.safetensors"
    jobs.mkdir()
    shutil.copy(workshop.base, base)
    job = workshop.job(jobs, f"base.path={base}", "loop.epochs=1", FIRST_STEPS)
    assert killed_at_step(job, 2) == -signal.SIGKILL
    write_random_base(base, "tiny", seed=5)
    if accepted:
        job.update(accept=["base"])
        assert run(job) == 0
    else:
        assert run(job) == 3
        assert "base.safetensors is not the file" in error_of(job)["message"]


def test_m7_also_between_queueing_and_the_start(workshop: Workshop, jobs: Path) -> None:
    base = jobs / "base.safetensors"
    jobs.mkdir()
    shutil.copy(workshop.base, base)
    job = workshop.job(jobs, f"base.path={base}", "loop.epochs=1")
    write_random_base(base, "tiny", seed=5)
    assert run(job) == 0
    [warning] = [event for event in events(job, "warning") if event["name"] == "base"]
    assert "base.safetensors was changed after this job was queued" in warning["message"]


def test_a_second_start_of_the_same_job_is_ignored(workshop: Workshop, jobs: Path, done: Job) -> None:
    from filelock import FileLock

    job = copy_job(done, jobs / "job")
    before = job.file.read_bytes()
    with FileLock(job.folder / ".lock"):
        assert run(job) == 1
    assert job.file.read_bytes() == before and "running already" in events(job, "warning")[-1]["message"]


def test_j9_a_job_tampered_with_is_refused(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs)
    job.file.write_text(json.dumps({**job.read(), "config": {**job.read()["config"], "name": "../../x"}}))
    assert run(job) == 2
    assert os.listdir(jobs) == ["job"]
