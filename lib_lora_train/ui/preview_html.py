"""The preview as HTML. Every visible sentence is a text node of its own, so that the page's language can replace it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lib_lora_train.ui.choices import Site
from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.marks import Part
from lib_lora_train.ui.preview import Look, Row, Trouble
from lib_lora_train.ui.words import shown

LONGEST_SHOWN = 1_500
MOST_SOURCE = 60
EXAMPLES = 3


def render(look: Look) -> Html:
    """The whole preview. `data-unknown` tells the highlighting which wildcards there are not."""
    parts = [
        *([_trouble(look.trouble)] if look.trouble else []),
        _warnings(look),
        _counts(look),
        element("ol", joined(_row(row) for row in look.rows), class_="lora-loop-rows") if look.rows else "",
        _odds(look.sites),
    ]
    unknown = json.dumps([one.name for one in look.unknown])
    return element("div", *parts, class_="lora-loop-preview", data_unknown=unknown)


def switched_off() -> Html:
    """What stands there while the switch is off."""
    words = shown("Switched off: the prompts are used as they are written.")
    return element("div", element("p", words, class_="lora-loop-hint"), class_="lora-loop-preview")


def _counts(look: Look) -> Html:
    if look.trouble is not None:
        return Html("")
    pieces: list[Html] = []
    if look.combinations is None:
        pieces.append(element("span", shown("more combinations than can be counted while you type")))
    elif look.combinations == 1:
        pieces.append(element("span", shown("no choices: every image gets the same prompt")))
    else:
        pieces.append(_figure(look.combinations, shown("possible prompts")))
    if look.images is not None:
        pieces.append(_figure(look.images, shown("images in all")))
    return element("p", *pieces, class_="lora-loop-counts")


def _figure(value: int, what: str) -> Html:
    digits = (
        f"{value:,}"
        if value < 10**15
        else f"≈ 10^{len(str(value)) - 1 if value < 10**4000 else value.bit_length() * 301 // 1000}"
    )
    return element("span", element("b", digits), " ", element("span", what), class_="lora-loop-figure")


def _trouble(trouble: Trouble) -> Html:
    return element(
        "div",
        element("b", trouble.where) if trouble.where else element("b", shown("This cannot be drawn")),
        element("p", trouble.reason),
        element("pre", trouble.picture, tabindex=0) if trouble.picture else "",
        class_="lora-loop-trouble",
        role="alert",
    )


def _warnings(look: Look) -> Html:
    lines = [element("li", fault, class_="lora-loop-unknown") for fault in look.faults]
    lines += [element("li", one.reason, class_="lora-loop-unknown") for one in look.unknown]
    told = {one.reason for one in look.unknown}
    lines += [element("li", warning) for warning in look.warnings if not any(reason in warning for reason in told)]
    return element("ul", joined(lines), class_="lora-loop-warnings", role="status") if lines else Html("")


def _row(row: Row) -> Html:
    negative = element("div", *_parts(row.negative), class_="lora-loop-negative") if row.negative_text.strip() else ""
    use = element(
        "button",
        shown("Use this one"),
        type="button",
        class_="lora-loop-use",
        title=shown("Put this prompt in the prompt box (Ctrl+Z brings the template back)"),
        data_prompt=row.text,
        data_negative=row.negative_text,
    )
    side = element(
        "div", element("span", row.seed, class_="lora-loop-seed", title=shown("Seed")), use, class_="lora-loop-side"
    )
    return element("li", element("div", element("div", *_parts(row.prompt), class_="lora-loop-prompt"), negative), side)


def _parts(parts: Sequence[Part]) -> list[Html]:
    found: list[Html] = []
    room = LONGEST_SHOWN
    for part in parts:
        text = part.text[:room]
        found.append(_mark(text, part.source) if part.source else element("span", text))
        room -= len(text)
        if room <= 0:
            found.append(element("span", "…"))
            break
    return found or [element("i", shown("an empty prompt"))]


def _mark(text: str, source: str) -> Html:
    same = text == source  # nothing was found for it, so it stays as it is written
    return element("mark", text, title=short(source), class_="lora-loop-same" if same else None)


def _odds(sites: Sequence[Site]) -> Html:
    if not sites:
        return Html("")
    rows = [_site(site) for site in sites]
    return element(
        "details",
        element("summary", shown("How likely each choice is")),
        element("div", *rows, class_="lora-loop-sites"),
        class_="lora-loop-odds",
    )


def _site(site: Site) -> Html:
    head = [element("code", short(site.source), title=site.source)]
    if (site.low, site.high) != (1, 1):
        picked = f"{site.low}" if site.low == site.high else f"{site.low}–{site.high}"
        head.append(element("small", element("span", shown("picked at once:")), f" {picked} / {site.size:,}"))
    elif site.size > len(site.values):
        head.append(element("small", element("span", shown("values:")), f" {site.size:,}"))
    values = site.values
    if site.size > len(values) and len({share for _, share in values}) == 1:
        values = values[:EXAMPLES]  # all alike: a few say it
    bars = [_bar(text, share) for text, share in values]
    if site.size > len(values):
        bars.append(element("div", "…", class_="lora-loop-odd"))
    return element("section", element("h5", *head), *bars)


def _bar(text: str, share: float) -> Html:
    return element(
        "div",
        element("span", short(text) or "∅", class_="lora-loop-value", title=text),
        element("span", percent(share), class_="lora-loop-share"),
        class_="lora-loop-odd",
        style=f"--share: {share:.4f}",
    )


def percent(share: float) -> str:
    """A probability as a person reads it."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.2g} %"


def short(text: str) -> str:
    """One line of at most `MOST_SOURCE` characters."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_SOURCE else line[: MOST_SOURCE - 1] + "…"
