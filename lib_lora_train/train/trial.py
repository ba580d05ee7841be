"""A training of two steps on a tiny base with random weights: what the environment's self-test runs by this module's name.

It goes the way of every run: photos, latents, forward and backward, a saved state that is read back, a LoRA file that
is matched with its base, a sample picture. So whatever a torch lacks, or a device cannot do, shows here in seconds.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from lib_lora_train.files import atomic
from lib_lora_train.train import config as configs
from lib_lora_train.train import device, loop, setup
from lib_lora_train.train.base.random_base import write_random_base
from lib_lora_train.train.errors import Stopped, TrainError
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import VERSION, Job
from lib_lora_train.train.loop import Run

SIDE_PX = 64
NAME = "trial"
STEPS = 2


def run() -> dict[str, Any]:
    """Train for a moment and throw the result away: `device`, `precision` and `seconds` that it took.

    `skipped` is a sentence in place of `seconds` when the GPU has no free memory just now, which says nothing about
    the packages. Raises whatever goes wrong.
    """
    began = time.monotonic()
    torch.set_num_threads(1)  # tensors this small gain nothing from more, and wait for each other on a busy machine
    # A file that is still open must not be the reason why the test fails on Windows.
    with tempfile.TemporaryDirectory(prefix="lora-loop-trial-", ignore_cleanup_errors=True) as folder:
        try:
            used = _train(Path(folder))
        except (RuntimeError, MemoryError) as error:
            if not torch.cuda.is_available() or not device.is_out_of_memory(error):
                raise
            return {"device": torch.cuda.get_device_name(), "precision": "", "skipped": _no_memory()}
    return {"device": used.name(), "precision": used.precision, "seconds": round(time.monotonic() - began, 1)}


def _train(folder: Path) -> device.Device:
    job = _job(folder)
    with _prepared(job) as first:
        job.post("stop")
        with contextlib.suppress(Stopped):  # after one step, with its state saved
            loop.train(first)
    with _prepared(job) as second:
        if second.progress.step != 1:
            raise TrainError(f"the saved state was not read back: the run is at step {second.progress.step}")
        loop.train(second)
    learned = load_file(job.out / f"{NAME}.safetensors")
    if not any(tensor.abs().max() > 0 for name, tensor in learned.items() if name.endswith("lora_up.weight")):
        raise TrainError("two steps changed nothing in the LoRA")
    if not any(job.samples.glob("*.png")):
        raise TrainError("no sample picture was made")
    return second.device


@contextlib.contextmanager
def _prepared(job: Job) -> Iterator[Run]:
    log = EventLog(job.events).open()
    try:
        run = setup.prepare(job, log)
        try:
            yield run
        finally:
            run.feed.close()
            run.scalars.close()
    finally:
        log.close()


def _job(folder: Path) -> Job:
    base, photos = folder / "base.safetensors", folder / "photos"
    write_random_base(base)
    photos.mkdir()
    for number in range(STEPS):
        across = Image.linear_gradient("L").resize((SIDE_PX, SIDE_PX)).rotate(90 * number)
        disc = Image.radial_gradient("L").resize((SIDE_PX, SIDE_PX))
        Image.merge("RGB", (across, disc, across)).save(photos / f"{number}.png")
    values = {
        "name": NAME,
        "trigger": "ohwx",
        "base": {"path": str(base)},
        "dataset": {"path": str(photos), "resolution": SIDE_PX, "bucket_min": SIDE_PX, "repeats": 1},
        "adapter": {"rank": 2, "alpha": 2},
        "optimizer": {"learning_rate": 1e-3, "warmup": 0},
        "loop": {"steps": STEPS, "batch_size": 1},
        "samples": {"prompts": [f"ohwx --w {SIDE_PX} --h {SIDE_PX} --s 1"], "every_steps": STEPS},
        "log": {"tensorboard": False},
    }
    configs.from_values(values)
    job = Job(folder / "job")
    job.folder.mkdir()
    atomic.write_json(job.file, {"version": VERSION, "created": time.time(), "status": "queued", "config": values})
    return job


def _no_memory() -> str:
    free, total = torch.cuda.mem_get_info()
    return (
        f"{torch.cuda.get_device_name()} has only {free / 2**30:.1f} of its {total / 2**30:.1f} GB free, "
        "so nothing could be trained on it for a test; close other programs that use it, or unload the WebUI's model"
    )
