"""The trainer's own process: `main([JOB])` runs one job folder to its end. `environment.launch` starts it."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
import time
import traceback
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.errors import ConfigError, OutOfMemory, Stopped
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import Job

UNKNOWN = 1
"""Exit code of a fault that has no sentence of its own."""


def main(arguments: list[str]) -> int:
    """Run the job in the folder `arguments[0]`; returns the exit code of DESIGN's list."""
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):  # a hung trainer shows its stack in the log when it is asked
        faulthandler.register(signal.SIGUSR1)
    job = Job(Path(arguments[0]).resolve())
    log = EventLog(job.events).open()
    try:
        return _run(job, log)
    finally:
        log.close()


def _run(job: Job, log: EventLog) -> int:
    from filelock import FileLock, Timeout

    try:
        with FileLock(job.folder / ".lock", timeout=0):
            return _locked(job, log)
    except Timeout:
        log.write("warning", name="running", message="This job is running already; the second start was ignored.")
        return UNKNOWN


def _locked(job: Job, log: EventLog) -> int:
    import psutil

    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: job.post("stop"))
    try:
        job.update(status="running", process={"pid": psutil.Process().pid, "started": psutil.Process().create_time()})
        _train(job, log)
        job.update(status="done", process=None, finished=time.time())
    except Stopped as stopped:
        return _end(job, log, stopped.status, str(stopped), stopped.exit_code)
    except LoraLoopError as error:
        return _end(job, log, "failed", str(error), error.exit_code, type(error).__name__)
    except BaseException as error:
        traceback.print_exc()
        message = f"The trainer failed with a fault that we do not know: {type(error).__name__}: {error}. The log has the details; please report it."
        return _end(job, log, "failed", message, UNKNOWN, type(error).__name__)
    log.write("state", status="done", message="Training is done.")
    return 0


def _end(job: Job, log: EventLog, status: str, message: str, exit_code: int, name: str = "") -> int:
    """Write down how it ended; a disk that is gone must not hide the reason."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    try:
        if status == "failed":
            log.write("error", name=name, message=message, exit_code=exit_code)
        log.write("state", status=status, message=message)
        job.update(status=status, process=None, exit_code=exit_code)
    except (OSError, LoraLoopError) as error:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"This could not be written down: {error}\n")
            sys.stderr.flush()
    return exit_code


def _train(job: Job, log: EventLog) -> None:
    """Set up and train; the device's own errors become ours. Raises LoraLoopError."""
    log.write("state", status="preparing", message="Starting the trainer.")
    import torch

    from lib_lora_train.train import device, loop, setup

    run = None
    try:
        run = setup.prepare(job, log)
        log.write(
            "state",
            status="running",
            message="Training.",
            step=run.progress.step,
            steps=run.length.steps,
            epochs=run.length.epochs,
        )
        loop.train(run)
    except LoraLoopError:
        if run is not None:
            loop.remember(run)
        raise
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if device.is_not_deterministic(error):
            raise ConfigError(
                "This card has no deterministic kernel for one of the model's operations: set loop.deterministic = false."
            ) from error
        if not device.is_out_of_memory(error):
            raise
        if run is not None:
            loop.remember(run)
        raise OutOfMemory(device.memory_message(job.config().loop, run is not None)) from error
    finally:
        if run is not None:
            run.feed.close()
            run.scalars.close()
