"""`queue`: jobs one after the other, tonight or now."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files.text import printable
from lib_lora_train.jobs import process, queue, runner, store, train_command
from lib_lora_train.jobs import report as reports
from lib_lora_train.jobs.sweep import Sweep, sweep
from lib_lora_train.train import config as configs
from lib_lora_train.train import toml
from lib_lora_train.train.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|run|move|remove|pause|go")
    add = actions.add_parser("add", help="put jobs, or a config's runs, into the queue")
    add.add_argument("jobs", nargs="+", help="config files (TOML), or jobs by folder or name")
    add.add_argument("--preset", help="settings to start from, below a config's own")
    train_command.add_settings(add)
    add.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="one run for each value, and for each combination of several; shown first, queued with --yes",
    )
    add.add_argument("--yes", action="store_true", help="queue a sweep's runs without showing them first")
    add.add_argument("--at", metavar="TIME", help="start no sooner: 23:30, or 2026-12-24T01:00")
    add.add_argument("--first", action="store_true", help="before all that wait")
    shown = actions.add_parser("list", help="what runs, what waits, how the others ended")
    shown.add_argument("--json", action="store_true", help="one JSON object")
    run = actions.add_parser("run", help="work through the queue until it is empty")
    run.add_argument("--stop-after-failure", action="store_true", help="do not go on after a job that failed")
    move = actions.add_parser("move", help="give a job another place")
    move.add_argument("job")
    move.add_argument("place", type=int, help="counted from 1")
    actions.add_parser("remove", help="take a job out; its folder stays").add_argument("job")
    actions.add_parser("pause", help="start no further job")
    actions.add_parser("go", help="let jobs start again")
    for action in actions.choices.values():  # these may stand behind the action as well
        action.add_argument("--home", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    return int(
        {"add": _add, "list": _list, "run": _run, "move": _move, "remove": _remove, "pause": _pause, "go": _pause}[
            options.action
        ](options)
    )


def _add(options: argparse.Namespace) -> int:
    start_at = queue.moment(options.at, datetime.now()) if options.at else None
    found: list[str] = []
    for text in options.jobs:
        path = Path(text)
        if path.suffix == ".toml" and not (path / "job.json").is_file():
            runs = _runs(options, path)
            print(runs.sentence)
            if len(runs.variants) > 1 and not options.yes:
                print("Nothing is queued yet; the same with --yes queues them.")
                return 0
            found += [store.create(variant.config, options.home).folder.name for variant in runs.variants]
        else:
            job = store.find(text, options.home)
            if job.folder.parent != (options.home / "jobs").resolve():
                raise ConfigError(
                    f"{job.folder} is not in {options.home / 'jobs'}; the queue takes jobs of its own home only."
                )
            found.append(job.folder.name)
    left = queue.add(options.home, found, start_at, options.first)
    print(f"{len(found)} queued, {len(left.entries)} in the queue. 'queue run' works through it.")
    return 0


def _runs(options: argparse.Namespace, path: Path) -> Sweep:
    values = configs.located(toml.read(path), path.parent)
    config = train_command.compose(values, options.preset, options.settings, options.home)
    lists = dict(one.partition("=")[::2] for one in options.sweep)
    return sweep(configs.to_values(config), lists)


def _list(options: argparse.Namespace) -> int:
    found = queue.read(options.home)
    if options.json:
        print(json.dumps(described(options.home), ensure_ascii=False))
        return 0
    for place, entry in enumerate(found.entries, 1):
        at = f", not before {datetime.fromtimestamp(entry.start_at):%Y-%m-%d %H:%M}" if entry.start_at else ""
        print(printable(f"{place}. {entry.job}: {_status(options.home, entry.job)}{at}"))
    for one in found.done:
        print(printable(f"   {one.job}: {one.status}, {reports.duration(one.finished - one.started)}. {one.message}"))
    if not found.entries:
        print("The queue is empty.")
    elif found.paused:
        print("The queue is paused; 'queue go' lets jobs start again.")
    elif not runner.is_running(options.home):
        print("Nobody works on it; 'queue run' does.")
    return 0


def described(home: Path) -> dict[str, Any]:
    """The queue as plain values: `waiting` (job, status, start_at), `done`, `paused`, `running`."""
    found = queue.read(home)
    return {
        "waiting": [
            {"job": one.job, "status": _status(home, one.job), "start_at": one.start_at} for one in found.entries
        ],
        "done": [vars(one) for one in found.done],
        "paused": found.paused,
        "running": runner.is_running(home),
    }


def _status(home: Path, name: str) -> str:
    try:
        return process.status(queue.job_of(home, name))
    except LoraLoopError:
        return "broken"


def _run(options: argparse.Namespace) -> int:
    if options.stop_after_failure:
        queue.keep_going(options.home, False)
    before = len(queue.read(options.home).done)

    def say(line: str) -> None:
        print(f"{time.strftime('%H:%M')} {printable(line)}", file=sys.stderr, flush=True)

    report = runner.Runner(options.home, say).run()
    if report is not None:
        print(report)
        return 0
    ended = queue.read(options.home).done[before:]
    return 0 if all(one.status == "done" for one in ended) else 1


def _move(options: argparse.Namespace) -> int:
    name = store.find(options.job, options.home).folder.name
    left = queue.move(options.home, name, options.place)
    print(f"{name} is number {left.position(name) + 1} of {len(left.entries)}.")
    return 0


def _remove(options: argparse.Namespace) -> int:
    known = queue.known_jobs(options.home)  # also one whose folder is gone
    name = options.job if options.job in known else store.find(options.job, options.home).folder.name
    left = queue.remove(options.home, name)
    print(f"{name} is out of the queue; {len(left.entries)} left.")
    return 0


def _pause(options: argparse.Namespace) -> int:
    queue.pause(options.home, options.action == "pause")
    print(
        "No further job starts." if options.action == "pause" else "Jobs start again; 'queue run' works through them."
    )
    return 0
