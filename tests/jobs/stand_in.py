"""The real worker without its training: the process, its lock, its events and its commands, but no torch to load.

What a job does is in its `save.comment`: "fail" fails, "hang" gives no sign of life after its third step, "exit" dies
without a word; else it does `loop.steps` steps.
"""

from __future__ import annotations

import os
import time

from lib_lora_train.train import worker
from lib_lora_train.train.errors import DatasetError, Stopped
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import Job


def main(arguments: list[str]) -> int:
    worker._train = train
    return worker.main(arguments)


def train(job: Job, log: EventLog) -> None:
    config = job.config()
    log.write("state", status="running", message="Training.", steps=config.loop.steps, epochs=1)
    for step in range(1, config.loop.steps + 1):
        time.sleep(0.01)
        log.write("step", step=step, epoch=1, loss=0.1, average=0.1, lr={"unet": 1e-4}, d_lr={}, seconds=0.01)
        if step == 3 and config.save.comment == "hang":
            time.sleep(600)
        if step == 3 and config.save.comment == "fail":
            raise DatasetError("The photos cannot be used.")
        if step == 3 and config.save.comment == "exit":
            os._exit(13)
        commands = job.take()
        if {"stop", "pause"} & set(commands):
            raise Stopped(f"The run is over at step {step}.", "paused" if "pause" in commands else "stopped")
        if "stop_after_epoch" in commands:
            job.post("stop_after_epoch")
