"""Runs the queue: one job after the other, in a process that outlives the page.

A trainer goes on without its runner; a runner that is started anew finds it and waits for its end. Everything that a
runner knows is on disk, so it may be killed at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.environment.launch import trainer_command
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, locks, processes
from lib_lora_train.files.text import printable
from lib_lora_train.jobs import control, process, queue
from lib_lora_train.jobs import report as reports
from lib_lora_train.jobs.queue import Entry, Outcome
from lib_lora_train.train import log as logs
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.job import Job

MODULE = "lib_lora_train.jobs.runner"
HUNG_S = 3600.0
"""A job of the queue without an event for so long is ended, so that the others have their turn."""
BROKEN = 3
"""Exit code of a job whose folder cannot be used."""
Tell = Callable[[str], None]


def lock_file(home: Path) -> Path:
    """Held by the runner of a home while it lives."""
    return queue.folder(home) / "runner.lock"


def is_running(home: Path) -> bool:
    """Whether a runner works in this home."""
    return locks.is_held(lock_file(home))


def start(home: Path) -> bool:
    """Start a runner in a process of its own unless one works here already; whether one was started.

    Its words go to `queue/log.txt`. Raises TrainerEnvironmentError when the trainer's packages are missing.
    """
    if is_running(home):
        return False
    command, variables = trainer_command(home, MODULE, [str(home)])
    windows_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    queue.folder(home).mkdir(parents=True, exist_ok=True)
    log = queue.folder(home) / "log.txt"
    logs.rotate(log)
    with log.open("ab") as words:
        subprocess.Popen(
            command,
            env=variables,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            start_new_session=not windows_group,
            creationflags=windows_group,
        )
    return True


def main(arguments: list[str]) -> int:
    """Run the queue of the home `arguments[0]` to its end."""

    def say(line: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(printable(line) + "\n")
            sys.stderr.flush()

    def leave(_number: int, _frame: object) -> None:
        sys.exit(0)  # the trainer goes on; the next runner finds it

    signal.signal(signal.SIGTERM, leave)
    try:
        Runner(Path(arguments[0]), say).run()
    except LoraLoopError as error:
        say(str(error))
        return error.exit_code
    return 0


@dataclass
class Runner:
    """Works through the queue of `home`. `tell` gets a sentence for each turn of events."""

    home: Path
    tell: Tell
    poll_s: float = 0.5
    hung_s: float = HUNG_S
    _lock: locks.Lock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._lock = locks.Lock(lock_file(self.home))

    def run(self) -> Path | None:
        """Until nothing is left to start; gives the last report's file, None when no job ended.

        A job whose time has not come is waited for. Raises ConfigError when a runner works here already.
        """
        if not self._claim():
            told = locks.facts(self._lock.path)
            raise ConfigError(
                f"The queue is being worked on already, by process {told.get('pid', '?')} on {told.get('machine', '?')}."
            )
        report = self._until_empty()
        # Whoever asked for more while this one was about to end has seen a runner at work and started none.
        while self._is_asked() and self._claim():
            report = self._until_empty() or report
        return report

    def _claim(self) -> bool:
        return self._lock.acquire({"pid": os.getpid(), "machine": processes.machine()})

    def _until_empty(self) -> Path | None:
        try:
            self._work()
            return self._report()
        finally:
            self._lock.release()

    def _is_asked(self) -> bool:
        found = queue.read(self.home)
        return bool(found.entries) and not found.paused

    def _work(self) -> None:
        said = ""
        while (found := queue.read(self.home)).entries:
            entry = self._adopted(found.entries) or (None if found.paused else found.next(time.time()))
            if entry is not None:
                self._over(*self._one(entry))
                continue
            if found.paused:
                self.tell("The queue is paused; its jobs keep their order.")
                return
            soonest = min(one.start_at or 0.0 for one in found.entries)
            words = f"Waiting until {time.strftime('%Y-%m-%d %H:%M', time.localtime(soonest))}."
            if words != said:
                self.tell(words)
            said = words
            time.sleep(self.poll_s)

    def _adopted(self, entries: tuple[Entry, ...]) -> Entry | None:
        """A job of the queue that runs already: a runner before this one started it, or a person."""
        for entry in entries:
            with contextlib.suppress(LoraLoopError):
                if process.is_running(queue.job_of(self.home, entry.job)):
                    return entry
        return None

    def _one(self, entry: Entry) -> tuple[Outcome, bool]:
        """Start a job, or go on with it, and wait for its end; whether it ran."""
        began = time.time()
        queue.bring_first(self.home, entry.job)
        try:
            return self._worked(entry, began)
        except LoraLoopError as error:  # no job, or one whose folder was taken away meanwhile
            return Outcome(entry.job, "failed", BROKEN, str(error), began, time.time()), False

    def _worked(self, entry: Entry, began: float) -> tuple[Outcome, bool]:
        """The end of a job that can be read, and whether it ran. Raises StateError for any other."""
        job = queue.job_of(self.home, entry.job)
        job.read()
        child = None
        if process.is_running(job):
            self.tell(f"{entry.job} is running already and is waited for.")
        elif process.status(job) == "done":
            return Outcome(entry.job, "done", 0, "It was done already.", began, time.time()), False
        else:
            try:
                child = process.start(job, self.home)
            except (LoraLoopError, OSError) as error:
                code = error.exit_code if isinstance(error, LoraLoopError) else 1
                with contextlib.suppress(LoraLoopError, OSError):
                    job.update(status="failed", process=None, exit_code=code)
                return Outcome(entry.job, "failed", code, str(error), began, time.time()), False
            self.tell(f"{entry.job} started.")
        self._watch(job, child)
        return self._outcome(job, child, began), True

    def _watch(self, job: Job, child: subprocess.Popen[bytes] | None) -> None:
        """Wait for the trainer's end; one that is hung shows its stack and is ended."""
        asked_at = 0.0
        while process.is_running(job) if child is None else child.poll() is None:
            logs.rotate(job.log)
            silent = control.silence(job)
            if silent > self.hung_s and not asked_at:
                asked_at = time.monotonic()
                self.tell(f"{job.folder.name} is not responding; its stack is in the log, and it is ended.")
                process.show_stack(job)
            if asked_at and time.monotonic() - asked_at > 1.0:
                process.kill(job)
                asked_at = time.monotonic()
            time.sleep(self.poll_s)

    def _outcome(self, job: Job, child: subprocess.Popen[bytes] | None, began: float) -> Outcome:
        status, message = process.status(job), ""
        if status == "interrupted":
            message = control.sign_off(job, child.returncode if child is not None else None)
            status = process.status(job)
        values = job.read()
        code = (
            0
            if status == "done"
            else values.get("exit_code", 1)
            if status == "failed"
            else 6
            if status in ("stopped", "paused")
            else 1
        )
        return Outcome(job.folder.name, status, int(code), message or reports.last_message(job), began, time.time())

    def _over(self, outcome: Outcome, ran: bool) -> None:
        """Write down an end."""
        left = queue.settle(self.home, outcome, ran)
        if outcome.job in {entry.job for entry in left.entries} and not left.paused:
            self.tell(f"{outcome.job} was resumed and goes on.")
            return
        self.tell(f"{outcome.job}: {outcome.status}. {outcome.message}")
        if left.paused and outcome.status not in ("done", "stopped", "paused") and not left.keep_going:
            self.tell("The queue is paused, as it is to stop after a failure.")

    def _report(self) -> Path | None:
        """The report of all that ended since the last one, written when the queue is empty."""
        found = queue.read(self.home)
        if found.entries or not found.done:
            return None
        name = time.strftime("%Y%m%d-%H%M%S")
        path = queue.folder(self.home) / "reports" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, reports.document(self.home, found.done))
        queue.forget_done(self.home)
        self.tell(f"The queue is done; its report is {path}.")
        return path
