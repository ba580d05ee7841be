"""The form of the epoch grid: the fields of `host.grid_form`, what they will take, and *Keep this one*."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train.grid.layout import FORMATS
from lib_lora_train.host.grid_form import MOST_SEEDS, GridForm
from lib_lora_train.ui import epoch_grid_desk as desk
from lib_lora_train.ui import epoch_grid_html as html
from lib_lora_train.ui.element_ids import tab
from lib_lora_train.ui.events import listen, transient
from lib_lora_train.ui.words import shown

DECLARED = {one.name: one for one in fields(GridForm)}
_TYPED = ("epochs", "weights", "prompts", "checkpoints", "axis")


def build(is_img2img: bool) -> list[Any]:
    """Make the form; returns the components whose values are the script's arguments, in the order of `GridForm`."""
    ids = lambda name: f"lora_loop_grid_{tab(is_img2img)}_{name}"  # noqa: E731
    parts: dict[str, Any] = {}
    with gr.Row(elem_id=ids("which"), elem_classes=["lora-loop-grid-row"]):
        parts["run"] = _field("run", ids)
        parts["refresh"] = gr.Button(shown("Refresh"), elem_id=ids("refresh"), size="sm", scale=0, min_width=100)
    with gr.Row(elem_classes=["lora-loop-grid-row"]):
        parts |= {name: _field(name, ids) for name in ("epochs", "weights", "seeds")}
    parts["prompts"] = _field("prompts", ids)
    with gr.Accordion(shown("More to compare, and the sheet"), open=False, elem_id=ids("more")):
        with gr.Row(elem_classes=["lora-loop-grid-row"]):
            parts |= {name: _field(name, ids) for name in ("checkpoints", "axis")}
        with gr.Row(elem_classes=["lora-loop-grid-row"]):
            parts |= {name: _field(name, ids) for name in ("control", "tile", "format")}
    parts["overview"] = gr.HTML(html.nothing_chosen(), elem_id=ids("overview"))
    with gr.Accordion(shown("Keep this one"), open=False, elem_id=ids("keeping")):
        _keeping(parts, ids)
    _connect(parts, [parts[name] for name in DECLARED], tab(is_img2img))
    return [parts[name] for name in DECLARED]


def _field(name: str, ids: Callable[[str], str]) -> Any:
    declared = DECLARED[name]
    words = {"label": declared.metadata["label"], "info": declared.metadata["help"], "value": declared.default}
    shared: dict[str, Any] = {**words, "elem_id": ids(name)}
    if name == "run":
        shared["value"] = None  # an empty text is shown as if the first were chosen, which then cannot be chosen
        return transient(gr.Dropdown(choices=desk.runs(), allow_custom_value=True, **shared))
    if name == "format":
        return gr.Radio(choices=sorted(FORMATS), **shared)
    if name == "tile":
        return gr.Slider(minimum=64, maximum=1024, step=16, **shared)
    if name == "seeds":
        return gr.Slider(minimum=1, maximum=MOST_SEEDS, step=1, **shared)
    if isinstance(declared.default, bool):
        return gr.Checkbox(**shared)
    return gr.Textbox(lines=2 if name == "prompts" else 1, **shared)


def _keeping(parts: dict[str, Any], ids: Callable[[str], str]) -> None:
    with gr.Row(elem_classes=["lora-loop-grid-row"]):
        parts["epoch"] = transient(
            gr.Dropdown(
                choices=[],
                label=shown("Epoch"),
                info=shown("It becomes the LoRA of this name, the others are put away."),
                allow_custom_value=True,
                elem_id=ids("epoch"),
            )
        )
        parts["weight"] = transient(
            gr.Number(
                value=1.0,
                label=shown("Preferred weight"),
                info=shown("Written on its card and into the prompt."),
                elem_id=ids("weight"),
            )
        )
        parts["name"] = transient(
            gr.Textbox(
                label=shown("Other name"), info=shown("Empty is the name of the run."), max_lines=1, elem_id=ids("name")
            )
        )
    with gr.Row(elem_classes=["lora-loop-grid-row"]):
        parts["keep"] = gr.Button(shown("Keep this one"), elem_id=ids("keep"), variant="primary", size="sm")
        parts["undo"] = gr.Button(shown("Undo"), elem_id=ids("undo"), size="sm")
    parts["notice"] = gr.HTML("", elem_id=ids("notice"))
    parts["question"] = transient(gr.Textbox("", visible=False, elem_id=ids("question"), label="question"))
    parts["reply"] = transient(gr.Textbox("", visible=False, elem_id=ids("reply"), label="reply"))


def _connect(parts: dict[str, Any], form: Sequence[Any], name: str) -> None:
    ask = f"(...given) => loraLoop.gridAsk('{name}', given)"
    given = [parts["question"], *form]
    seen = [parts["overview"], parts["epoch"]]
    look = partial(listen, work=desk.look, inputs=given, outputs=seen, script=ask)
    for one in DECLARED:
        if one in _TYPED:
            look(parts[one].blur)
            look(parts[one].submit)
        else:
            look(parts[one].change)
    listen(parts["refresh"].click, desk.refresh, given, [parts["run"], *seen], ask)
    after = [parts["notice"], parts["reply"], parts["run"], *seen]
    chosen = [parts["epoch"], parts["weight"], parts["name"]]
    for button, work in (("keep", desk.keep), ("undo", desk.undo)):
        done = listen(parts[button].click, work, [*given, *chosen], after, ask)
        listen(done.then, None, [parts["reply"]], [], "(reply) => loraLoop.gridKept(reply)")
