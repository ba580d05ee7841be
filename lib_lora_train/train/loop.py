"""The training loop: steps, records, saves, samples and commands, in the order in which they must happen.

A state is saved only between optimizer steps, after the files of that step, so a run that goes on from it makes the
same files again or finds them made.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from lib_lora_train.files.errors import DiskError
from lib_lora_train.train import estimate, held_out, schedule, state
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.epochs import Batch, Plan
from lib_lora_train.train.dataset.length import Length
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.device import Device
from lib_lora_train.train.errors import NotFinite, Stopped
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.feed import Feed
from lib_lora_train.train.gallery import Gallery
from lib_lora_train.train.job import Job
from lib_lora_train.train.metadata import Moment
from lib_lora_train.train.monitor import Monitor, Reading
from lib_lora_train.train.optimizers import adapted_rate
from lib_lora_train.train.randomness import draw
from lib_lora_train.train.results import Results, epoch_name, step_name
from lib_lora_train.train.scalars import Scalars
from lib_lora_train.train.state import Progress
from lib_lora_train.train.step import Inputs

MOST_STEP_EVENTS = 20_000
"""Longer runs write a step event only every so often, so that the diary stays small."""
SMALLEST_SCALE = 1.0
"""A gradient scaler below this is not searching a scale any more: the numbers are broken."""


# One launch for all tensors; torch's own optimizers are built on them, but they have no public names.
foreach_norm: Any = vars(torch)["_foreach_norm"]
foreach_scale: Any = vars(torch)["_foreach_mul_"]


@dataclass
class Run:
    """All that a run works with; made by `setup`."""

    job: Job
    config: TrainConfig
    log: EventLog
    device: Device
    adapter: Adapter
    model: torch.nn.Module
    optimizer: Any
    rates: tuple[float, ...]
    """Base learning rate of each parameter group."""
    plan: Plan
    length: Length
    feed: Feed
    held_out: tuple[Photo, ...]
    gallery: Gallery
    results: Results
    scalars: Scalars
    progress: Progress
    identity: dict[str, Any]
    """What a resumed run is compared with: base, dataset and config."""
    monitor: Monitor = field(init=False)
    seconds: list[float] = field(default_factory=list, init=False)
    """Of the newest steps."""
    saved_step: int = field(default=-1, init=False)
    is_updating: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.length.steps, self.progress.facts, self.device.torch.type == "cuda")


def train(run: Run) -> None:
    """Train to the end of the run's length, from wherever it is.

    Raises Stopped when the person says so, NotFinite before a broken step, DiskError when the end cannot be saved.
    The state is saved in each case but the last.
    """
    run.model.train()
    while run.progress.step < run.length.steps:
        _train_epoch(run)
    run.results.save_at_last(run.config.name, _moment(run))


def measured(run: Run) -> dict[str, Any]:
    """What the run took, for the estimates of later ones: the card, its peak in bytes, seconds of a usual step."""
    context = int(estimate.CONTEXT) if run.device.torch.type == "cuda" else 0
    return {
        "card": run.device.name(),
        "peak_bytes": run.device.reserved_memory() + context,
        "step_seconds": round(median(run.seconds), 4) if run.seconds else 0.0,
    }


def _last_epoch(run: Run) -> int:
    """The number of the epoch that the last step belonged to."""
    return run.progress.epoch if run.progress.group else run.progress.epoch - 1


def _train_epoch(run: Run) -> None:
    progress = run.progress
    groups = run.plan.epoch(progress.epoch).steps
    todo = groups[progress.group :][: run.length.steps - progress.step]
    started = time.monotonic()
    for group, inputs in zip(todo, run.feed.stream(todo, progress.epoch), strict=True):
        loss, norms = _train_step(run, group, inputs)
        seconds, started = time.monotonic() - started, time.monotonic()
        run.seconds = [*run.seconds[-99:], seconds]
        _advance(progress, group, loss, len(groups))
        _record(run, loss, norms, seconds, sum(len(batch.items) for batch in group))
        ended = progress.group == 0 or progress.step == run.length.steps
        _after_step(run, ended)
        _obey(run, ended)


def _advance(progress: Progress, group: Sequence[Batch], loss: float, steps_in_epoch: int) -> None:
    progress.window[progress.group : progress.group + 1] = [loss]
    progress.step += 1
    progress.group += 1
    progress.images += sum(len(batch.items) for batch in group)
    if progress.group == steps_in_epoch:
        progress.epoch += 1
        progress.group = 0
        del progress.window[steps_in_epoch:]


def _train_step(run: Run, group: Sequence[Batch], inputs: Sequence[Inputs]) -> tuple[float, dict[str, float]]:
    """One optimizer step: its loss and the gradient's length by part. Raises NotFinite before anything was changed."""
    accelerator = run.device.accelerator
    # Dropout draws from the global stream; seeding it for the step makes it a function of the step too.
    torch.manual_seed(draw(run.config.seed, "step", run.progress.step))
    total = torch.zeros((), device=run.device.torch)
    for batch in inputs:
        loss = run.model(batch).mean() / len(inputs)
        accelerator.backward(loss)
        total = total + loss.detach()
    accelerator.unscale_gradients()
    gradients = {
        part.name: [parameter.grad for parameter in part.parameters.values() if parameter.grad is not None]
        for part in run.adapter.parts
    }
    lengths = {
        name: torch.stack(foreach_norm(found)).norm() if found else torch.zeros_like(total)
        for name, found in gradients.items()
    }
    whole = torch.stack(list(lengths.values())).norm()
    # The one place where the step waits for the device: whether to take it at all.
    loss_value, whole_value, *part_values = torch.stack([total, whole, *lengths.values()]).tolist()
    _require_finite(run, group, loss_value, whole_value)
    limit = run.config.optimizer.max_grad_norm
    if limit and whole_value > limit:
        foreach_scale([gradient for found in gradients.values() for gradient in found], limit / (whole_value + 1e-6))
    factor = schedule.multiplier(run.progress.step, run.length.steps, run.config.optimizer)
    for parameters, rate in zip(run.optimizer.param_groups, run.rates, strict=True):
        parameters["lr"] = rate * factor
    run.is_updating = True  # what fails in here may leave half of the weights moved
    run.optimizer.step()
    run.is_updating = False
    run.optimizer.zero_grad(set_to_none=True)
    return loss_value, dict(zip(lengths, part_values, strict=True))


def _require_finite(run: Run, group: Sequence[Batch], loss: float, norm: float) -> None:
    scaler = run.device.accelerator.scaler
    searching = scaler is not None and scaler.get_scale() > SMALLEST_SCALE  # the scaler skips this step by itself
    if _finite(loss) and (_finite(norm) or searching):
        return
    names = ", ".join(dict.fromkeys(item.photo.name for batch in group for item in batch.items))
    what = "loss" if not _finite(loss) else "gradient"
    raise NotFinite(
        f"The {what} at step {run.progress.step + 1} is not a number (photos: {names}). The step was not taken and the state before it is saved: "
        "lower optimizer.learning_rate, use loop.precision = 'bf16' or 'fp32', or try another VAE, then resume."
    )


def _finite(number: float) -> bool:
    return abs(number) != float("inf") and number == number


def _record(run: Run, loss: float, norms: dict[str, float], seconds: float, images: int) -> None:
    """Write down what the step showed, and what the monitor thinks of it."""
    progress, groups = run.progress, run.optimizer.param_groups
    names = [part.name for part in run.adapter.parts]
    rates = {name: group["lr"] for name, group in zip(names, groups, strict=True)}
    adapted = {
        name: rate for name, group in zip(names, groups, strict=True) if (rate := adapted_rate(group)) is not None
    }
    average = sum(progress.window) / len(progress.window)
    stride = -(-run.length.steps // MOST_STEP_EVENTS)
    if progress.step % stride == 0 or progress.step == run.length.steps or progress.step == 1:
        run.log.write(
            "step",
            step=progress.step,
            epoch=_last_epoch(run),
            loss=loss,
            average=average,
            lr=rates,
            d_lr=adapted,
            gradient=norms,
            seconds=round(seconds, 4),
            images_per_s=round(images / max(seconds, 1e-9), 3),
            memory=run.device.peak_memory(),
            images=progress.images,
        )
    run.scalars.step(progress.step, loss, average, rates, adapted)
    d = next((float(group["d"]) for group in groups if "d" in group), None)
    for finding in run.monitor.see(Reading(progress.step, norms, d, seconds)):
        run.log.write("warning", name=finding.name, message=finding.message)


def _after_step(run: Run, ended: bool) -> None:
    """Sample, save and remember what is due after this step, `ended` when it ends an epoch or the run.

    The state comes last: a run that goes on from it has all files of the steps before.
    """
    progress, config, epoch = run.progress, run.config, _last_epoch(run)
    last = progress.step == run.length.steps
    marks, names = [], []
    if ended:
        if _due(epoch, config.samples.every_epochs) or (last and config.samples.every_epochs):
            marks.append(f"e{epoch:06d}")
        if last or _due(epoch, config.save.every_epochs):
            names.append(epoch_name(config.name, epoch))
    if _due(progress.step, config.samples.every_steps):
        marks.append(f"s{progress.step:08d}")
    if _due(progress.step, config.save.every_steps):
        names.append(step_name(config.name, progress.step))
    if ended:
        measured = _moment(run).held_out if names else None
        run.scalars.epoch(epoch, sum(progress.window) / len(progress.window), measured)
    for mark in marks if run.gallery.prompts else ():
        run.gallery.draw(mark, progress.step, epoch)
    for name in names:
        if run.results.try_save(name, _moment(run)):
            run.results.prune()
    if names or _due(progress.step, config.save.state_every_steps):
        remember(run)


def _moment(run: Run) -> Moment:
    """Where the run is and what its losses are; that on held-out photos is measured once a step."""
    progress = run.progress
    if run.held_out and progress.held_out_step != progress.step:
        progress.held_out = held_out.loss(run.model, run.feed, run.held_out)
        progress.held_out_step = progress.step
    done = progress.window[: progress.group] or progress.window  # at an epoch's end all of it is of this epoch
    average = sum(done) / len(done) if done else None
    return Moment(_last_epoch(run), progress.step, average, progress.held_out if run.held_out else None)


def _due(count: int, every: int) -> bool:
    return every > 0 and count % every == 0


def _obey(run: Run, epoch_ended: bool) -> None:
    """Do what was asked since the last step. Raises Stopped after saving."""
    progress, config = run.progress, run.config
    commands = run.job.take()
    if "sample_now" in commands and run.gallery.prompts:
        run.gallery.draw(f"s{progress.step:08d}", progress.step, _last_epoch(run))
    if "save_now" in commands:
        run.results.try_save(step_name(config.name, progress.step), _moment(run))
        remember(run)
    if "stop_after_epoch" in commands and not epoch_ended:
        run.job.post("stop_after_epoch")  # still waiting
        commands.remove("stop_after_epoch")
    if {"stop", "stop_after_epoch", "pause"} & set(commands) and progress.step < run.length.steps:
        if progress.group:  # half an epoch: kept in the job, out of the WebUI's LoRA files
            run.results.try_save(step_name(config.name, progress.step), _moment(run), keep_back=True)
        remember(run)
        status = "paused" if "pause" in commands else "stopped"
        raise Stopped(
            f"The run is {status} at step {progress.step} of {run.length.steps}; everything is saved, and resume goes on from here.",
            status,
        )


def remember(run: Run) -> None:
    """Save the state. A disk that is full or gone is a warning: training goes on, the state before stays."""
    if run.saved_step == run.progress.step or run.is_updating:
        return
    scaler = run.device.accelerator.scaler
    extra = {"scaler": scaler.state_dict() if scaler is not None else None, "identity": run.identity}
    try:
        state.save_state(
            run.job.state, run.progress, run.adapter.tensors(), run.optimizer.optimizer.state_dict(), extra
        )
    except DiskError as error:
        run.log.write("warning", name="disk", message=f"{error} Training goes on; the next save tries again.")
        return
    run.saved_step = run.progress.step
    run.log.write("saved", state=run.progress.step, step=run.progress.step, epoch=_last_epoch(run))
    state.prune(run.job.state, run.config.save.keep_states)
