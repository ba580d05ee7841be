"""The accordion "LoRA Loop: random prompts" of txt2img and img2img: the request's fields and the live preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.host import dynamic_prompts
from lib_lora_train.host.request import MODES, Request
from lib_lora_train.keywords.table import OURS
from lib_lora_train.ui import again_html, bridge, element_ids, keyword_check, surroundings
from lib_lora_train.ui.events import listen, transient
from lib_lora_train.ui.html import element
from lib_lora_train.ui.words import shown

DECLARED: Mapping[str, Any] = {one.name: one for one in fields(Request)}
MOST_LIMIT = 100_000
MOST_REPEATS = 1_000
BESIDE = shown(
    "Dynamic Prompts is here too. Only one of the two draws the prompts of a job: LoRA Loop, unless "
    "'When Dynamic Prompts is on too' in Settings > LoRA Loop says otherwise."
)


def build(is_img2img: bool, pasted: list[Any] | None = None) -> list[Any]:
    """Make the accordion; returns the components of `Request`, in its order. May be called again in other Blocks.

    `pasted` gets what the WebUI fills when a picture's text is pasted: pairs of a component and a function of what it read.
    """
    ids = partial(element_ids.of, is_img2img=is_img2img)
    picture = gr.HTML("", elem_id=ids("again"))  # in sight also while the accordion is closed
    if pasted is not None:
        pasted.append((picture, partial(again_html.panel, is_img2img)))
    with gr.Accordion(shown("LoRA Loop: random prompts"), open=False, elem_id=ids("accordion")):
        if dynamic_prompts.on_page(is_img2img):
            gr.HTML(element("p", BESIDE, class_="lora-loop-hint"), elem_id=ids("beside"))
        controls = _controls(ids)
        _preview(ids, is_img2img, controls)
    return controls


def _controls(ids: Any) -> list[Any]:
    """The request's fields. Those of the combinatorial mode are in sight in that mode only."""
    with gr.Row(elem_id=ids("switches")):
        enabled = gr.Checkbox(elem_id=ids("enabled"), min_width=200, **{**_words("enabled"), "info": None})
        mode = gr.Radio(list(MODES), elem_id=ids("mode"), min_width=300, scale=2, **_words("mode"))
    with gr.Row(elem_id=ids("numbers"), visible=False) as numbers:
        limit = gr.Number(elem_id=ids("limit"), precision=0, minimum=0, maximum=MOST_LIMIT, **_words("limit"))
        repeats = gr.Number(elem_id=ids("repeats"), precision=0, minimum=1, maximum=MOST_REPEATS, **_words("repeats"))
    with gr.Row(elem_id=ids("seeds")):
        fixed = gr.Checkbox(elem_id=ids("fixed_seed"), min_width=200, **_words("fixed_seed"))
        unlinked = gr.Checkbox(elem_id=ids("unlinked_seed"), min_width=200, **_words("unlinked_seed"))
    listen(mode.change, lambda chosen: gr.update(visible=chosen == "combinatorial"), [mode], [numbers])
    return [enabled, mode, limit, repeats, fixed, unlinked]


def _words(name: str) -> dict[str, Any]:
    declared = DECLARED[name]
    return {"label": declared.metadata["label"], "info": declared.metadata["help"], "value": declared.default}


def _preview(ids: Any, is_img2img: bool, controls: Sequence[Any]) -> None:
    """The preview, and the event that asks for it. The page's script says when, and what stands in the prompt boxes."""
    tab = element_ids.tab(is_img2img)
    with gr.Row(elem_id=ids("preview_bar")):
        count = gr.Slider(
            1,
            bridge.MOST_ROWS,
            value=5,
            step=1,
            label=shown("Prompts in the preview"),
            elem_id=ids("preview_count"),
            min_width=220,
        )
        gr.Button(shown("Draw again"), elem_id=ids("preview_again"), size="sm", scale=0, min_width=140)
    hint = element("p", shown("Type in the prompt box: the next prompts appear here."), class_="lora-loop-hint")
    panel = gr.HTML(element("div", hint, class_="lora-loop-preview"), elem_id=ids("preview"))
    question = transient(gr.Textbox("", visible=False, elem_id=ids("question"), label="question"))
    reply = transient(gr.Textbox("", visible=False, elem_id=ids("reply"), label="reply"))
    facts = element("div", data_lora_loop_keywords=" ".join(sorted(OURS)))
    gr.HTML(facts, elem_id=ids("facts"), elem_classes=["lora-loop-unseen"])
    ask = gr.Button("ask", elem_id=ids("ask"), elem_classes=["lora-loop-unseen"])
    work = partial(_answer, is_img2img)
    script = f"(...given) => loraLoop.ask('{tab}', given)"
    asked = listen(ask.click, work, [question, count, *controls], [panel, reply], script)
    listen(asked.then, None, [reply], [], f"(reply) => loraLoop.answered('{tab}', reply)")


def _answer(is_img2img: bool, question: object, count: object, *values: object) -> tuple[Any, str]:
    """The preview's event. Nothing that it is given can make it raise."""
    webui = host.find()
    shelf = surroundings.desk(webui).preview
    with shelf.lock:
        given = bridge.Answering(
            shelf.wildcards,
            keyword_check.checker(webui, is_img2img),
            surroundings.drawing(webui),
            surroundings.most_images(webui),
        )
        shown_now, reply = bridge.answer(question, values, count, given)
    return (gr.update() if shown_now is None else shown_now), reply
