"""Draws a grid's cells as jobs of the WebUI: copies of the person's own job, one for each LoRA, weight and settings."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.grid.compose import png_bytes
from lib_lora_train.grid.plan import Cell, Checkpoint
from lib_lora_train.grid.render import Failure, Picture
from lib_lora_train.host.errors import HostError
from lib_lora_train.host.modules import optional
from lib_lora_train.host.parts import Own
from lib_lora_train.host.shots import HIRES, HIRES_NEGATIVE, Shot
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.catalogue import CHECKPOINT
from lib_lora_train.keywords.table import KEYWORDS
from lib_lora_train.prompt import NEGATIVE, POSITIVE, Prompt

CHECKPOINT_SETTING = "checkpoint"
_NOT_A_SETTING = frozenset({"checkpoint", "vae", "seed", "styles", "negative_prompt", "n_iter", "batch_size"})


class Interrupted(LoraLoopError):
    """The person has asked to stop; what was drawn is kept."""

    exit_code = 6


class JobRenderer:
    """A `grid.render.Renderer` over the WebUI that we are inside of. `loads` counts changes of checkpoint and LoRA."""

    def __init__(self, host: WebUI, p: Any, subseed: int) -> None:
        self._host, self._p, self._subseed = host, p, subseed
        self._state: tuple[str, str] = ("", "")
        self.loads = {"checkpoints": 0, "loras": 0}

    def draw(self, cells: Sequence[Cell]) -> Sequence[Picture | Failure]:
        """The pictures of cells that share LoRA, weight and settings, in one job. Raises Interrupted."""
        if self._host.stopped():
            raise Interrupted("Stopped; the same settings go on from here.")
        problem = self._problem(cells[0])
        if problem:
            return [Failure(problem)] * len(cells)
        self._count(cells[0])
        job = self._job(cells)
        try:
            processed = self._host.process_images(job)
        except Exception as error:  # whatever the WebUI or another extension raises ends these cells only
            if self._host.stopped():
                raise Interrupted("Stopped; the same settings go on from here.") from error
            return [Failure(f"The WebUI could not draw it: {str(error)[:300] or type(error).__name__}")] * len(cells)
        finally:
            self._host.release(job)
        if self._host.stopped():  # what was being drawn is not finished
            raise Interrupted("Stopped; the same settings go on from here.")
        first, each = getattr(processed, "index_of_first_image", 0), self._host.images_each(self._p)
        images, texts = processed.images[first:], processed.infotexts[first:]
        if len(images) < len(cells) * each:
            return [Failure("The WebUI drew fewer pictures than it was asked for.")] * len(cells)
        return [_picture(images[number * each], texts[number]) for number in range(len(cells))]

    def _job(self, cells: Sequence[Cell]) -> Any:
        job = copy.copy(self._p)
        self._host.own_lists(job)
        job.prompt, job.negative_prompt = [cell.prompt for cell in cells], [cell.negative for cell in cells]
        job.seed, job.subseed = [cell.seed for cell in cells], [self._subseed] * len(cells)
        job.batch_size, job.n_iter, job.styles = len(cells), 1, []
        job.do_not_save_grid = True
        shots = [self._shot(job, number, cell) for number, cell in enumerate(cells)]
        job.lora_loop = Own(id(job), shots, part=True)  # texts are drawn already, and watched as in any job of ours
        changed = {name: value for name, value in cells[0].settings.items() if name in self._host_axes(cells[0])}
        self._host.apply(job, {**changed, CHECKPOINT_SETTING: cells[0].checkpoint.name})
        return job

    def _shot(self, job: Any, number: int, cell: Cell) -> Shot:
        """A cell as one image of a job. Where the job has hires prompts of its own, the cells have them too."""
        texts = {
            POSITIVE: cell.prompt,
            NEGATIVE: cell.negative,
            HIRES: getattr(job, "hr_prompt", "") or cell.prompt,
            HIRES_NEGATIVE: getattr(job, "hr_negative_prompt", "") or cell.negative,
        }
        return Shot(number, cell.seed, self._subseed, texts, {}, Prompt(texts, cell.seed), {})

    def _host_axes(self, cell: Cell) -> frozenset[str]:
        """Settings that differ from the person's own."""
        own = settings_of(self._host, self._p)
        return frozenset(name for name, value in cell.settings.items() if name in own and own[name] != value)

    def _problem(self, cell: Cell) -> str:
        """Why the WebUI would not find the very file that is meant: it would draw without it, and say nothing."""
        if cell.epoch is None:
            return ""
        known: Any = getattr(optional("networks"), "available_networks", None)
        if not isinstance(known, dict):
            return ""
        entry: Any = cast("dict[str, Any]", known).get(cell.epoch.name)
        if entry is None:
            return f"{cell.epoch.path.name} is not among the WebUI's LoRA files; was it moved away?"
        if Path(entry.filename).resolve() != cell.epoch.path.resolve():
            return f"The WebUI knows another file by the name {cell.epoch.name}; rename one of the two."
        return "" if cell.epoch.path.is_file() else f"{cell.epoch.path.name} is gone; put it back."

    def _count(self, cell: Cell) -> None:
        checkpoint, lora = self._state
        now = cell.checkpoint.name, cell.epoch.name if cell.epoch else ""
        self.loads["checkpoints"] += checkpoint != now[0]
        self.loads["loras"] += bool(now[1]) and lora != now[1]
        self._state = now


def checkpoint_named(host: WebUI, wanted: str) -> Checkpoint:
    """The checkpoint that a name means, known by its file's size and time of change. Raises HostError."""
    found = host.catalogue().find(CHECKPOINT, wanted)
    if found.entry is None:
        near = ", ".join(found.candidates) or "none like it"
        raise HostError(f"The checkpoint {wanted!r} is not known; there is {near}.")
    path = Path(found.entry.path)
    try:
        stamp = path.stat()
    except OSError as error:
        raise HostError(f"The checkpoint {found.entry.name} cannot be read ({error.strerror}).") from error
    content = hashlib.sha256(f"{path.name}:{stamp.st_size}:{stamp.st_mtime_ns}".encode()).hexdigest()
    return Checkpoint(found.entry.name, path, content)


def settings_of(host: WebUI, p: Any) -> dict[str, Any]:
    """Everything of a job that its pictures depend on, by the keywords' names, and the WebUI itself."""
    found: dict[str, Any] = {"vae": host.vae_of(p), "renderer": host.name}
    for row in KEYWORDS:
        if row.name in _NOT_A_SETTING:
            continue
        overrides = cast("Mapping[str, Any]", p.override_settings)
        value = (
            overrides.get(row.target, host.option(row.target))
            if row.recipe == "option"
            else getattr(p, row.target, None)
        )
        if isinstance(value, (int, float, str, bool)):
            found[row.name] = value
    pictures: Sequence[Any] = getattr(p, "init_images", None) or ()
    if pictures:
        digest = hashlib.sha256()
        for picture in (*pictures, getattr(p, "image_mask", None)):
            digest.update(picture.tobytes() if picture is not None else b"none")
        found["init_images"] = digest.hexdigest()[:16]
    return found


def _picture(image: Any, text: str) -> Picture:
    return Picture(png_bytes(image.convert("RGB"), text), text)
