"""The Train tab: three steps and a button, the run while it goes on, and every option one click away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

import gradio as gr  # type: ignore[import-not-found]  # the WebUI's

from lib_lora_train import host
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.options import is_table
from lib_lora_train.train.presets import subject_of
from lib_lora_train.ui import train_pages, train_presets
from lib_lora_train.ui.element_ids import TRAIN_TAB, train
from lib_lora_train.ui.events import listen, transient
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.train import (
    captions,
    form,
    photos_html,
    places,
    progress_html,
    queue_html,
    regularisation_html,
    scene,
)
from lib_lora_train.ui.train.desk import Answers, Desk, desk
from lib_lora_train.ui.train.form import Field
from lib_lora_train.ui.train.scene import PARTS, Scene
from lib_lora_train.ui.wildcards_html import notice
from lib_lora_train.ui.words import said, shown

TITLE = shown("Train LoRA")
ACTION = "(...given) => loraLoop.trainAction(given)"
SUBJECT_WORDS = ((shown("Person"), "person"), (shown("Style"), "style"), (shown("Thing"), "thing"))
SECTIONS = {
    "run": shown("Run"),
    "base": shown("Base"),
    "dataset": shown("Dataset"),
    "adapter": shown("LoRA"),
    "optimizer": shown("Optimizer"),
    "objective": shown("Objective"),
    "loop": shown("Loop"),
    "cache": shown("Cache"),
    "save": shown("Saving"),
    "samples": shown("Samples"),
    "log": shown("Records"),
}
MOST_ANSWER = 4000
ANSWERS = ("name", "trigger", "class_word", "base", "folder", "preset")
Parts = dict[str, Any]


def build() -> None:
    """Make the tab's content inside the current Blocks. It is filled when a person looks at it."""
    here = desk(host.find())
    here.go_on()
    parts: Parts = {"state": gr.State(Scene())}
    with gr.Column(elem_id=train("page")):
        _html(parts, "notice", "build")
        with gr.Row(elem_id=train("desk")):
            with gr.Column(scale=5, min_width=300, elem_id=train("form")):
                _first(parts, here)
            with gr.Column(scale=7, min_width=300, elem_id=train("view")):
                _html(parts, "sheet", "head", "controls", "messages", "files", "samples", "charts", "log")
                _html(parts, "queue", "jobs", visible=True)
                gr.HTML(queue_html.tell(), elem_id=train("tell"))
        option = _placer(parts, here)
        train_pages.build(parts, here, option)
        with gr.Accordion(shown("All options"), open=False, elem_id=train("options")):
            train_presets.build(parts, here)
            with gr.Row():
                transient(gr.Checkbox(label=shown("Show every option"), value=False, elem_id=train("every")))
                parts["at"] = _box(shown("Start no sooner than"), "at", placeholder="23:30", scale=0)
                parts["command"] = _button(shown("Show the command"), "command", size="sm", min_width=100)
            _html(parts, "told")
            _options(option)
        parts["raw"] = transient(gr.Textbox("", visible=False, elem_id=train("raw"), label="action"))
        for hidden in ("do", "tick", "load"):
            parts[hidden] = gr.Button(hidden, elem_id=train(hidden), elem_classes=["lora-loop-unseen"])
        parts["beat"] = gr.HTML("", elem_id=train("beat"), elem_classes=["lora-loop-unseen"])
    _connect(parts)


def _html(parts: Parts, *names: str, visible: bool = False) -> None:
    for name in names:
        parts[name] = gr.HTML("", visible=visible, elem_id=train(name))


def _step(number: int, words: str) -> None:
    gr.HTML(element("h4", element("span", str(number)), element("span", words), class_="lora-loop-step"))


def _button(words: str, name: str, **more: Any) -> Any:
    return gr.Button(words, elem_id=train(name), **more)


def _first(parts: Parts, here: Desk) -> None:
    """The first page."""
    _step(1, shown("Photos"))
    with gr.Column(elem_id=train("dropped")):
        # not gr.File: gradio 3's forgets an upload when anything on the page changes before its end
        parts["dropped"] = transient(
            gr.UploadButton(
                shown("Drop photos here, or choose them"),
                file_count="multiple",
                file_types=["image", ".txt"],
                elem_id=train("upload"),
            )
        )
        parts["taken"] = gr.HTML("", elem_id=train("taken"))
    parts["folder"] = _box(shown("or a folder of photos"), "folder", placeholder="photos/me")
    _step(2, shown("What is it?"))
    parts["subject"] = transient(
        gr.Radio(
            choices=list(SUBJECT_WORDS), value="person", show_label=False, label=shown("Kind"), elem_id=train("subject")
        )
    )
    with gr.Row():
        parts["trigger"] = _box(shown("Trigger"), "trigger", info=shown("a rare word"), placeholder="ohwx")
        parts["class_word"] = _box(shown("Class"), "class_word", info=shown("what it is"), placeholder="man")
        parts["name"] = _box(shown("Name"), "name", info=shown("of the LoRA file"), placeholder="ohwx-man")
    _step(3, shown("Base"))
    with gr.Row():
        parts["base"] = transient(
            gr.Dropdown(
                choices=here.bases(),
                value=here.first_base() or None,
                label=shown("Checkpoint"),
                elem_id=train("base"),
                allow_custom_value=True,
                scale=5,
            )
        )
        parts["again"] = _button(shown("Refresh"), "refresh", size="sm", min_width=80, scale=1)
    about = here.about_base(here.first_base())
    parts["base_about"] = gr.HTML(about, visible=bool(about), elem_id=train("base_about"))
    parts["check"] = _button(shown("Check"), "check", variant="primary")
    parts["sentence"] = gr.HTML("", visible=False, elem_id=train("sentence"))
    parts["start"] = _button(shown("Start training"), "start", variant="primary", visible=False)


def _box(label: str, name: str, **more: Any) -> Any:
    return transient(gr.Textbox(label=label, elem_id=train(name), max_lines=1, min_width=120, **more))


def _placer(parts: Parts, here: Desk) -> Callable[[str], None]:
    """Puts the field of an option, by name, where it is called."""
    first = here.first_base()
    values = here.values_of(here.preset_for(first, "person"), first)
    known = {field.name: field for field in form.fields()}

    def place(name: str) -> None:
        parts[f"option {name}"] = transient(_component(known[name], values[name]))

    return place


def _options(option: Callable[[str], None]) -> None:
    """Every option that has no place on a page of its own, from its declaration."""
    gr.HTML(element("p", shown("A comma list in a number makes a run for each value."), class_="lora-loop-hint"))
    left = (field for field in form.fields() if field.name not in train_pages.PLACED)
    for section, fields in groupby(left, lambda field: field.section):
        with gr.Accordion(SECTIONS[section], open=False), gr.Row(elem_classes=["lora-loop-options"]):
            for field in fields:
                option(field.name)


def _component(field: Field, value: Any) -> Any:
    shared: dict[str, Any] = {
        "label": field.label,
        "info": field.told,
        "value": value,
        "elem_id": train(field.name.replace(".", "_")),
        "elem_classes": ["lora-loop-advanced"] * field.advanced + ["lora-loop-private"] * field.private,
    }
    if field.kind == "switch":
        return gr.Checkbox(min_width=240, **shared)
    if field.kind == "choice":
        return gr.Dropdown(choices=list(field.choices), min_width=240, **shared)
    lines = 4 if field.kind == "lines" else 1
    return gr.Textbox(lines=lines, max_lines=12 if lines > 1 else 1, min_width=240, **shared)


# Events ---------------------------------------------------------------------------------------------------------------


def _connect(parts: Parts) -> None:
    options = [f"option {field.name}" for field in form.fields()]
    live = ["state", *PARTS]
    answers = [*ANSWERS, *options]

    def on(
        event: Any, work: Callable[..., Any], inputs: list[str], outputs: list[str], script: str | None = None
    ) -> Any:
        return listen(event, work, [parts[name] for name in inputs], [parts[name] for name in outputs], script)

    checked = ["sheet", "sentence", "start", "regular", *options]
    on(parts["dropped"].upload, _take, ["state", "dropped", "folder", "name", "trigger"], ["state", "taken", "folder"])
    on(parts["check"].click, _check, ["state", *answers], [*live, *checked])
    on(parts["start"].click, _start, ["state", "at", *answers], [*live, *checked, "at"])
    on(parts["do"].click, _act, ["raw", "state"], [*live, "beat"], ACTION)
    on(parts["tick"].click, _tick, ["state"], [*live, "beat"])
    loaded = [*answers, "subject", "preset_card", "base_about"]
    on(parts["load"].click, _load, ["raw", "state"], [*live, "beat", *loaded], ACTION)
    # `input` is what a person does; `change` would come too when a job's settings are loaded, and undo them
    on(parts["subject"].input, train_presets.of_subject, ["subject", "base"], ["preset"])
    based = ["state", "base", "subject", "preset", "option dataset.resolution"]
    on(parts["base"].input, train_presets.of_base, based, ["state", "preset", "preset_card", "base_about", *options])
    on(parts["again"].click, _bases, [], ["base"])
    on(parts["command"].click, _command, ["state", *answers], [*live, "told"])
    train_pages.connect(parts, on, _live, _answers, answers)
    train_presets.connect(parts, on, train_presets.Around(live, answers, options, _live, _answers))


def _answers(values: tuple[Any, ...]) -> Answers:
    first, rest = values[: len(ANSWERS)], values[len(ANSWERS) :]
    names = [field.name for field in form.fields()]
    return Answers(**dict(zip(ANSWERS, first, strict=True)), options=dict(zip(names, rest, strict=True)))


def _live(now: Scene, here: Desk) -> list[Any]:
    """The state and every part of the page, unchanged ones left alone."""
    news = scene.news(now, here)
    always = ("queue", "jobs")
    found: list[Any] = [now]
    for name in PARTS:
        html = news[name]
        found.append(gr.update() if html is None else gr.update(value=html, visible=bool(html) or name in always))
    return found


def _filled(content: Html) -> Any:
    return gr.update(value=content, visible=bool(content))


def _take(now: Scene, dropped: Any, folder: Any, *names: Any) -> list[Any]:
    """Dropped photos into a folder of their own; more of them join those of the form, until a run uses that folder."""
    here, found = desk(host.find()), gr.update()
    now.beats += 1
    try:
        here.require()
        files = dropped if isinstance(dropped, list) else [dropped]
        target = here.dropped_before(folder)
        if target is None:
            name = next((one for one in names if isinstance(one, str) and one.strip()), "") or places.name_of(files)
            target = places.new_folder(name, here.home / "photos")
        count = places.take_in(files, target)
        words, found = element("p", said(shown("{} photos are in {}"), count, target)), gr.update(value=str(target))
    except LoraLoopError as error:
        words = notice(str(error))
    # the number makes it news for the page's script, which waits for it
    return [now, element("div", words, data_beat=str(now.beats)), found]


def _check(now: Scene, *values: Any) -> list[Any]:
    here, starts = desk(host.find()), now.starts
    found = _nothing()
    scene.guarded(now, lambda: _look_at(now, here, _answers(values), found))
    if now.starts != starts:  # a run was started meanwhile: the sheet would only cover it
        found = _nothing()
    return [*_live(now, here), *found]


def _nothing() -> list[Any]:
    """No news for what a check shows."""
    return [gr.update() for _ in range(4 + len(form.fields()))]


def _look_at(now: Scene, here: Desk, answers: Answers, found: list[Any]) -> None:
    """Check photos and settings; what the page shows of it goes into `found`. Raises LoraLoopError."""
    now.checked, now.checked_runs = False, ()
    found[1], found[2] = _filled(Html("")), gr.update(visible=False)
    prepared = here.prepare(answers)
    found[0] = _filled(photos_html.contact_sheet(prepared.report, prepared.config.dataset))
    found[3] = _filled(regularisation_html.page(prepared.report, prepared.config))
    now.table = captions.opened(prepared.config, now.table, here)
    runs = prepared.sweep.variants
    chosen = [said(shown("Preset: {}."), answers.preset), " "] if prepared.config.preset else []
    told = [element("p", *chosen, prepared.sentence)]
    told += [element("p", prepared.sweep.sentence)] if len(runs) > 1 else []
    told += (
        [element("p", prepared.warning, class_="lora-loop-message lora-loop-is-warning")] if prepared.warning else []
    )
    ready = prepared.report.trainable
    found[1] = _filled(element("div", *told, class_="lora-loop-ready" if ready else "lora-loop-notice"))
    found[2] = gr.update(visible=ready)
    values = form.shown(prepared.config)
    for place, field in enumerate(form.fields()):
        if field.name in prepared.changes:
            found[4 + place] = gr.update(value=values[field.name])
    fitted = replace(answers, options={**answers.options, **{name: values[name] for name in prepared.changes}})
    now.checked_runs = tuple(variant.config for variant in here.runs(fitted).variants) if ready else ()
    now.checked = True
    now.say("")


def _start(now: Scene, at: Any, *values: Any) -> list[Any]:
    """Queue what was checked. What was changed since then is checked first and waits for another press."""
    here, found, time = desk(host.find()), _nothing(), gr.update()

    def work() -> None:
        nonlocal time
        answers = _answers(values)
        here.require()
        if tuple(variant.config for variant in here.runs(answers).variants) != now.checked_runs:
            _look_at(now, here, answers, found)
            now.say(
                shown("Something was changed after the check, so it was checked again: look, and press Start training.")
            )
            return
        job, words = here.start(answers, at)
        now.follow(job)
        now.say(words)
        now.starts += 1
        found[0], found[2], time = _filled(Html("")), gr.update(visible=False), gr.update(value="")

    scene.guarded(now, work)
    return [*_live(now, here), *found, time]


def _act(raw: Any, now: Scene) -> list[Any]:
    here = desk(host.find())
    scene.act(now, here, raw)
    return _beat(now, here)


def _tick(now: Scene) -> list[Any]:
    return _beat(now, desk(host.find()))


def _beat(now: Scene, here: Desk) -> list[Any]:
    """What is new, and a sign for the page's script that its question is answered."""
    now.beats += 1
    return [*_live(now, here), element("i", str(now.beats))]


def _load(raw: Any, now: Scene) -> list[Any]:
    """Put something into the form: a job's settings, the form that the browser kept over a reload, sample photos,
    the checkpoint that is loaded now."""
    here, told = desk(host.find()), scene.clicked(raw)
    names = (*ANSWERS, *(field.name for field in form.fields()), "subject")
    found: dict[str, Any] = {}

    def work() -> None:
        if told.get("act") == "restore":
            found.update(_restored(here, told.get("form")))
        elif told.get("act") == "fresh":
            found.update(_offered(here, told.get("base")))
        elif told.get("act") == "sample_photos":
            folder, who = here.sample_photos()
            found.update(folder=folder, trigger=who.trigger, class_word=who.class_word, name=who.trigger)
            now.say(said(shown("The sample photos are in {}."), folder))
        else:
            answers, words = here.answers_of(told.get("job"))
            found.update({name: getattr(answers, name) for name in ANSWERS}, **answers.options)
            if subject := subject_of(answers.preset):
                found["subject"] = subject
            now.say(words)

    scene.guarded(now, work)
    if "preset" in found:
        now.preset = found["preset"]
    filled = [gr.update(value=found[name]) if name in found else gr.update() for name in names]
    card = train_presets.card(here, found["preset"]) if "preset" in found else gr.update()
    about = train_presets.about_base(here, found["base"]) if "base" in found else gr.update()
    return [*_beat(now, here), *filled, card, about]


def _offered(here: Desk, base: Any) -> dict[str, Any]:
    """What a page that nobody has filled in offers instead of `base`, where another checkpoint is loaded since then."""
    first = here.first_base()
    if not first or base == first:
        return {}
    preset = here.preset_for(first, "person")
    return {"base": first, "preset": preset, **here.values_of(preset, first)}


def _restored(here: Desk, kept: Any) -> dict[str, Any]:
    """What of a form that a browser kept can be put back; it is as little trusted as any other value of the page."""
    if not is_table(kept):
        return {}
    found: dict[str, Any] = dict(form.restored(kept))
    found |= {name: value for name in ANSWERS if isinstance(value := kept.get(name), str) and len(value) <= MOST_ANSWER}
    if kept.get("subject") in {value for _, value in SUBJECT_WORDS}:
        found["subject"] = kept["subject"]
    if found.get("base") not in here.bases():
        found.pop("base", None)
    if found.get("preset") not in here.presets():
        found.pop("preset", None)
    return found


def _bases() -> Any:
    return gr.update(choices=desk(host.find()).bases())


def _command(now: Scene, *values: Any) -> list[Any]:
    here = desk(host.find())
    found: list[Any] = [_filled(Html(""))]

    def work() -> None:
        found[0] = _filled(progress_html.command(*here.as_toml(_answers(values))))

    scene.guarded(now, work)
    return [*_live(now, here), *found]


def tab() -> list[tuple[Any, str, str]]:
    """What the WebUI's `on_ui_tabs` wants: the content, the title, the id."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        try:
            build()
        except Exception as error:  # the tab says why, and the WebUI starts all the same
            gr.HTML(notice(f"The Train tab cannot be shown: {error}"))
    return [(blocks, TITLE, TRAIN_TAB)]
