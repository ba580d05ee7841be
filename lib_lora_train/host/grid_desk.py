"""What the epoch grid's form tells before anything is drawn, and *Keep this one* after it. No gradio here."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.files.roots import Root, safe_name
from lib_lora_train.grid import discover, keep, numbers, plan, prompts, render
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.keep import Kept
from lib_lora_train.grid.layout import Layout, Look
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.numbers import Losses
from lib_lora_train.grid.page import build
from lib_lora_train.grid.page.build import Findings
from lib_lora_train.grid.plan import Axis, Checkpoint, Plan, Request
from lib_lora_train.grid.prompts import Drawn, GridPrompt
from lib_lora_train.grid.render import Estimate
from lib_lora_train.host import grid_runs, lora_cache
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.folders import home
from lib_lora_train.host.grid_form import GridForm, lines_of
from lib_lora_train.host.modules import needed
from lib_lora_train.host.webui import WebUI

MOST_WEIGHT = 10


@dataclass(frozen=True)
class Page:
    """What of the WebUI's page matters to a grid: the tab's prompt, txt2img's, and the size of its pictures in pixels."""

    prompt: str
    txt2img: str
    width: int
    height: int


@dataclass(frozen=True)
class Overview:
    """A run, the epochs of it that are chosen with their losses, what the grid will take, and the page of the last one."""

    run: Run
    chosen: tuple[discover.Epoch, ...]
    losses: Mapping[str, Losses]
    estimate: Estimate
    page: Path | None


def overview(host: WebUI, given: Sequence[Any], page: Page) -> Overview:
    """What the form's values mean. Raises LoraLoopError with the cure."""
    form = GridForm.read(given)
    found = grid_runs.named(host, form.run)
    made = _plan(found, form, page)
    folder = home(host) / "grids" / safe_name(found.name)
    manifest = Manifest.open(folder) if folder.is_dir() else Manifest(folder)
    chosen = made.request.epochs
    losses = numbers.losses(chosen, found.job)
    figures = build.figures_of(made, Findings(losses))
    sheets = Layout(made, Look(form.tile, format=form.format), figures).sheets()
    estimate = render.estimate(made, manifest, sheets, form.format)
    last = max((done for done in manifest.done.values() if done.file), key=lambda done: done.finished, default=None)
    estimate = dataclasses.replace(estimate, seconds=None if last is None else last.seconds * estimate.images)
    index = folder / "index.html"
    return Overview(found, chosen, losses, estimate, index if index.is_file() else None)


def _plan(found: Run, form: GridForm, page: Page) -> Plan:
    """A plan of the same size as the real one; what will be drawn is not known before the job."""
    lines = lines_of(page.prompt, form.prompts)
    seeds = tuple(range(form.seeds))
    names = [name.strip() for name in form.checkpoints.split(",") if name.strip()] or [""]
    _, equals, values = form.axis.partition("=")
    axis = tuple(value.strip() for value in values.split(",") if value.strip())
    if form.axis.strip() and not (equals and axis):
        raise RequestError("Write the further axis as a keyword and its values, such as cfg_scale=4,7.")
    return plan.make(
        Request(
            run=found.name,
            epochs=discover.choose(found, form.epochs.strip()),
            weights=plan.read_weights(form.weights),
            prompts=tuple(GridPrompt(text, text, trigger=trigger) for text, trigger in lines),
            seeds=seeds,
            checkpoints=tuple(Checkpoint(name, Path(name), str(number)) for number, name in enumerate(names)),
            settings={"width": page.width, "height": page.height},
            drawn=tuple(Drawn(number, seed, str(number), "") for number in range(len(lines)) for seed in seeds),
            axes=(Axis("axis", axis),) if axis else (),
            control=form.control,
        )
    )


# Keep this one ------------------------------------------------------------------------------------------------------


def keep_one(host: WebUI, run: str, epoch: str, weight: Any, name: str) -> Kept:
    """Keep one epoch of a run in its LoRA folder under `grid.keep`'s rules. Raises LoraLoopError."""
    found = grid_runs.named(host, run)
    chosen = discover.choose(found, epoch.strip()) if epoch.strip() else ()
    if len(chosen) != 1:
        raise RequestError("Choose which one epoch is kept.")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
        raise RequestError("The weight to keep is not a number.")
    if not 0 < abs(weight) <= MOST_WEIGHT:
        raise RequestError(f"The weight to keep is {weight:g}; use one between 0 and {MOST_WEIGHT}.")
    root = Root(grid_runs.folder_of(host, found))
    for one in found.epochs:  # a link would have a file moved that lies elsewhere
        root.resolve(one.path.relative_to(root.folder).as_posix())
    _require_idle(host)
    picture = keep.picture_of(home(host) / "grids" / safe_name(found.name), chosen[0], float(weight))
    with needed("modules.call_queue").queue_lock:
        kept = keep.keep(
            found, chosen[0], float(weight), _archives(host) / safe_name(found.name), name.strip(), picture
        )
        lora_cache.forget(None)
    return kept


def undo(host: WebUI, run: str) -> tuple[str, list[Path]]:
    """Put back what keeping one epoch of `run` (by its name or the kept file's) moved; its name and the files.

    Raises LoraLoopError.
    """
    folder = put_away(host).get(run.strip().rpartition("/")[2])
    if folder is None:
        raise RequestError("Nothing of this run was put away, so there is nothing to undo.")
    _require_idle(host)
    with needed("modules.call_queue").queue_lock:
        back = keep.undo(folder)
        lora_cache.forget(None)
    return folder.name, back


def put_away(host: WebUI) -> Mapping[str, Path]:
    """The archives that an undo empties, by the run's name and by the kept file's."""
    found: dict[str, Path] = {}
    for path in sorted(_archives(host).glob(f"*/{keep.UNDO}")):
        try:
            kept = Path(json.loads(path.read_text(encoding="utf-8"))["kept"]).stem
        except (OSError, ValueError, TypeError, KeyError):
            continue
        found[path.parent.name] = found[kept] = path.parent
    return found


def prompt_with(prompt: str, found: Run, name: str, weight: float) -> str:
    """`prompt` with the kept LoRA in the place of the run's tags, and with the trigger if it lacks it."""
    text, _ = prompts.without_tags(prompt, found.names)
    return " ".join(filter(None, (prompts.with_trigger(text, found.trigger), f"<lora:{name}:{weight:g}>")))


def kept_run(host: WebUI, kept: Kept) -> Run:
    """The run that the kept file is now."""
    return grid_runs.named(host, str(kept.path))


def _archives(host: WebUI) -> Path:
    return home(host) / "archive"


def _require_idle(host: WebUI) -> None:
    if getattr(host.shared.state, "job", ""):
        raise RequestError("The WebUI is drawing; wait until it has finished, then keep or undo.")
