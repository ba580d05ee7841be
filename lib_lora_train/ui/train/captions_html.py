"""The caption table as HTML: its sum, its tags, its rows, and what an edit would change. Everything is escaped."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lora_train.train.base.clip_count import CHUNK, chunks
from lib_lora_train.train.dataset.caption_book import Row
from lib_lora_train.train.dataset.caption_edit import Choice, frequency
from lib_lora_train.train.dataset.photos import counted
from lib_lora_train.train.sections import DatasetConfig
from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.train.progress_html import button
from lib_lora_train.ui.train.thumbs import COLUMNS, MOST
from lib_lora_train.ui.words import shown

LONGEST = 6000
"""Letters of a caption that can be changed in the table."""
MOST_BYTES = 50_000
"""Of a page of rows as HTML."""
MOST_TAGS = 60
MOST_TAG = 200
MOST_TAG_BYTES = 14_000
MOST_NAME = 200
MOST_PAIRS = 8
MOST_PAIR = 160
ODD = {
    "empty": shown("no caption"),
    "trigger": shown("no trigger"),
    "long": shown("too long"),
    "encoding": shown("not UTF-8"),
    "shared": shown("shared by several photos"),
}
SAVED = shown("saved")
CHANGED = shown("changed elsewhere")


@dataclass(frozen=True)
class Preview:
    """What an edit would do: to how many of how many captions, as (photo, before, after)."""

    of: int
    changed: int
    pairs: Sequence[tuple[str, str, str]]
    sign: str


def pages(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """The rows in pages of at most fifty that are never too long for one message."""
    found: list[list[Row]] = [[]]
    size = 0
    for row in rows:
        long = len(_row(row, 0, True).encode("utf-8", "replace"))
        if found[-1] and (len(found[-1]) == MOST or size + long > MOST_BYTES):
            found.append([])
            size = 0
        found[-1].append(row)
        size += long
    return [*found]


def overview(rows: Sequence[Row], chosen: Sequence[Row], choice: Choice, config: DatasetConfig, undo: int) -> Html:
    """How many photos, what is odd about their captions, the undo, and the tags by frequency."""
    counts = {name: sum(name in row.odd for row in rows) for name in ODD}
    sums = [
        element("span", element("b", f"{counts[name]:,}"), " ", element("span", words), class_=_odd_class(name))
        for name, words in ODD.items()
        if counts[name]
    ]
    head = element(
        "p",
        element("b", f"{len(chosen):,} / {len(rows):,}"),
        " ",
        element("span", shown("photos shown")),
        class_="lora-loop-understood",
    )
    does = [button(shown("Show all"), "captions_all")] if choice != Choice() else []
    if undo:
        words = f"{shown('Undo the last change')} ({undo:,})"
        does.append(button(words, "captions_undo"))
    return element(
        "div",
        element("div", head, *sums, *does, class_="lora-loop-counts"),
        _tags(chosen if choice.tag == "" else rows, choice, config.separator or ","),
        class_="lora-loop-captions-head",
    )


def _tags(rows: Sequence[Row], choice: Choice, separator: str) -> Html:
    found = frequency((row.text for row in rows), separator)
    if not found:
        return Html("")
    chips: list[Html] = []
    room = MOST_TAG_BYTES
    for tag, count in found[:MOST_TAGS]:
        chip = _tag(tag, count, choice) if len(tag) <= MOST_TAG else Html("")
        room -= len(chip.encode("utf-8", "replace"))
        chips += [chip] if chip and room > 0 else []
    more = f"+ {len(found) - len(chips):,}" if len(found) > len(chips) else ""
    return element(
        "div",
        *chips,
        element("small", more) if more else "",
        class_="lora-loop-tags",
        role="group",
        aria_label=shown("Tags, the most frequent first; click: with it, again: without it, again: all"),
        title=shown("Tags, the most frequent first; click: with it, again: without it, again: all"),
    )


def _tag(tag: str, count: int, choice: Choice) -> Html:
    chosen = tag.casefold() == choice.tag.casefold()
    kind = "" if not chosen else "lora-loop-with" if choice.has_tag else "lora-loop-lacking"
    return element(
        "button",
        element("span", tag[:60]),
        element("small", f"{count:,}"),
        type="button",
        class_=f"lora-loop-button lora-loop-tag {kind}".strip(),
        data_act="captions_tag",
        data_tag=tag,
        aria_pressed="true" if chosen else "false",
    )


def table(rows: Sequence[Row], page: tuple[int, int], thumbs: str, drawn: int, writable: bool) -> Html:
    """One page of rows. `page` is (which, of how many), `thumbs` names the sprite, `drawn` makes each drawing differ."""
    if not rows:
        return element("p", shown("No photo is like that."), class_="lora-loop-hint", data_drawn=drawn)
    listed = [_row(row, place, writable) for place, row in enumerate(rows)]
    pager = _pager(page)
    return element(
        "div",
        element("ul", *listed, class_="lora-loop-captions", data_thumbs=thumbs, aria_label=shown("Captions")),
        pager,
        data_drawn=drawn,
    )


def _pager(page: tuple[int, int]) -> Html:
    now, total = page
    if total < 2:
        return Html("")
    near = sorted({0, total - 1, *range(max(0, now - 2), min(total, now + 3))})
    does: list[object] = []
    for place, number in enumerate(near):
        if place and number - near[place - 1] > 1:
            does.append(element("span", "…"))
        does.append(
            element(
                "button",
                f"{number + 1:,}",
                type="button",
                class_=f"lora-loop-button {'lora-loop-main' if number == now else ''}".strip(),
                data_act="captions_page",
                data_place=number,
                aria_current="page" if number == now else None,
            )
        )
    return element("nav", *does, class_="lora-loop-pager", aria_label=shown("Pages of captions"))


def _row(row: Row, place: int, writable: bool) -> Html:
    name = row.photo.name[:MOST_NAME]
    long = len(row.text) > LONGEST
    box = element(
        "textarea",
        row.text[:LONGEST],
        rows=2,
        data_photo=row.photo.name,
        data_was=row.stamp,
        placeholder=row.spoken[:300] or shown("(no caption)"),
        aria_label=f"{shown('Caption')}: {name}",
        readonly=long or not writable,
        spellcheck="false",
    )
    return element(
        "li",
        element(
            "span",
            class_="lora-loop-thumb",
            role="img",
            aria_label=name,
            style=f"--x:{place % COLUMNS};--y:{place // COLUMNS}",
        ),
        element("b", name, title=name),
        box,
        element("div", about(row), class_="lora-loop-about"),
    )


def about(row: Row) -> Html:
    """A row's count of tokens and what is odd about it."""
    parts = chunks(row.tokens)
    words = f"{row.tokens:,} / {parts * CHUNK}"
    marks = [element("span", ODD[name], class_=_odd_class(name)) for name in row.odd]
    if len(row.text) > LONGEST:
        marks.append(element("span", shown("longer than this table can change"), class_=_odd_class("long")))
    return joined(
        [
            element("small", words, " ", element("span", shown("tokens")), class_="lora-loop-tokens"),
            *marks,
        ]
    )


def _odd_class(name: str) -> str:
    return f"lora-loop-count lora-loop-is-{'note' if name in ('empty', 'shared') else 'warning'}"


def about_row(row: Row, drawn: int, what: str) -> Html:
    """What the page's script puts beside a caption that was just saved, or found changed."""
    words = SAVED if what == "saved" else CHANGED
    kind = "ok" if what == "saved" else "warning"
    return element(
        "div",
        about(row),
        element("span", words, class_=f"lora-loop-count lora-loop-is-{kind}", role="status"),
        data_photo=row.photo.name,
        data_was=row.stamp,
        data_drawn=drawn,
    )


def preview(found: Preview, writable: bool) -> Html:
    """How many captions change, some of them before and after, and the button that does it."""
    told = f"{found.changed:,} / {found.of:,} {shown('captions change.')}"
    items = [
        element("li", element("b", name[:MOST_NAME]), element("p", *_difference(before, after)))
        for name, before, after in found.pairs[:MOST_PAIRS]
    ]
    more = len(found.pairs) - len(items)
    does: list[Html] = []
    if writable and found.changed:
        words = f"{shown('Change')} {counted(found.changed, 'caption', 'captions')}"
        does.append(button(words, "captions_do", "lora-loop-main", sign=found.sign))
    does.append(button(shown("Leave them as they are"), "captions_drop"))
    return element(
        "section",
        element("p", told, role="status"),
        element("ul", *items, element("li", f"+ {more:,}", class_="lora-loop-hint") if more > 0 else ""),
        element("div", *does, class_="lora-loop-controls"),
        class_="lora-loop-preview2",
        aria_label=shown("Preview"),
    )


def refused(why: str) -> Html:
    """Why an edit cannot be previewed."""
    return element("p", why[:500], class_="lora-loop-message lora-loop-is-error", role="status")


def _difference(before: str, after: str) -> list[Html]:
    """Both texts as one, with what goes and what comes marked; around the first change where they are long."""
    same = next((place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    begin = max(0, same - MOST_PAIR // 3)
    old, new = (re.findall(r"\w+(?: \w+)*|\W", text[begin : begin + MOST_PAIR]) for text in (before, after))
    found: list[Html] = [Html("… ")] if begin else []
    for kind, first, last, fresh, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(element("span", "".join(old[first:last])))
            continue
        if first < last:
            found.append(element("del", "".join(old[first:last])))
        if fresh < end:
            found.append(element("ins", "".join(new[fresh:end])))
    return found
