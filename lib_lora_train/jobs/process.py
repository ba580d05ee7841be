"""The trainer's process of a job: start it, know whether it lives, ask it to stop."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lib_lora_train.environment.launch import trainer_command
from lib_lora_train.train.job import Job

WORKER = "lib_lora_train.train.worker"


def start(job: Job, home: Path) -> subprocess.Popen[bytes]:
    """Start the trainer in a process group of its own, its words going to the job's log.

    Raises TrainerEnvironmentError when its packages are missing.
    """
    command, variables = trainer_command(home, WORKER, [str(job.folder)])
    job.take()  # commands for an earlier process; those that come from now on are for this one
    windows_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            command,
            env=variables,
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=not windows_group,
            creationflags=windows_group,
        )


def is_running(job: Job) -> bool:
    """Whether the process that `job.json` names lives and is the same one (pid and start time)."""
    process = job.read().get("process")
    if not process:
        return False
    try:
        pid, began = int(process["pid"]), float(process["started"])
    except (KeyError, TypeError, ValueError):
        return False
    started = _start_time(pid)
    return started is not None and abs(started - began) < 2.0


def _start_time(pid: int) -> float | None:
    """When the process `pid` began, in seconds since 1970, or None when there is none."""
    try:
        import psutil
    except ImportError:  # the command line outside the environment: the pid alone must do
        return _start_time_without_psutil(pid)
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _start_time_without_psutil(pid: int) -> float | None:
    """The same from the system itself, on Linux; elsewhere unknown counts as not running."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        booted = next(
            int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
        )
    except (OSError, StopIteration):
        return None
    return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
