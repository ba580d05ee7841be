"""Files are old or new, never half: kills at every stage, disks that fill up, go away or are held by others."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_lora_train.files import atomic
from lib_lora_train.files.errors import DiskError
from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train import results
from lib_lora_train.train.adapters import Adapter, Part
from lib_lora_train.train.errors import TrainError
from lib_lora_train.train.export import verify, write_lora
from lib_lora_train.train.job import Job
from lib_lora_train.train.state import Progress, load_state, save_state
from tests.runs import Workshop, events, last_state, outputs, run, run_killed, when_step

SHAPES = {"lora_unet_x": torch.Size((4, 3))}


def adapter(value: float) -> Adapter:
    """A LoRA of one module whose numbers are all `value`."""
    parameters = {
        "lora_unet_x.lora_down.weight": torch.nn.Parameter(torch.full((2, 3), value)),
        "lora_unet_x.lora_up.weight": torch.nn.Parameter(torch.full((4, 2), value)),
    }
    constants = {"lora_unet_x.alpha": torch.tensor(2.0)}
    return Adapter("lora", (Part("unet", torch.nn.Identity(), parameters, constants, SHAPES, lambda on: None),))


def in_fork(action: Callable[[], Any], dies_at: int) -> bool:
    """Do it in a forked process that is killed at the write's stage number `dies_at`; whether that came."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def checkpoint(stage: str) -> None:
            nonlocal count
            if count == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        atomic.checkpoint = checkpoint
        action()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def at_every_stage(action: Callable[[], Any], check: Callable[[], bool], reset: Callable[[], Any]) -> list[bool]:
    """Kill at each stage in turn; `check` says whether the new content is there, or fails."""
    found: list[bool] = []
    while in_fork(action, len(found)):
        found.append(check())
        reset()
    action()
    assert check()
    return found


def test_r1_a_lora_is_old_or_new_at_every_stage(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    write_lora(path, adapter(1.0), "fp32", {"v": "old"})
    old = path.read_bytes()
    write_lora(path, adapter(2.0), "fp32", {"v": "new"})
    new = path.read_bytes()

    def check() -> bool:
        assert verify(path, SHAPES) == 1 and path.read_bytes() in (old, new)
        atomic.sweep(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["cat.safetensors"]
        return path.read_bytes() == new

    path.write_bytes(old)
    stages = at_every_stage(
        lambda: write_lora(path, adapter(2.0), "fp32", {"v": "new"}), check, lambda: path.write_bytes(old)
    )
    assert stages == [False, False, True]  # written, synced, renamed


def test_r1_a_state_is_there_or_not_at_every_stage(tmp_path: Path) -> None:
    def save(step: int) -> None:
        tensors = {"x": torch.full((3,), float(step))}
        save_state(tmp_path, Progress(step=step), tensors, {"y": torch.full((2,), float(step))}, {})

    def check() -> bool:
        found, skipped = load_state(tmp_path)
        assert found is not None and not skipped
        assert found.adapter["x"].tolist() == [found.progress.step] * 3
        assert found.optimizer["y"].tolist() == [found.progress.step] * 2
        assert not list(tmp_path.glob("*.lora-loop-tmp"))
        return found.progress.step == 2

    save(1)
    stages = at_every_stage(lambda: save(2), check, lambda: shutil.rmtree(tmp_path / "step-000002", ignore_errors=True))
    assert stages == [False, False, False, False, True, True, True, True]


def test_r1_job_json_is_old_or_new_at_every_stage(tmp_path: Path) -> None:
    job = store.create(configs.from_values({"name": "cat"}), tmp_path)
    before = job.file.read_bytes()
    stages = at_every_stage(
        lambda: job.update(status="done"),
        lambda: {"queued": False, "done": True}[job.read()["status"]],
        lambda: job.file.write_bytes(before),
    )
    assert stages == [False, False, True]
    assert len(atomic.sweep(job.folder)) == 2 and not list(job.folder.glob("*.lora-loop-tmp"))


@pytest.fixture(scope="module")
def reference(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = workshop.job(tmp_path_factory.mktemp("reference"))
    assert run(job) == 0
    return job


def test_r1_a_run_killed_while_it_saves_goes_on_to_the_same_files(
    workshop: Workshop, jobs: Path, reference: Job
) -> None:
    job, seen = workshop.job(jobs), [0]

    def in_first_epoch_file(stage: str) -> bool:
        seen[0] += bool(list(job.out.glob("cat-000001.safetensors.*.lora-loop-tmp")))
        return seen[0] == 2  # "synced", before the rename

    assert run_killed(job, in_first_epoch_file) == -signal.SIGKILL
    [left] = job.out.iterdir()
    assert left.match("cat-000001.safetensors.*.lora-loop-tmp")
    assert run(job) == 0
    assert outputs(job) == outputs(reference) and last_state(job) == last_state(reference)
    assert not list(job.folder.rglob("*.lora-loop-tmp"))


class FullDisk:
    """While `full`, nothing can be made durable under the folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
        self.full, self._fsync, self._code = False, os.fsync, code
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(self._code, os.strerror(self._code))
        self._fsync(descriptor)


def test_r2_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cat.safetensors"
    write_lora(path, adapter(1.0), "fp32", {})
    old, disk = path.read_bytes(), FullDisk(monkeypatch)
    disk.full = True
    with pytest.raises(DiskError, match=r"cat\.safetensors could not be written in .*: the disk is full; free some"):
        write_lora(path, adapter(2.0), "fp32", {})
    assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DiskError):
        save_state(tmp_path / "state", Progress(step=1), {}, {}, {})
    assert load_state(tmp_path / "state") == (None, [])


def test_r2_training_goes_on_over_a_full_disk(
    workshop: Workshop, jobs: Path, reference: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, disk = workshop.job(jobs, "samples.prompts=a cat --w 64 --h 64 --s 1"), FullDisk(monkeypatch)
    steps = len(events(reference, "step"))
    when_step(monkeypatch, {2: lambda: setattr(disk, "full", True), steps - 1: lambda: setattr(disk, "full", False)})
    assert run(job) == 0
    expected = outputs(reference)
    expected.pop("cat-000001.safetensors")
    assert outputs(job) == expected
    said = [event["message"] for event in events(job, "warning") if event["name"] == "disk"]
    assert len(said) == 4  # a sample and the one without the LoRA, the LoRA file, the state
    assert all("the disk is full" in message and "raining goes on" in message for message in said)


def test_r2_the_end_waits_for_room_and_then_gives_up_with_7(
    workshop: Workshop, jobs: Path, reference: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, disk = workshop.job(jobs, "save.patience=100"), FullDisk(monkeypatch)
    steps, clock, waits = len(events(reference, "step")), [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    with monkeypatch.context() as patch:
        patch.setattr(results.time, "sleep", sleep)
        patch.setattr(results.time, "monotonic", lambda: clock[0])
        when_step(patch, {steps: lambda: setattr(disk, "full", True)})
        assert run(job) == 7
    assert sum(waits) == 100 and not (job.out / "cat.safetensors").exists()
    assert (
        "for 10 s more" in [event["message"] for event in events(job, "warning") if "in memory" in event["message"]][-1]
    )
    disk.full = False
    assert run(job) == 0  # from the last state that could be saved
    assert outputs(job) == outputs(reference)


def mount(folder: Path, options: str) -> None:
    """A real small disk over the folder; unmount it afterwards."""
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("a small disk can only be mounted by root")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=3m")
    yield folder
    unmount(folder)


def fill(folder: Path) -> None:
    """Not one byte is left on the disk."""
    with (folder / "ballast").open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            pass


def test_r2_on_a_real_disk(
    workshop: Workshop, small_disk: Path, reference: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(small_disk, "adapter.rank=1", "log.tensorboard=true")
    steps = len(events(reference, "step"))
    when_step(monkeypatch, {2: lambda: fill(small_disk), steps - 1: (small_disk / "ballast").unlink})
    assert run(job) == 0
    assert sorted(outputs(job)) == ["cat-000002.safetensors", "cat.safetensors"]
    assert json.loads(job.file.read_text())["status"] == "done" and not list(job.folder.rglob("*.lora-loop-tmp"))


def test_r2_a_run_that_cannot_fit_is_refused_before_it_starts(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, usage = workshop.job(jobs), shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=10_000))
    assert run(job) == 7
    assert "and 10 kB are free" in events(job, "error")[0]["message"] and not events(job, "step")


@pytest.mark.parametrize("what", ["out", "copy_to"])
def test_r3_a_folder_that_cannot_be_written_is_found_before_the_start(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    job = workshop.job(jobs, f"save.copy_to={jobs / 'Lora'}")
    target, open_ = job.out if what == "out" else jobs / "Lora", Path.open

    def refusing(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.parent == target:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    assert run(job) == 7
    [error] = events(job, "error")
    assert str(target) in error["message"] and "cannot be written to" in error["message"]
    assert not any("encoding" in event.get("what", "") for event in events(job, "progress"))


def test_r3_a_folder_deleted_in_mid_run_is_made_again(
    workshop: Workshop, jobs: Path, reference: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.job(jobs)

    def delete() -> None:
        shutil.rmtree(job.out)
        shutil.rmtree(job.state)

    when_step(monkeypatch, {2: delete})
    assert run(job) == 0
    assert outputs(job) == outputs(reference) and last_state(job) == last_state(reference)


@pytest.mark.parametrize("place", ["out", "."], ids=["the folder of files", "the whole job"])
def test_r3_a_disk_that_goes_away_in_mid_run_is_survived(
    workshop: Workshop, jobs: Path, reference: Job, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    job = workshop.job(jobs, "samples.prompts=a cat --w 64 --h 64 --s 1")
    folder = job.folder / place
    steps = len(events(reference, "step"))
    when_step(monkeypatch, {2: lambda: mount(folder, "ro"), steps - 1: lambda: unmount(folder)})
    try:
        assert run(job) == 0
    finally:
        unmount(folder)
    expected = outputs(reference)
    del expected["cat-000001.safetensors"]
    assert outputs(job) == expected
    for name in ("adapter.safetensors", "optimizer.safetensors"):
        assert last_state(job)[name] == last_state(reference)[name]
    said = [event["message"] for event in events(job, "warning") if event["name"] == "disk"]
    assert len(said) == (1 if place == "out" else 4)
    assert all("cannot be written to" in message for message in said)


def test_r4_a_file_held_by_another_program_is_kept_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace, pauses = tmp_path / "cat.safetensors", os.replace, []
    write_lora(path, adapter(1.0), "fp32", {})
    old = path.read_bytes()

    def held(source: Path, target: Path) -> None:
        if Path(target) == path:
            raise PermissionError(errno.EACCES, "held")
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(atomic.time, "sleep", pauses.append)
    with pytest.raises(DiskError, match=r"kept as cat\.safetensors\.new; close that program"):
        write_lora(path, adapter(2.0), "fp32", {})
    assert path.read_bytes() == old and len(pauses) == 9 and pauses == sorted(pauses)
    kept = path.with_name("cat.safetensors.new")
    assert verify(kept, SHAPES) == 1 and not list(tmp_path.glob("*.lora-loop-tmp"))


def test_r4_a_scanner_that_lets_go_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace, tries = tmp_path / "cat.safetensors", os.replace, []

    def held(source: Path, target: Path) -> None:
        tries.append(target)
        if len(tries) < 4:
            raise PermissionError(errno.EACCES, "held")
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(atomic.time, "sleep", lambda _seconds: None)
    assert write_lora(path, adapter(2.0), "fp32", {}).matched == 1 and len(tries) == 4


def test_r5_who_has_the_file_mapped_keeps_the_old_one(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "cat.safetensors"
    write_lora(path, adapter(1.0), "fp32", {})
    with safe_open(path, framework="pt") as mapped:
        inode = path.stat().st_ino
        write_lora(path, adapter(2.0), "fp32", {})
        assert mapped.get_tensor("lora_unet_x.lora_up.weight").tolist() == [[1.0, 1.0]] * 4
    assert path.stat().st_ino != inode


def test_r11_pruning_keeps_the_newest_and_a_failure_is_only_told(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, unlink = workshop.job(jobs, "save.every_steps=1", "save.keep=2", "loop.epochs=1"), Path.unlink

    def stubborn(self: Path, missing_ok: bool = False) -> None:
        if self.name == "cat-step00000001.safetensors":
            raise PermissionError(errno.EACCES, "held")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", stubborn)
    assert run(job) == 0
    left = sorted(outputs(job))
    steps = len(events(job, "step"))
    assert left == [
        "cat-000001.safetensors",
        "cat-step00000001.safetensors",
        f"cat-step{steps:08d}.safetensors",
        "cat.safetensors",
    ]
    assert any("cat-step00000001.safetensors could not be removed" in e["message"] for e in events(job, "warning"))
    assert len([folder for folder in job.state.iterdir() if folder.is_dir()]) == 2


def test_a_file_that_reads_back_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies: what was written is not what is there."""
    write = atomic.write_bytes
    monkeypatch.setattr(atomic, "write_bytes", lambda path, data: write(path, data[:-24] + b"\xff" * 24))
    with pytest.raises((TrainError, DiskError)):
        write_lora(tmp_path / "cat.safetensors", adapter(1.0), "fp32", {})


@pytest.mark.parametrize("command", ["stop", "pause"])
def test_what_a_stopped_run_saves_in_mid_epoch_stays_in_its_job(
    workshop: Workshop, jobs: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Half an epoch is no file to choose from among the good ones of the WebUI."""
    job, lora = workshop.job(jobs, f"save.copy_to={jobs / 'Lora'}"), jobs / "Lora"
    when_step(monkeypatch, {1: lambda: job.post(command)})
    assert run(job) == 6
    monkeypatch.undo()
    file = "cat-step00000001.safetensors"
    assert [path.name for path in job.out.glob("*.safetensors")] == [file]
    assert not list(lora.glob("*.safetensors")) and not list(lora.glob("*.json"))
    assert [event["kept_back"] for event in events(job, "saved") if event.get("file") == file] == [True]
    assert run(job) == 0
    assert (lora / "cat.safetensors").is_file() and not (lora / file).exists()
    card = json.loads((lora / "cat-000001.json").read_text("utf-8"))
    assert "(1 epoch)" in card["notes"] + card["description"]
