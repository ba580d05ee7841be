"""`stop JOB`: save and stop after the step that is being done; asked again, end it."""

from __future__ import annotations

import argparse

from lib_lora_train.jobs import control, store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job's folder, or its name")
    parser.add_argument("--after-epoch", action="store_true", help="stop at the end of the running epoch")
    parser.add_argument("--pause", action="store_true", help="the same as stopping, marked as a pause")
    parser.add_argument("--now", action="store_true", help="end it at once; its last saved state is kept")


def run(options: argparse.Namespace) -> int:
    job = store.find(options.job, options.home)
    command = "pause" if options.pause else "stop_after_epoch" if options.after_epoch else "stop"
    print(control.kill(job) if options.now else control.ask(job, command))
    return 0
