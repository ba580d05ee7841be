"""`stop JOB`: save and stop after the step that is being done."""

from __future__ import annotations

import argparse

from lib_lora_train.jobs import process, store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job's folder, or its name")
    parser.add_argument("--after-epoch", action="store_true", help="stop at the end of the running epoch")
    parser.add_argument("--pause", action="store_true", help="the same as stopping, marked as a pause")


def run(options: argparse.Namespace) -> int:
    job = store.find(options.job, options.home)
    if not process.is_running(job):
        print(f"The job {job.folder.name} is not running.")
        return 0
    command = "pause" if options.pause else "stop_after_epoch" if options.after_epoch else "stop"
    job.post(command)
    print(
        f"The job {job.folder.name} will save and stop {'at the end of this epoch' if options.after_epoch else 'after this step'}."
    )
    return 0
