"""A job made out of another: cloned, or changed by the cure of a failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_lora_train.jobs import process, store
from lib_lora_train.jobs.sweep import nested
from lib_lora_train.train import config as configs
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.job import Job


def clone(job: Job, home: Path, changes: Mapping[str, Any] | None = None) -> Job:
    """A new queued job with the same settings, changed by `changes` (dotted names), under the next free name.

    Raises ConfigError when a change is wrong.
    """
    values = configs.merge(job.read()["config"], nested(changes or {}))
    if "name" not in (changes or {}):
        taken = {one.config().name for one in store.usable(home)}
        values["name"] = next_name(str(values.get("name", "")), taken)
    return store.create(configs.from_values(values), home)


def next_name(name: str, taken: set[str]) -> str:
    """`name-v2`, `name-v3` …, the first that is not taken."""
    stem = re.sub(r"-v\d+$", "", name)
    version = 2
    while f"{stem}-v{version}" in taken:
        version += 1
    return f"{stem}-v{version}"


def apply(job: Job, home: Path, changes: Mapping[str, Any]) -> Job:
    """The job with a cure's changes: the same one where nothing is learned yet or a begun run may take them, else a
    clone. Raises ConfigError for a job that runs, or for a change that is wrong.
    """
    if process.is_running(job):
        raise ConfigError(f"The job {job.folder.name} is running; stop it first.")
    before = job.config()
    after = configs.from_values(configs.merge(configs.to_values(before), nested(changes)))
    table = configs.known()
    begun = (job.state / "latest").exists()
    if begun and not all(table[name].option.on_resume for name in configs.changes(before, after)):
        return clone(job, home, changes)
    job.update(config=configs.to_values(after))
    return job
