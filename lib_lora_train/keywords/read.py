"""Finding our keywords in a resolved prompt, and the prompt without them. Everybody else's tags stay untouched."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from lib_lora_train.keywords.table import ADDNET, OURS

_OPEN = re.compile(r"<[ \t]*([A-Za-z][\w -]*?)[ \t]*:")
_TAG = re.compile(r"<(\w+):([^>]+)>")
_FOREIGN = frozenset({"lora", "lyco", "loha", "hypernet", "ti", "embedding", "segment", "lbw", "wildcard"})
_ALIKE = 0.75


@dataclass(frozen=True)
class Tag:
    """One keyword as written: its name in the table's spelling, its value without quotes, its place in the text."""

    name: str
    value: str
    start: int
    end: int
    written: str


@dataclass(frozen=True)
class Reading:
    """`text` without our tags, the tags in order, and what people should hear."""

    text: str
    tags: tuple[Tag, ...] = ()
    notes: tuple[str, ...] = ()


def read(text: str, foreign: frozenset[str] = frozenset()) -> Reading:
    """Take our keywords out of `text`. `foreign` are tag names that belong to others for certain (lower case).

    A value ends at the first `>` outside double quotes; quotes around the whole value are not part of it. A name that
    is nearly one of ours is left alone, with a note.
    """
    tags: list[Tag] = []
    notes: list[str] = []
    for opening in _OPEN.finditer(text):
        if tags and opening.start() < tags[-1].end:
            continue
        name = _name(opening[1])
        if name in OURS or _is_addnet(name):
            end = _end(text, opening.end())
            if end < 0:
                notes.append(
                    f"{text[opening.start() : opening.start() + 40]!r} has no closing '>': it stays in the prompt as text."
                )
                continue
            tags.append(
                Tag(
                    name,
                    _unquoted(text[opening.end() : end]),
                    opening.start(),
                    end + 1,
                    text[opening.start() : end + 1],
                )
            )
        elif name not in _FOREIGN and name not in foreign and (near := _nearest(name)):
            notes.append(f"<{opening[1]}:…> is not one of our keywords and is left as it is; did you mean <{near}:…>?")
    return Reading(_without(text, tags), tuple(tags), tuple(dict.fromkeys(notes)))


def networks(text: str) -> tuple[str, ...]:
    """The tags that the WebUI itself will read from a prompt (LoRAs and others), in order, as written."""
    return tuple(match[0] for match in _TAG.finditer(text))


def without_networks(text: str) -> str:
    """The prompt without those tags."""
    return _TAG.sub("", text)


def _nearest(name: str) -> str:
    """The keyword that a slip of the keys may have meant: nearly the same letters, or the same in another order."""
    swapped = [word for word in sorted(OURS) if sorted(word) == sorted(name)]
    return next(iter([*swapped, *difflib.get_close_matches(name, sorted(OURS), 1, _ALIKE)]), "")


def _name(written: str) -> str:
    return re.sub(r"[ -]+", "_", written.strip()).lower()


def _is_addnet(name: str) -> bool:
    return re.fullmatch(ADDNET + r"(enabled|(module|model|weight|weight_a|weight_b)_[1-5])", name) is not None


def _end(text: str, start: int) -> int:
    """Where the value's `>` stands, or -1. A quote that never closes is a plain character."""
    place = start
    while place < len(text):
        mark = text[place]
        if mark == ">":
            return place
        if mark == '"':
            close = text.find('"', place + 1)
            if close > 0 and ">" in text[close:]:
                place = close
        place += 1
    return -1


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"' and '"' not in value[1:-1]:
        return value[1:-1].strip()
    return value


def _without(text: str, tags: list[Tag]) -> str:
    """The text with the tags cut out, and with them the commas, blanks and brackets that held nothing else."""
    kept = ""
    place = 0
    for tag in tags:
        kept += text[place : tag.start]
        rest = text[tag.end :]
        while True:
            empty = re.match(r"\s*(?::\s*[\d.]+\s*)?([)\]])", rest)
            opening = re.search(r"([(\[])\s*\Z", kept)
            if empty is None or opening is None or opening[1] + empty[1] not in ("()", "[]"):
                break
            kept, rest = kept[: opening.start()], rest[empty.end() :]
        rest = _joined(kept, rest)
        if not rest.strip() and kept.rstrip().endswith(","):
            kept = kept.rstrip()[:-1]
        if not rest.strip() or rest[:1] in (" ", "\n", ","):
            kept = kept.rstrip(" \t")
        if rest[:1] == "\n" and kept[-1:] in ("", "\n"):
            rest = rest[1:]
        place = len(text) - len(rest)
    kept += text[place:]
    return kept.strip(" \t") if tags else text


def _joined(before: str, rest: str) -> str:
    """`rest` without a comma or blank that would stand twice after `before`."""
    head = before.rstrip(" \t")
    follow = rest.lstrip(" \t")
    if follow.startswith(",") and (not head or head[-1] in ",\n(["):
        return rest[len(rest) - len(follow) + 1 :] if head else follow[1:].lstrip(" \t")
    return rest
