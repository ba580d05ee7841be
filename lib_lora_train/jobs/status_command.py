"""`status JOB`: how far a job is."""

from __future__ import annotations

import argparse
import json

from lib_lora_train.files.text import printable
from lib_lora_train.jobs import process, store
from lib_lora_train.train.events import read_events
from lib_lora_train.train.job import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="a job's folder or name; without it, all jobs")
    parser.add_argument("--json", action="store_true", help="one JSON object a job")


def run(options: argparse.Namespace) -> int:
    jobs = [store.find(options.job, options.home)] if options.job else list(store.every(options.home))
    for job in jobs:
        facts = describe(job)
        print(json.dumps(facts, ensure_ascii=False) if options.json else printable(_sentence(facts)))
    if not jobs:
        print(f"There are no jobs in {options.home / 'jobs'} yet.")
    return 0


def describe(job: Job) -> dict[str, object]:
    """Status, step and message of a job; a run whose process is gone is "interrupted"."""
    facts: dict[str, object] = {"job": job.folder.name, "folder": str(job.folder), "status": process.status(job)}
    for event in read_events(job.events)[0]:
        if event["kind"] == "step":
            facts |= {"step": event["step"], "epoch": event["epoch"], "loss": event["average"]}
        for key in ("steps", "epochs", "message"):
            if event["kind"] in ("state", "error") and key in event:
                facts[key] = event[key]
    return facts


def _sentence(facts: dict[str, object]) -> str:
    step = f", step {facts['step']} of {facts.get('steps', '?')}" if "step" in facts else ""
    return f"{facts['job']}: {facts['status']}{step}. {facts.get('message', '')}".rstrip()
