"""Changing, choosing and counting captions and their tags. Pure.

A caption with several lines (templates use them all) is changed line by line; a line that an edit has nothing to say to
stays as it is, to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lib_lora_train.train.errors import DatasetError

KINDS = ("replace", "front", "behind", "remove", "original")
MOST_TEXT = 1000
"""Of what is looked for or put in, in letters."""
MOST_CAPTION = 20_000
"""Of a caption after an edit, in letters."""
SHOWN = ("all", "with", "without", "odd")


@dataclass(frozen=True)
class Edit:
    """One change for many captions: `replace` `text` by `new`, put the tag `text` in `front` or `behind`, `remove` the
    tag `text`, or bring back the `original`.
    """

    kind: str
    text: str = ""
    new: str = ""
    separator: str = ","

    def __post_init__(self) -> None:
        """Raises DatasetError for an edit that cannot be."""
        if self.kind not in KINDS:
            raise DatasetError("Captions cannot be changed like that; choose one of the ways in the list.")
        if max(len(self.text), len(self.new)) > MOST_TEXT:
            raise DatasetError(f"Use at most {MOST_TEXT:,} letters to look for or to put in.")
        checked(self.text + self.new)
        if self.kind != "original" and not (self.text if self.kind == "replace" else self.text.strip()):
            raise DatasetError("Say which text to replace." if self.kind == "replace" else "Say which tag.")

    def of(self, caption: str) -> str:
        """The caption after the edit; an original is not known here. Raises DatasetError when it becomes too long."""
        lines = caption.splitlines() or [""]
        changed = [self._line(line) for line in lines]
        if changed == lines:
            return caption
        text = "\n".join(changed)
        if len(text) > max(MOST_CAPTION, len(caption)):
            raise DatasetError(f"A caption would become longer than {MOST_CAPTION:,} letters; nothing was changed.")
        return text

    def _line(self, line: str) -> str:
        if self.kind == "replace":
            return line.replace(self.text, self.new)
        tag, tags = self.text.strip(), tags_of(line, self.separator)
        has = tag.casefold() in map(str.casefold, tags)
        if self.kind == "remove" and has:
            return f"{self.separator} ".join(one for one in tags if one.casefold() != tag.casefold())
        if self.kind == "front" and not has:
            return f"{tag}{self.separator} {line.lstrip()}" if tags else tag
        if self.kind == "behind" and not has:
            return f"{line.rstrip()}{self.separator} {tag}" if tags else tag
        return line


def checked(text: str) -> str:
    """A text that may stand in a caption file, its line ends made `\\n`. Raises DatasetError."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        plain.encode("utf-8")
    except UnicodeEncodeError:
        raise DatasetError("That text has signs that are no letters, and cannot be saved.") from None
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in plain):
        raise DatasetError("That text has control signs, and cannot be saved.")
    return plain


def tags_of(caption: str, separator: str) -> list[str]:
    """What stands between the separators, in order, all lines together."""
    parts = (part.strip() for line in caption.splitlines() for part in line.split(separator or ","))
    return [part for part in parts if part]


def frequency(captions: Iterable[str], separator: str) -> list[tuple[str, int]]:
    """In how many captions each tag is, whatever its case, the most frequent first; spelt as it was seen first."""
    spelt: dict[str, str] = {}
    counts: dict[str, int] = {}
    for caption in captions:
        for tag in {tag.casefold(): tag for tag in reversed(tags_of(caption, separator))}.values():
            key = tag.casefold()
            spelt.setdefault(key, tag)
            counts[key] = counts.get(key, 0) + 1
    return [(spelt[key], count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


@dataclass(frozen=True)
class Choice:
    """Which captions are looked at. `shown` is one of SHOWN ("odd" has a warning); empty texts choose all."""

    text: str = ""
    has_text: bool = True
    tag: str = ""
    has_tag: bool = True
    shown: str = "all"

    def takes(self, caption: str, name: str, is_odd: bool, separator: str) -> bool:
        """Whether a photo with this caption and file name is among them."""
        if self.shown != "all" and not {"with": bool(caption), "without": not caption, "odd": is_odd}[self.shown]:
            return False
        sought = self.text.casefold().strip()
        if sought and (sought in caption.casefold() or sought in name.casefold()) != self.has_text:
            return False
        tags = map(str.casefold, tags_of(caption, separator)) if self.tag else ()
        return not self.tag or (self.tag.casefold() in tags) == self.has_tag
