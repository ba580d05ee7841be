"""`train CONFIG.toml`: one run, from a config file or a job folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lib_lora_train.jobs import process, store, terminal
from lib_lora_train.train import config as configs
from lib_lora_train.train import presets, toml
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.job import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a config file (TOML), or the folder of a job")
    parser.add_argument("--preset", help="settings to start from, below the config's own")
    add_settings(parser)
    parser.add_argument("--out", type=Path, help="the job's folder (default: a new one in the home's jobs)")
    add_output(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The `--set` option."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change a setting, such as optimizer.learning_rate=1e-4; may be repeated",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """The `--json` option."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each event")


def run(options: argparse.Namespace) -> int:
    path = Path(options.config)
    job = Job(path.resolve()) if (path / "job.json").is_file() else make(options, path)
    return run_job(job, options.home, options.json)


def make(options: argparse.Namespace, path: Path) -> Job:
    """A new job of the config file, the preset below it and the settings on top."""
    return store.create(
        compose(configs.located(toml.read(path), path.parent), options.preset, options.settings, options.home),
        options.home,
        options.out,
    )


def compose(values: dict[str, Any], preset: str | None, settings: list[str], home: Path) -> TrainConfig:
    """The config of a file's values, on its preset (or `preset`), under the command line's settings."""
    above = configs.assignments(settings)
    chosen = preset or above.get("preset") or values.get("preset") or ""
    below = presets.find(chosen, home).values if chosen else {}
    return configs.from_values(configs.merge(below, values, above, {"preset": chosen}))


def run_job(job: Job, home: Path, as_json: bool) -> int:
    """Run a job to its end, showing its events; returns its exit code."""
    bar = terminal.Bar()
    offset = job.events.stat().st_size if job.events.exists() else 0
    started = process.start(job, home)
    try:
        code = terminal.follow(job, started, terminal.print_json if as_json else bar, offset)
    finally:
        bar.close()
    if not as_json:
        print(f"The job is in {job.folder}")
    return code
