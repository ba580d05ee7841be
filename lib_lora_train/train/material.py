"""What a run is made of before the model is loaded: photos, plan, length, and the state that it goes on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lib_lora_train.train import config as configs
from lib_lora_train.train import monitor, state
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import scan, verify
from lib_lora_train.train.dataset.epochs import Plan
from lib_lora_train.train.dataset.held_out import hold_out
from lib_lora_train.train.dataset.length import Length, length, make_plan
from lib_lora_train.train.dataset.photos import Dataset
from lib_lora_train.train.errors import StateError, Stopped
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.job import Job
from lib_lora_train.train.state import Progress, Snapshot

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and of how many."""
MOST_REPORTS = 100
"""Progress events for one thing."""
HELD_OUT = "held out "
"""Before the identity of a held-out photo, where a state names the photos."""


@dataclass(frozen=True)
class Material:
    """What is known of the data before the model is loaded."""

    dataset: Dataset
    plan: Plan
    length: Length
    identity: dict[str, Any]
    snapshot: Snapshot | None


def reporter(job: Job, log: EventLog) -> Report:
    """Writes progress as events. Raises Stopped when the person asked for it: before the first step nothing is lost."""

    def report(what: str, done: int, total: int) -> None:
        if done == total or done % max(1, total // MOST_REPORTS) == 0:
            log.write("progress", what=what, done=done, total=total)
        if job.is_asked_to_stop():
            raise Stopped(f"The run was stopped while {what}; resume goes on from there.")

    return report


def gather(job: Job, config: TrainConfig, log: EventLog, report: Report) -> Material:
    """Scan and check the photos, and compare them with the state that is there.

    Raises DatasetError, StateError, Stopped.
    """
    progress = lambda done, total, what: report(what, done, total)  # noqa: E731 - the scanner's order of words
    found = scan.scan(config.dataset, config.trigger_prompt, progress, class_word=config.class_word)
    snapshot, skipped = state.load_state(job.state)
    found = hold_out(verify.verify(found, config.dataset, progress), config, _held_out_before(snapshot))
    for sentence in found.understood:
        log.write("state", status="preparing", message=sentence)
    for problem in found.problems:
        if problem.level == "warning":
            log.write("warning", name=problem.kind, message=problem.message)
    found.require_trainable()
    captioned = sum(1 for photo in found.photos if photo.caption is not None)
    finding = monitor.captions(captioned, len(found.photos), config.trigger_prompt)
    if finding:
        log.write("warning", name=finding.name, message=finding.message)
    paced = _keep_pace(config, snapshot)
    plan = make_plan(found, paced)
    planned = length(found, paced)
    log.write("state", status="preparing", message=planned.explanation, steps=planned.steps, epochs=planned.epochs)
    is_worked_out = not (config.dataset.repeats or any(photo.repeats for photo in found.photos))
    repeats = plan.repeats[0] if is_worked_out else 0
    identity = {"config": configs.to_values(config), "photos": _photo_identities(found), "repeats": repeats}
    for sentence in skipped:
        log.write("warning", name="state", message=sentence)
    if snapshot:
        _same_config(config, snapshot)
        _same_photos(job, found, snapshot)
        _into_plan(snapshot.progress, plan)
        log.write(
            "state",
            status="resumed",
            message=f"Going on from step {snapshot.progress.step}.",
            step=snapshot.progress.step,
        )
    return Material(found, plan, planned, identity, snapshot)


def _keep_pace(config: TrainConfig, snapshot: Snapshot | None) -> TrainConfig:
    """The config with the repeats that were worked out when the run began: another length must not change them."""
    repeats = snapshot.identity.get("repeats", 0) if snapshot else 0
    return replace(config, dataset=replace(config.dataset, repeats=repeats)) if repeats else config


def _into_plan(progress: Progress, plan: Plan) -> None:
    """With fewer photos than before, the place in the epoch may lie behind its end: go on with the next one."""
    steps = plan.steps_per_epoch(progress.epoch)
    del progress.window[steps:]
    if progress.group >= steps:
        progress.epoch, progress.group = progress.epoch + 1, 0


def _photo_identities(found: Dataset) -> dict[str, str]:
    sides = (("", found.photos), ("regularisation ", found.regularisation), (HELD_OUT, found.held_out))
    return {f"{side}{photo.identity}": photo.name for side, photos in sides for photo in photos}


def _held_out_before(snapshot: Snapshot | None) -> frozenset[str] | None:
    """The identities that were held out when the run began; None when it begins now."""
    if snapshot is None:
        return None
    return frozenset(key.removeprefix(HELD_OUT) for key in snapshot.identity["photos"] if key.startswith(HELD_OUT))


def _same_config(config: TrainConfig, snapshot: Snapshot) -> None:
    """Only what does not change what was learned may differ. Raises StateError with the differences."""
    before = configs.from_values(snapshot.identity["config"])
    allowed = {name for name, entry in configs.known().items() if entry.option.on_resume}
    # Where the files lie may change: their content is compared instead.
    allowed |= {
        "name",
        "preset",
        "base.path",
        "base.vae",
        "dataset.path",
        "dataset.regularisation",
        "adapter.start_from",
    }
    different = {name: pair for name, pair in configs.changes(before, config).items() if name not in allowed}
    if different:
        listed = "; ".join(f"{name} was {old!r} and is {new!r}" for name, (old, new) in different.items())
        raise StateError(
            f"This run was begun with other settings: {listed}. Put them back, or start a new run with adapter.start_from. What may change: {configs.changeable()}."
        )


def _same_photos(job: Job, found: Dataset, snapshot: Snapshot) -> None:
    before, after = snapshot.identity["photos"], _photo_identities(found)
    gone, new = (
        [before[key] for key in before.keys() - after.keys()],
        [after[key] for key in after.keys() - before.keys()],
    )
    if (gone or new) and "dataset" not in job.read().get("accept", []):
        said = [
            f"{len(names)} {word} ({', '.join(sorted(names)[:3])}…)"
            for names, word in ((gone, "gone"), (new, "new"))
            if names
        ]
        raise StateError(
            f"The photos have changed since this run began: {' and '.join(said)}. Put them back, or resume with --accept dataset to go on with them as they are."
        )
