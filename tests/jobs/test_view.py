"""What a page reads of a job: curves, time left, messages with cures, files; small and safe whatever the folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.jobs import curves, store, view
from lib_lora_train.train import config as configs
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import Job
from tests.runs import Workshop, run


def make(home: Path, **values: Any) -> Job:
    return store.create(configs.from_values({"name": "cat", "trigger": "ohwx", **values}), home)


def step(log: EventLog, number: int, epoch: int = 1, loss: float = 0.1, seconds: float = 0.5) -> None:
    log.write(
        "step", step=number, epoch=epoch, loss=loss, average=loss, lr={"unet": 1e-4}, d_lr={"unet": 1e-5 * number},
        seconds=seconds, images_per_s=2.0, memory=5_000_000_000,
    )  # fmt: skip


def size(found: view.View) -> int:
    return len(json.dumps(found.as_dict(), ensure_ascii=False).encode())


def test_a_real_run(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs, "samples.prompts=cat --w 64 --h 64 --s 1")
    assert run(job) == 0
    found = view.Diary(job).look()
    assert (found.status, found.step, found.steps, found.epoch, found.epochs) == (
        "done",
        found.steps,
        found.steps,
        2,
        2,
    )
    assert len(found.curves["loss"]) == found.steps and {"rate unet", "rate text_encoder"} < set(found.curves)
    assert [file.name for file in found.files] == [
        "cat-000001.safetensors",
        "cat-000002.safetensors",
        "cat.safetensors",
    ]
    assert [(one.epoch, one.base) for one in found.samples] == [(1, True), (1, False), (2, False)]
    assert all((job.samples / one.file).is_file() for one in found.samples)
    assert found.epoch_ends == ((1, found.steps // 2), (2, found.steps)) and found.message == "Training is done."
    assert view.row(job).steps == found.steps and view.row(job).step == found.steps
    assert job.read()["measured"]["step_seconds"] > 0


def test_each_look_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(tmp_path)
    log, diary, offsets = EventLog(job.events).open(), view.Diary(job), list[int]()
    read = view.read_events
    monkeypatch.setattr(
        view, "read_events", lambda path, offset, most: offsets.append(offset) or read(path, offset, most)
    )
    log.write("state", status="running", message="Training.", steps=100, epochs=2)
    for number in range(1, 11):
        step(log, number)
    assert diary.look().step == 10
    middle = job.events.stat().st_size
    step(log, 11, epoch=2)
    assert diary.look().step == 11 and offsets == [0, middle]
    for number in (9, 10):  # it was killed and went on from step 8
        step(log, number, loss=9.0)
    found = diary.look()
    assert found.step == 10 and [point.step for point in found.curves["loss"]] == list(range(1, 11))
    assert found.curves["loss"][-1].mean == 9.0
    assert [point.step for point in diary.look(first=3, last=5).curves["loss"]] == [3, 4, 5]
    job.events.write_bytes(b"")
    assert diary.look().step == 0


def test_a_long_diary_in_several_looks_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "CHUNK", 100_000)
    job = make(tmp_path)
    log = EventLog(job.events).open()
    log.write("state", status="running", steps=5000, epochs=50)
    for number in range(1, 3001):
        step(log, number, epoch=number // 100 + 1, loss=1.0 if number == 1234 else 0.1)
        if number % 10 == 0:
            log.write("sample", file=f"cat-{number}.png", step=number, epoch=1, prompt="p" * 5000)
            log.write("warning", name="x", message=f"{number} " + "ü" * 3000)
    diary, looks = view.Diary(job), 1
    while (found := diary.look()).more:
        looks += 1
    assert looks > 5 and found.step == 3000
    assert size(found) < view.MOST_BYTES and len(found.curves["loss"]) == curves.MOST_POINTS
    assert max(point.high for point in found.curves["loss"]) == 1.0, "a peak stays visible"


def test_j9_a_diary_tampered_with(tmp_path: Path) -> None:
    job = make(tmp_path)
    lines: list[Any] = [
        {"kind": "step", "step": "<b>", "average": []},
        {"kind": "step", "step": 1, "average": 1e400, "loss": 1},
        {
            "kind": "step",
            "step": 2,
            "average": 0.5,
            "loss": 0.5,
            "lr": 3,
            "d_lr": {"unet": "x", "<i>": 1},
            "seconds": None,
        },
        {"kind": "sample", "file": "../../../etc/passwd"},
        {"kind": "sample", "file": ["a"]},
        {"kind": "sample", "file": "a/b.png"},
        {"kind": "sample", "file": "good.png", "prompt": {"a": 1}},
        {"kind": "saved", "file": "/etc/shadow", "bytes": -1},
        {"kind": "state", "status": ["x"], "message": {"a": 1}, "steps": 10**30},
        {"kind": "progress", "what": 3, "done": None, "total": "x"},
        {"kind": "warning", "name": None, "message": "a\x1b[31mb\x00\u202ec"},
        {"kind": "unknown"},
        [1],
    ]
    job.events.write_text("\n".join(json.dumps(line) for line in lines) + "\n{torn")
    found = view.Diary(job).look()
    assert found.step == 2 and [one.file for one in found.samples] == ["good.png"] and not found.files
    assert [one.text for one in found.messages] == ["abc"] and size(found) < view.MOST_BYTES


def test_warnings_and_errors_come_with_their_cures(tmp_path: Path) -> None:
    job = make(tmp_path, loop={"batch_size": 4}, optimizer={"name": "Lion"})
    log = EventLog(job.events).open()
    log.write("warning", name="d_not_growing", message="It does not grow.")
    log.write("error", name="OutOfMemory", message="The memory does not suffice.")
    warning, error = view.Diary(job).look().messages
    assert [cure.name for cure in warning.cures] == ["adamw"]
    assert error.kind == "error" and "loop.batch_size" in {key for cure in error.cures for key in cure.changes}
    log.write("state", status="preparing", message="Starting the trainer.")
    assert [one.kind for one in view.Diary(job).look().messages] == ["warning"], "a new start: the error is history"


def test_t8_the_time_left_forgets_a_sleep_and_counts_what_comes_with_epochs() -> None:
    even = [0.5] * 100
    epochs = [number // 20 + 1 for number in range(100)]
    assert curves.time_left(even, epochs, 40, 2) == pytest.approx(20.0)
    slept = [*even[:50], 7200.0, *even[51:]]
    assert curves.time_left(slept, epochs, 40, 2) == pytest.approx(20.0)
    samples = [10.5 if number and number % 20 == 0 else 0.5 for number in range(100)]
    assert curves.time_left(samples, epochs, 40, 2) == pytest.approx(40.0)
    assert curves.time_left([], [], 10, 1) is None


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.integers(1, 50))
def test_a_curve_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    steps = list(range(1, len(values) + 1))
    points = curves.downsample(steps, values, most)
    assert len(points) == min(most, len(values)) and [p.step for p in points] == sorted({p.step for p in points})
    if values:
        assert points[-1].step == steps[-1]
        assert (min(p.low for p in points), max(p.high for p in points)) == (min(values), max(values))


def test_j10_five_hundred_jobs_are_listed_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(tmp_path)
    text = first.file.read_text("utf-8")
    for number in range(499):
        folder = tmp_path / "jobs" / f"2026-{number:03d}-dog"
        folder.mkdir()
        (folder / "job.json").write_text(text)
    (tmp_path / "jobs" / "2026-100-dog" / "job.json").write_text("{")
    opened: list[str] = []
    read = Job.read
    monkeypatch.setattr(Job, "read", lambda self: opened.append(self.folder.name) or read(self))
    page = view.page(tmp_path, 20, 20)
    assert page.total == 500 and len(page.rows) == 20 and len(set(opened)) == 20, "only what is shown is opened"
    assert view.page(tmp_path, 0, 10, "CAT").rows[0].job == first.folder.name
    [broken] = view.page(tmp_path, 0, 5, "2026-100").rows
    assert broken.status == "broken" and "cannot be read" in broken.message
    assert view.page(tmp_path, 490, 1000).rows[-1].job == "2026-000-dog"
    assert view.page(tmp_path / "nowhere") == view.Page((), 0)
