"""The trainer's own process: `main([JOB])` runs one job folder to its end. `environment.launch` starts it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import locks, processes
from lib_lora_train.train import card_lock, notify
from lib_lora_train.train import log as logs
from lib_lora_train.train.errors import CardLost, ConfigError, OutOfMemory, Stopped
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import Job

UNKNOWN = 1
"""Exit code of a fault that has no sentence of its own."""
WAIT_S = 1.0
"""For so long a run tries to get the card before it looks whether it is to stop."""
SILENCE_S = 300.0
"""A trainer without an event for so long writes its stacks into the log: it may be hung."""


def main(arguments: list[str]) -> int:
    """Run the job in the folder `arguments[0]`; returns the exit code of DESIGN's list."""
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):  # a hung trainer shows its stack in the log when it is asked
        faulthandler.register(signal.SIGUSR1)
    job = Job(Path(arguments[0]).resolve())
    log = EventLog(job.events, after=lambda: _sign_of_life(job)).open()
    lock = locks.Lock(job.lock)
    if not lock.acquire({"machine": processes.machine(), "pid": os.getpid()}):
        log.write("warning", name="running", message="This job is running already; the second start was ignored.")
        log.close()
        return UNKNOWN
    log.hold_room()
    try:
        return _locked(job, log)
    finally:
        log.free_room()
        faulthandler.cancel_dump_traceback_later()
        log.close()
        lock.release()


def _sign_of_life(job: Job) -> None:
    """After each event: the watch over a hung trainer starts anew (it needs no Python to work), the log stays small."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be gone, or no file in tests
        faulthandler.dump_traceback_later(SILENCE_S, file=sys.stderr)
    logs.rotate(job.log)


def _locked(job: Job, log: EventLog) -> int:
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: job.post("stop"))
    me = {"pid": os.getpid(), "born": processes.birth(os.getpid()), "machine": processes.machine()}
    try:
        job.update(status="running", process={**me, "folder": str(job.folder)})
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
    _notify(job, log, "done", "Training is done.")
    return 0


def _notify(job: Job, log: EventLog, status: str, message: str) -> None:
    """Tell the person's address, if there is one; that it did not take it is a warning."""
    with contextlib.suppress(LoraLoopError):
        config = job.config()
        problem = notify.send(config.log.notify, config.name, status, message) if config.log.notify else ""
        if problem:
            log.write("warning", name="notify", message=problem)


def _end(job: Job, log: EventLog, status: str, message: str, exit_code: int, name: str = "") -> int:
    """Write down how it ended; a disk that is full or gone must not hide the reason."""
    log.free_room()
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
    _notify(job, log, status, message)
    return exit_code


def _train(job: Job, log: EventLog) -> None:
    """Set up and train; the device's own errors become ours. Raises LoraLoopError."""
    log.write("state", status="preparing", message="Starting the trainer.")
    import torch

    from lib_lora_train.train import device, loop, setup

    run = None
    claim = _claim_card(job, log, card_lock.used(torch.cuda.is_available()))
    try:
        run = setup.prepare(job, log)
        job.update(steps=run.length.steps)
        log.write(
            "state",
            status="running",
            message="Training.",
            step=run.progress.step,
            steps=run.length.steps,
            epochs=run.length.epochs,
        )
        loop.train(run)
        job.update(measured=loop.measured(run))
    except LoraLoopError:
        if run is not None:
            loop.remember(run)
        raise
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if device.is_not_deterministic(error):
            raise ConfigError(
                "This card has no deterministic kernel for one of the model's operations: set loop.deterministic = false."
            ) from error
        if device.is_lost(error):
            traceback.print_exc()
            raise CardLost(device.lost_message(error)) from error
        if not device.is_out_of_memory(error):
            raise
        if run is not None:
            loop.remember(run)
        raise OutOfMemory(device.memory_message(job.config().loop, run is not None)) from error
    finally:
        if run is not None:
            run.feed.close()
            run.scalars.close()
        claim.release()


def _claim_card(job: Job, log: EventLog, card: str) -> locks.Lock:
    """Take the card's lock, waiting for whoever has it and saying so; free the host's memory. Raises Stopped.

    A job that shares the card does not wait. Without a card there is nothing to take.
    """
    nothing, said = locks.Lock(job.folder / ".card.lock"), False
    if not card:
        return nothing
    try:
        claim = card_lock.lock(card)
    except OSError as error:  # a lock that cannot be had must not keep a person from training
        log.write("warning", name="card_lock", message=f"The card cannot be locked against other programs ({error}).")
        return nothing
    purpose = f"training {job.config().name}"
    # Tried all the time: between two pictures of "Generate forever" the card is free for an instant only.
    while not (job.read().get("share_card") or card_lock.take(claim, purpose, job.folder, WAIT_S)):
        if not said:
            said = True
            log.write("state", status="waiting", message=card_lock.busy_sentence(card))
        if job.is_asked_to_stop():
            job.take()
            raise Stopped("The run was stopped while it waited for the card; resume goes on from there.")
    still_used = card_lock.ask_to_free(card)
    if still_used:
        log.write("warning", name="host_memory", message=still_used)
    return claim
