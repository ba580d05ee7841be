"""The events of the epoch grid's form: what each of them answers. Whatever the page sends, the answer is a sentence."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.host import grid_desk, grid_runs
from lib_lora_train.host.grid_desk import Page
from lib_lora_train.host.grid_form import GridForm
from lib_lora_train.ui import epoch_grid_html as html
from lib_lora_train.ui.errors import NotAllowed
from lib_lora_train.ui.surroundings import LORAS_SHARED, refusal

FIELDS = tuple(GridForm.__dataclass_fields__)
MOST_CHARACTERS = 200_000
SIDES_PX = (8, 16_384)
USUAL_PX = 512


def runs() -> list[str]:
    """What the list of runs offers: those in the LoRA folder, then those of which one epoch was kept."""
    webui = host.find()
    return list(dict.fromkeys([*grid_runs.listed(webui), *grid_desk.put_away(webui)]))


def look(question: object, *form: Any) -> tuple[Any, Any]:
    """What the form's values will take, and the epochs to keep one of."""
    if not (form and isinstance(form[0], str) and form[0].strip()):
        return html.nothing_chosen(), gr.update(choices=[])
    try:
        webui = host.find()
        found = grid_desk.overview(webui, form, read(question))
    except LoraLoopError as error:
        return html.trouble(str(error)), gr.update()
    served = found.page is not None and found.page.is_relative_to(webui.data_folder)
    return html.overview(found, served), gr.update(choices=[epoch.label for epoch in found.run.usable])


def refresh(question: object, *form: Any) -> tuple[Any, ...]:
    """The list of runs anew, and the rest."""
    return gr.update(choices=runs()), *look(question, *form)


def keep(question: object, *given: Any) -> tuple[Any, ...]:
    """*Keep this one*: the notice, what the page's script does, the list of runs, and the rest."""
    form, (epoch, weight, name) = list(given[: len(FIELDS)]), given[len(FIELDS) :]
    try:
        webui = _allowed()
        before = grid_runs.named(webui, str(form[0]))
        kept = grid_desk.keep_one(webui, str(form[0]), str(epoch or ""), weight, str(name or ""))
        prompt = grid_desk.prompt_with(read(question).txt2img, before, kept.path.stem, float(weight))
    except LoraLoopError as error:
        return _refused(error)
    form[0] = kept.path.stem
    return (
        html.kept(kept, float(weight)),
        json.dumps({"prompt": prompt}),
        gr.update(choices=runs(), value=form[0]),
        *look(question, *form),
    )


def undo(question: object, *given: Any) -> tuple[Any, ...]:
    """Put back what *Keep this one* moved; answers as it does."""
    form = list(given[: len(FIELDS)])
    try:
        form[0], back = grid_desk.undo(_allowed(), str(form[0] or ""))
    except LoraLoopError as error:
        return _refused(error)
    return html.undone(len(back)), "{}", gr.update(choices=runs(), value=form[0]), *look(question, *form)


def read(question: object) -> Page:
    """What the page's script wrote about the page; what it did not write, or wrongly, is the usual."""
    try:
        raw: Any = json.loads(question) if isinstance(question, str) and len(question) < MOST_CHARACTERS else {}
    except (ValueError, RecursionError):
        raw = {}
    given = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    prompt, txt2img = (str(given.get(name) or "") for name in ("prompt", "txt2img"))
    return Page(prompt, txt2img, _side(given.get("width")), _side(given.get("height")))


def _side(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return USUAL_PX
    return int(min(max(value, SIDES_PX[0]), SIDES_PX[1]))


def _allowed() -> Any:
    webui = host.find()
    refused = refusal(webui, LORAS_SHARED)
    if refused:
        raise NotAllowed(refused)
    return webui


def _refused(error: LoraLoopError) -> tuple[Any, ...]:
    return (html.trouble(str(error)), "", *[gr.update()] * 3)
