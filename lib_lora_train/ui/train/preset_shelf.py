"""What is done with presets from the page, each time checked anew, and how they look."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_lora_train.files.reading import opened
from lib_lora_train.train import config as configs
from lib_lora_train.train import own_presets, presets, toml
from lib_lora_train.train.presets import Preset
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.train import form, places
from lib_lora_train.ui.train.desk import Answers, Desk
from lib_lora_train.ui.words import said, shown

MOST_SHOWN = 200


def save(desk: Desk, name: Any, answers: Answers) -> tuple[str, Html]:
    """Save the options as a preset of the person's own: no paths, nothing private. Gives its name and a sentence."""
    desk.require()
    config = form.runs(answers.options, {}).variants[0].config
    began = next((one for one in presets.listed(desk.home) if one.name == answers.preset and not one.problem), None)
    source = f"Began as the preset {began.title or began.name}. {began.source}".strip() if began else ""
    made = own_presets.save(desk.home, _word(name), configs.to_values(config), source=source)
    return made.name, said(shown("The preset {} is saved."), made.name)


def take_in(desk: Desk, upload: Any) -> tuple[str, Html]:
    """Take in a preset file that was dropped on the page; gives its name and a sentence."""
    desk.require()
    if not isinstance(getattr(upload, "name", upload), str):
        raise PageError(shown("Choose one preset file (.toml)."))
    path = places.uploaded(upload)
    with opened(path) as file:
        document = file.read(own_presets.MOST_BYTES + 1)
    made, left_out = own_presets.take_in(desk.home, document, path.name)
    if not left_out:
        return made.name, said(shown("The preset {} is yours now."), made.name)
    words = shown("The preset {} is yours now, without what belongs to its maker: {}.")
    return made.name, said(words, made.name, ", ".join(left_out))


def rename(desk: Desk, old: Any, new: Any) -> tuple[str, Html]:
    """Rename an own preset; gives its name and a sentence."""
    desk.require()
    made = own_presets.rename(desk.home, _word(old), _word(new))
    return made.name, said(shown("The preset is called {} now."), made.name)


def delete(desk: Desk, name: Any) -> Html:
    """Put an own preset into the trash; gives a sentence."""
    desk.require()
    gone = own_presets.delete(desk.home, _word(name))
    return said(shown("The preset is in the trash: {}."), str(gone))


def _word(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise PageError(shown("Give the preset a name."))
    return name


def card(home: Path, chosen: Any) -> Html:
    """The chosen preset in its maker's words, with its file to share, and below it all others."""
    found = presets.listed(home)[:MOST_SHOWN]
    here = next((one for one in found if one.name == chosen), None)
    first = [_words(here)] if here else []
    return element("div", *first, _all(found, here), class_="lora-loop-presets")


def _words(preset: Preset) -> Html:
    parts: list[object] = [element("strong", preset.title or preset.name)]
    if preset.is_own:
        parts.append(element("span", shown("yours"), class_="lora-loop-pill"))
    if not preset.problem:
        parts.append(_link(preset))
    told = [element("p", preset.problem[:600], class_="lora-loop-message lora-loop-is-error")] if preset.problem else []
    if preset.about:
        told.append(element("p", preset.about))
    if preset.source:
        summary = element("summary", shown("Where the figures come from"))
        told.append(element("details", summary, element("p", preset.source), class_="lora-loop-hint"))
    return element("div", element("p", *parts, class_="lora-loop-preset-title"), *told)


def _link(preset: Preset) -> Html:
    """The file itself, in the page: nothing is served for it."""
    words = {"title": preset.title, "about": preset.about, "source": preset.source}
    text = toml.write({"preset": words, **preset.values})
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return element(
        "a",
        shown("Download"),
        href=f"data:application/toml;base64,{data}",
        download=f"{preset.name}.toml",
        class_="lora-loop-link",
    )


def _all(found: Sequence[Preset], chosen: Preset | None) -> Html:
    rows = [element("li", _words(one), class_="lora-loop-preset") for one in found if one is not chosen]
    return element("details", element("summary", shown("All presets")), element("ul", *rows))
