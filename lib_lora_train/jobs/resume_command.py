"""`resume JOB`: go on from the last saved state, to the same bytes as a run that was never stopped."""

from __future__ import annotations

import argparse

from lib_lora_train.jobs import process, store, train_command
from lib_lora_train.train import config as configs
from lib_lora_train.train.dataset.length import AUTOMATIC_EPOCHS
from lib_lora_train.train.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job's folder, or its name")
    train_command.add_settings(parser)
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        choices=("dataset", "base"),
        help="go on although the photos or the base have changed",
    )
    train_command.add_output(parser)


def run(options: argparse.Namespace) -> int:
    job = store.find(options.job, options.home)
    values = job.read()
    if process.is_running(job):
        raise ConfigError(f"The job {job.folder.name} is running already.")
    before = configs.from_values(values["config"])
    after = configs.from_values(configs.merge(values["config"], configs.assignments(options.settings)))
    table = configs.known()
    changes = configs.changes(before, after)
    for name, (old, new) in changes.items():
        if not table[name].option.on_resume:
            raise ConfigError(
                f"{name} cannot change in a run that was begun (it was {old!r}, asked for {new!r}): start a new run, with adapter.start_from to go on from this one's file. What may change: {configs.changeable()}."
            )
    if values["status"] == "done" and not changes:
        print(f"The job {job.folder.name} is already finished; to train it longer, add --set {_longer(before)}.")
        return 0
    job.update(config=configs.to_values(after), accept=options.accept)
    return train_command.run_job(job, options.home, options.json)


def _longer(config: configs.TrainConfig) -> str:
    """A setting that makes the run half as long again; `loop.steps` goes before `loop.epochs` where it is set."""
    loop = config.loop
    return (
        f"loop.steps={loop.steps * 3 // 2 + 1}"
        if loop.steps
        else f"loop.epochs={(loop.epochs or AUTOMATIC_EPOCHS) + 5}"
    )
