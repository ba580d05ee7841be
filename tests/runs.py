"""Runs of the real worker, in this process or in forked ones that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from lib_lora_train.files import atomic
from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job

SIZES = ((96, 96), (128, 96), (96, 128))


@dataclass(frozen=True)
class Workshop:
    """Where the base and the photos are."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Workshop:
        from lib_lora_train.train.base.random_base import write_random_base

        write_random_base(folder / "tiny.safetensors", "tiny", seed=0)
        (folder / "photos").mkdir()
        for number in range(7):
            draw_photo(folder / "photos" / f"{number}.png", number)
            (folder / "photos" / f"{number}.txt").write_text(f"ohwx cat, tag {number}, on a mat", encoding="utf-8")
        return cls(folder)

    @property
    def base(self) -> Path:
        return self.folder / "tiny.safetensors"

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    def values(self, *settings: str) -> dict[str, Any]:
        """A small run: 7 photos in 3 buckets, batches of 2, so 4 to 5 batches an epoch, 2 epochs; float32 files."""
        return configs.merge(
            {
                "name": "cat",
                "trigger": "ohwx",
                "class_word": "cat",
                "base": {"path": str(self.base)},
                "dataset": {
                    "path": str(self.photos),
                    "resolution": 96,
                    "bucket_min": 64,
                    "bucket_max": 128,
                    "bucket_step": 32,
                    "repeats": 1,
                },
                "adapter": {"rank": 2, "alpha": 2},
                "optimizer": {"learning_rate": 1e-3},
                "loop": {"epochs": 2, "batch_size": 2},
                "save": {"precision": "fp32", "patience": 0.0},
                "log": {"tensorboard": False},
            },
            configs.assignments(settings),
        )

    def job(self, home: Path, *settings: str, name: str = "job") -> Job:
        """A queued job. All jobs of the session share one cache of latents."""
        job = store.create(configs.from_values(self.values(*settings)), home, home / name)
        job.update(created=0.0, cache=str(self.folder / "cache"))
        return job


def draw_photo(path: Path, number: int) -> None:
    """A coloured disc on a coloured ground, different for each number."""
    image = Image.new("RGB", SIZES[number % 3], (40 * number % 256, 90, 200 - 20 * number))
    ImageDraw.Draw(image).ellipse((20 + number, 20, 70, 75 - number), fill=(250, 30 * number % 256, 60))
    image.save(path)


def run(job: Job) -> int:
    """The worker in this process; returns its exit code."""
    from lib_lora_train.train import worker

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return worker.main([str(job.folder)])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settle() -> None:
    """In a forked process: no output, and torch's thread pool made anew.

    Its old pool is of no use after a fork, and two threads that replace it at once can find none in its place.
    """
    import torch

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    torch.set_num_threads(torch.get_num_threads())


def run_killed(job: Job, dies: Callable[[str], bool]) -> int:
    """The worker in a forked process that is killed (SIGKILL) at the first stage of a write for which `dies`.

    Returns minus the signal, or the exit code when nothing killed it.
    """
    pid = os.fork()
    if pid == 0:
        _settle()

        def checkpoint(stage: str) -> None:
            if dies(stage):
                os.kill(os.getpid(), signal.SIGKILL)

        atomic.checkpoint = checkpoint
        os._exit(run(job))
    _, status = os.waitpid(pid, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def killed_at_step(job: Job, step: int, before: Callable[[Job], None] = lambda _job: None) -> int:
    """The worker in a forked process, killed (SIGKILL) in the middle of step `step` (from 1)."""
    pid = os.fork()
    if pid == 0:
        _settle()
        from lib_lora_train.train import loop

        before(job)
        finish = loop._require_finite

        def die(run: Any, *rest: Any) -> None:
            if run.progress.step + 1 == step:
                os.kill(os.getpid(), signal.SIGKILL)
            finish(run, *rest)

        loop._require_finite = die
        os._exit(run(job))
    _, status = os.waitpid(pid, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def when_step(monkeypatch: pytest.MonkeyPatch, actions: dict[int, Callable[[], Any]]) -> None:
    """Do something after a step was recorded."""
    from lib_lora_train.train import loop

    record = loop._record

    def recorded(run: Any, *rest: Any) -> None:
        record(run, *rest)
        actions.get(run.progress.step, lambda: None)()

    monkeypatch.setattr(loop, "_record", recorded)


def events(job: Job, kind: str = "") -> list[dict[str, Any]]:
    """The job's events of a kind."""
    return [event for event in read_events(job.events)[0] if not kind or event["kind"] == kind]


def outputs(job: Job) -> dict[str, bytes]:
    """The bytes of every LoRA file of a job, by name."""
    return {path.name: path.read_bytes() for path in sorted(job.out.glob("*.safetensors"))}


def last_state(job: Job) -> dict[str, bytes]:
    """The bytes of the newest state."""
    folder = job.state / (job.state / "latest").read_text().strip()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def copy_job(job: Job, target: Path) -> Job:
    """The whole job folder again elsewhere."""
    shutil.copytree(job.folder, target)
    return Job(target)
