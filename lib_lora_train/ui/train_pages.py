"""The pages behind the Train tab's first one: captions, regularisation, sample prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.ui.element_ids import train
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.events import transient
from lib_lora_train.ui.html import element
from lib_lora_train.ui.train import captions, form, prompts_html, regularisation_html, scene
from lib_lora_train.ui.train.desk import Answers, Desk, desk
from lib_lora_train.ui.train.scene import Scene
from lib_lora_train.ui.words import shown

WAYS = (
    (shown("Replace text"), "replace"),
    (shown("Tag in front"), "front"),
    (shown("Tag behind"), "behind"),
    (shown("Remove tag"), "remove"),
    (shown("Back to the originals"), "original"),
)
KINDS = (
    (shown("all"), "all"),
    (shown("with caption"), "with"),
    (shown("without caption"), "without"),
    (shown("with a warning"), "odd"),
)
UNSEEN = ("row", "thumbs")
REGULARISATION = ("dataset.regularisation", "dataset.prior_weight")
SAMPLES = tuple(field.name for field in form.fields() if field.section == "samples")
PLACED = (*REGULARISATION, *SAMPLES)
"""Options that stand on these pages and not among all options."""
PROMPT_FIELDS = (
    *("samples.prompts", "samples.sampler", "samples.steps", "samples.cfg", "seed"),
    *("dataset.resolution", "dataset.bucket_min", "dataset.bucket_max"),
)
Parts = dict[str, Any]
Option = Callable[[str], None]


def build(parts: Parts, here: Desk, option: Option) -> None:
    """The three pages, closed; `option` puts the field of an option where it is called."""
    with gr.Accordion(shown("Captions"), open=False, elem_id=train("captions_page")):
        _captions(parts)
    with gr.Accordion(shown("Sample prompts"), open=False, elem_id=train("samples_page")):
        _hint(shown("One prompt a line; [trigger] in it becomes trigger and class."))
        option("samples.prompts")
        with gr.Row(elem_classes=["lora-loop-options"]):
            for name in SAMPLES:
                if name != "samples.prompts":
                    option(name)
        first = prompts_html.page(here.preset(here.preset_for(here.first_base(), "person")))
        parts["prompts"] = gr.HTML(first, elem_id=train("prompts"))
    with gr.Accordion(shown("Regularisation"), open=False, elem_id=train("regular_page")):
        _hint(shown("Pictures of the class (other men, other dogs) that keep the base's idea of it; not needed for most LoRAs."))  # fmt: skip
        with gr.Row(elem_classes=["lora-loop-options"]):
            for name in REGULARISATION:
                option(name)
        parts["count"] = gr.Button(shown("Count the class photos"), elem_id=train("count"), size="sm")
        parts["regular"] = gr.HTML("", visible=False, elem_id=train("regular"))


def _hint(words: str) -> None:
    gr.HTML(element("p", words, class_="lora-loop-hint"))


def _captions(parts: Parts) -> None:
    _hint(shown("The captions of the folder that was checked. What you write is saved as you leave its field (or with Ctrl+Enter); only the .txt beside the photo is written."))  # fmt: skip
    with gr.Row(elem_classes=["lora-loop-tools"]):
        parts["sought"] = _box(shown("Search captions and names"), "sought", placeholder="hat", scale=3)
        parts["lacking"] = transient(
            gr.Checkbox(False, label=shown("those without it"), elem_id=train("lacking"), min_width=120, scale=1)
        )
        parts["kind"] = transient(
            gr.Radio(choices=list(KINDS), value="all", label=shown("Show"), elem_id=train("kind"), scale=4)
        )
    with gr.Accordion(shown("Change all that are shown"), open=False, elem_id=train("change")):
        parts["way"] = transient(
            gr.Radio(choices=list(WAYS), value="replace", label=shown("What to do"), elem_id=train("way"))
        )
        with gr.Row(elem_classes=["lora-loop-tools"]):
            parts["old"] = _box(shown("Text or tag"), "old")
            parts["new"] = _box(shown("replaced by"), "new")
            parts["see"] = gr.Button(shown("Preview"), elem_id=train("see"), min_width=100, scale=0)
        _html(parts, "preview")
    _html(parts, *(name for name in captions.PARTS if name != "preview"))


def _box(label: str, name: str, **more: Any) -> Any:
    return transient(gr.Textbox(label=label, elem_id=train(name), max_lines=1, min_width=140, **more))


def _html(parts: Parts, *names: str) -> None:
    for name in names:
        classes = ["lora-loop-unseen"] if name in UNSEEN else []
        parts[name] = gr.HTML("", visible=False, elem_id=train(name), elem_classes=classes)


# Events ---------------------------------------------------------------------------------------------------------------

Live = Callable[[Scene, Desk], list[Any]]


def connect(parts: Parts, on: Callable[..., Any], live: Live, read: Callable[..., Answers], answers: list[str]) -> None:
    """Make the pages work: `on` listens by names of parts, `live` gives the state and every part of the tab."""
    everything = ["state", *scene.PARTS]

    def search(now: Scene, *values: Any) -> list[Any]:
        here = desk(host.find())
        scene.guarded(now, lambda: _search(now, here, *values))
        return live(now, here)

    def see(now: Scene, *values: Any) -> list[Any]:
        here = desk(host.find())
        scene.guarded(now, lambda: captions.preview(_table(now), here, *values))
        return live(now, here)

    def count(now: Scene, *values: Any) -> list[Any]:
        here, found = desk(host.find()), gr.update()

        def work() -> None:
            nonlocal found
            prepared = here.prepare(read(values), thorough=False)
            found = gr.update(value=regularisation_html.page(prepared.report, prepared.config), visible=True)
            now.say("")

        scene.guarded(now, work)
        return [*live(now, here), found]

    sought = ["state", "sought", "lacking", "kind"]
    on(parts["sought"].submit, search, sought, everything)
    on(parts["lacking"].change, search, sought, everything)
    on(parts["kind"].change, search, sought, everything)
    for event in (parts["see"].click, parts["old"].submit, parts["new"].submit):
        on(event, see, ["state", "way", "old", "new"], everything)
    on(parts["count"].click, count, ["state", *answers], [*everything, "regular"])
    asked = ["trigger", "class_word", *(f"option {name}" for name in PROMPT_FIELDS)]
    box = parts["option samples.prompts"]
    for event in (box.change, box.blur, parts["trigger"].blur, parts["class_word"].blur):
        on(event, _prompts, asked, ["prompts"])


def _table(now: Scene) -> captions.Table:
    if now.table is None:
        raise PageError("Check the photos first; then their captions are here.")
    return now.table


def _search(now: Scene, here: Desk, text: Any, lacking: Any, kind: Any) -> None:
    if now.table is None and not text:
        return  # a reset of the form
    captions.search(_table(now), here, text, not lacking if isinstance(lacking, bool) else lacking, kind)
    now.say("")


def _prompts(trigger: Any, class_word: Any, *values: Any) -> Any:
    words: dict[str, Any] = {"trigger": trigger, "class_word": class_word}
    try:
        if not all(isinstance(value, str) and len(value) <= 200 for value in words.values()):
            raise PageError("The trigger must be a short text.")
        given: dict[str, Any] = dict(zip(PROMPT_FIELDS, values, strict=True))
        return prompts_html.page(form.runs(given, {"name": "samples", **words}).variants[0].config)
    except LoraLoopError as error:
        return prompts_html.refused(str(error))
