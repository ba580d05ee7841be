"""What stands under the epoch grid's form: the epochs found, what the grid will take, and what was kept."""

from __future__ import annotations

from urllib.parse import quote

from lib_lora_train.grid.keep import Kept
from lib_lora_train.grid.numbers import Losses
from lib_lora_train.grid.render import duration
from lib_lora_train.host.grid_desk import Overview
from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.words import shown

MOST_CHIPS = 40


def nothing_chosen() -> Html:
    """Before a run is chosen."""
    return _panel(element("p", shown("Choose a LoRA: its epochs are found by themselves."), class_="lora-loop-hint"))


def trouble(sentence: str) -> Html:
    """A sentence about what is wrong."""
    return _panel(element("div", element("p", sentence), class_="lora-loop-trouble", role="alert"))


def overview(found: Overview, linked: bool = False) -> Html:
    """The figures, the epochs and what was left out; `linked` when the WebUI serves the page's file."""
    estimate = found.estimate
    largest = max((sheet.size for sheet in estimate.sheets), key=lambda size: size[0] * size[1])
    time = element("span", shown("known after the first"))
    if estimate.seconds is not None:
        time = Html(_words(shown("about")) + duration(estimate.seconds))
    figures = [
        _figure(f"{estimate.images:,}", shown("pictures")),
        _figure(time, shown("time")),
        _figure(f"{max(1, round(estimate.disk_bytes / 1e6)):,} MB", shown("disk")),
        _figure(f"{largest[0]:,} × {largest[1]:,}", shown("largest sheet, pixels")),
    ]
    more = len(found.chosen) - MOST_CHIPS
    chips = [_chip(epoch.label, found.losses.get(epoch.name)) for epoch in found.chosen[:MOST_CHIPS]]
    chips += [element("li", f"+ {more}")] * (more > 0)
    notes = [element("li", note) for note in found.run.notes]
    parts = [
        element("dl", joined(figures), class_="lora-loop-figures"),
        element("ul", joined(chips), class_="lora-loop-chips"),
        element("ul", joined(notes), class_="lora-loop-warnings") if notes else Html(""),
    ]
    if found.page is not None:
        page = element("code", found.page)
        if linked:
            page = element("a", page, href=f"file={quote(str(found.page))}", target="_blank")
        parts.append(element("p", _words(shown("The page of the last grid:")), page, class_="lora-loop-hint"))
    return _panel(*parts)


def kept(done: Kept, weight: float) -> Html:
    """What *Keep this one* has done."""
    words = [
        element(
            "p", element("b", f"<lora:{done.path.stem}:{weight:g}>"), " ", _words(shown("is in the txt2img prompt."))
        ),
        *[element("p", note) for note in done.notes],
        element("p", f"{len(done.moved)} ", _words(shown("files were put away in")), element("code", done.archive)),
    ]
    return _good(*words)


def undone(count: int) -> Html:
    """What an undo has done."""
    return _good(element("p", f"{count} ", _words(shown("files are back where they were."))))


def _words(words: str) -> Html:
    """Words beside values, in an element of their own, as the WebUI translates whole texts."""
    return Html(element("span", words) + " ")


def _figure(value: object, words: str) -> Html:
    return element("div", element("dt", words), element("dd", value))


def _chip(label: str, losses: Losses | None) -> Html:
    loss = losses.training if losses is not None else None
    return element(
        "li", label, element("small", element("span", shown("loss")), f" {loss:.4f}") if loss is not None else Html("")
    )


def _good(*parts: object) -> Html:
    return _panel(element("div", *parts, class_="lora-loop-notice lora-loop-good", role="status"))


def _panel(*parts: object) -> Html:
    return element("div", *parts, class_="lora-loop-preview lora-loop-grid")
