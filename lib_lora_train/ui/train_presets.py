"""The presets of the Train tab: choose, read what they are for, save, share, take in, rename, put away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.train import estimate
from lib_lora_train.train.base import native
from lib_lora_train.train.presets import SUBJECTS
from lib_lora_train.ui.element_ids import train
from lib_lora_train.ui.events import transient
from lib_lora_train.ui.html import Html
from lib_lora_train.ui.train import form, preset_shelf, scene
from lib_lora_train.ui.train.desk import Answers, Desk, desk
from lib_lora_train.ui.train.scene import Scene
from lib_lora_train.ui.words import shown

SIZES = tuple(estimate.at_size(native.USUAL))
"""The options that follow the size of the base's own pictures."""
OFFERED = (*SUBJECTS.values(), native.SMALL_PRESET)
"""Presets that the page chooses by itself; another one was chosen by the person, and stays."""


@dataclass(frozen=True)
class Around:
    """What the tab around this has: names of its parts, and how it reads and answers."""

    live: list[str]
    answers: list[str]
    options: list[str]
    look: Callable[[Scene, Desk], list[Any]]
    read: Callable[[tuple[Any, ...]], Answers]


def build(parts: dict[str, Any], here: Desk) -> None:
    """Make the row of presets and the card below it."""
    first = here.preset_for(here.first_base(), "person")
    with gr.Row(elem_id=train("presets")):
        parts["preset"] = transient(
            gr.Dropdown(
                choices=here.presets(),
                value=first,
                label=shown("Preset"),
                elem_id=train("preset"),
                allow_custom_value=True,
                min_width=160,
            )
        )
        parts["preset_name"] = transient(
            gr.Textbox(label=shown("Save these options as"), elem_id=train("preset_name"), max_lines=1, min_width=160)
        )
        for name, words in (
            ("save", shown("Save preset")),
            ("preset_rename", shown("Rename")),
            ("preset_delete", shown("Delete")),
        ):
            parts[name] = gr.Button(words, elem_id=train(name), size="sm", min_width=90)
        parts["preset_import"] = transient(
            gr.UploadButton(
                shown("Import a preset"),
                file_types=[".toml"],
                file_count="single",
                elem_id=train("preset_import"),
                size="sm",
                min_width=110,
            )
        )
    parts["preset_card"] = gr.HTML(card(here, first), elem_id=train("preset_card"))


def connect(parts: dict[str, Any], on: Callable[..., Any], around: Around) -> None:
    """Bind the events."""

    def changes(work: Callable[[Desk, tuple[Any, ...]], tuple[str, Html]], fill: bool) -> Callable[..., list[Any]]:
        """An event that changes presets: `work` gives the one to choose then, whose values `fill` the form, and words."""

        def event(now: Scene, *given: Any) -> list[Any]:
            here = desk(host.find())
            found: list[Any] = [gr.update(), gr.update()]

            def act() -> None:
                name, words = work(here, given)
                now.preset = "" if fill else name
                found[:] = [gr.update(choices=here.presets(), value=name), card(here, name)]
                now.say(words)

            scene.guarded(now, act)
            return [*around.look(now, here), *found]

        return event

    def choose(now: Scene, name: Any, base: Any) -> list[Any]:
        here = desk(host.find())
        found: list[Any] = [gr.update()] * (1 + len(around.options))

        def act() -> None:
            found[0] = card(here, name)
            if name == now.preset:
                return
            values = here.values_of(name, base)
            found[1:] = [gr.update(value=values[field.name]) for field in form.fields()]
            now.preset = name

        if name:
            scene.guarded(now, act)
        return [*around.look(now, here), *found]

    after = [*around.live, "preset", "preset_card"]
    on(parts["preset"].change, choose, ["state", "preset", "base"], [*around.live, "preset_card", *around.options])
    save = changes(lambda here, given: preset_shelf.save(here, given[0], around.read(given[1:])), False)
    on(parts["save"].click, save, ["state", "preset_name", *around.answers], after)
    rename = changes(lambda here, given: preset_shelf.rename(here, *given), False)
    on(parts["preset_rename"].click, rename, ["state", "preset", "preset_name"], after)
    delete = changes(lambda here, given: (SUBJECTS["person"], preset_shelf.delete(here, *given)), True)
    on(parts["preset_delete"].click, delete, ["state", "preset"], after)
    take_in = changes(lambda here, given: preset_shelf.take_in(here, *given), True)
    on(parts["preset_import"].upload, take_in, ["state", "preset_import"], after)


def of_subject(subject: Any, base: Any) -> Any:
    """The preset for an answer to the first page's question."""
    return gr.update(value=desk(host.find()).preset_for(base, subject))


def of_base(now: Scene, base: Any, subject: Any, preset: Any, resolution: Any) -> list[Any]:
    """The preset and the sizes that fit a base that was chosen, and a sentence about it; the rest stays as it is."""
    here = desk(host.find())
    names = [field.name for field in form.fields()]
    found: list[Any] = [gr.update(), gr.update(), gr.update(value="", visible=False), *[gr.update() for _ in names]]

    def work() -> None:
        path = here.base(base)
        offered, own = here.preset_for(base, subject), native.size(path)
        if native.SMALL_PRESET in (offered, preset) and preset in OFFERED and offered != preset:
            values = here.values_of(offered, base)
            found[:2] = [gr.update(value=offered), card(here, offered)]
            found[3:] = [gr.update(value=values[name]) for name in names]
            now.preset = offered
        elif native.is_far(int(resolution) if str(resolution).isdecimal() else own, own):
            values = here.values_of(preset, base)
            found[3:] = [gr.update(value=values[name]) if name in SIZES else gr.update() for name in names]
        found[2] = about_base(here, base)

    scene.guarded(now, work)
    return [now, *found]


def about_base(here: Desk, base: Any) -> Any:
    """What is worth knowing of a base, out of the way when there is nothing."""
    words = here.about_base(base)
    return gr.update(value=words, visible=bool(words))


def card(here: Desk, name: Any) -> Html:
    """What the chosen preset is for."""
    return preset_shelf.card(here.home, name)
