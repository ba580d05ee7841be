"""What a template's marks look like: the delimiters and the patterns made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

NAME = r"(?:[^\W\d]|-)[\w-]*"
NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"


@dataclass(frozen=True)
class Syntax:
    """The delimiters of variants and wildcards (each may be several characters), and whether `<a|b>` is a variant."""

    variant_start: str = "{"
    variant_end: str = "}"
    wildcard: str = "__"
    angle: bool = True
    comments: bool = True


DEFAULT_SYNTAX = Syntax()


@dataclass(frozen=True)
class Patterns:
    """The compiled patterns of one syntax."""

    outer: re.Pattern[str]
    inner: re.Pattern[str]
    header: re.Pattern[str]
    escape: re.Pattern[str]
    plain: re.Pattern[str]
    special: str


ACCESS = re.compile(rf"\$\{{\s*({NAME})\s*(\?=!?|\+=!?|=!?|:|(?=\}}))\s*")
TAG = re.compile(r"<\w[\w.-]*:(?!:)")
PARAMETER = re.compile(rf"[(,]\s*({NAME})\s*=\s*")
COMMENT = re.compile(r"\s*(?://[^\n]*|/\*.*?\*/)", re.DOTALL)
WEIGHT = re.compile(rf"\s*({NUMBER})\s*::")
BAD_WEIGHT = re.compile(
    rf"\s*({NUMBER}[eE][+-]?[0-9]+|[+-]?(?:nan|inf|infinity)|[+-]?[0-9]+,[0-9]+)\s*::", re.IGNORECASE
)
_GAP = r"\s{0,9}"  # bounded, so that a long run of blanks is not tried in every way
BOUND = rf"(?:([0-9]+){_GAP}(?:(-){_GAP}([0-9]+)?)?|(-){_GAP}([0-9]+)){_GAP}\$\$"


@lru_cache(maxsize=32)
def patterns(syntax: Syntax) -> Patterns:
    """The patterns of `syntax`; the same object for the same syntax."""
    own = {syntax.variant_start, syntax.variant_end, syntax.wildcard}
    special = "".join(sorted(set("{}|<>$%#_").union(*own) - set("()[]\\")))
    marks = ["${", "%{", "$$", "}", "|", "<", ">", "[", "]", *own]
    ordered = "|".join(re.escape(mark) for mark in sorted(set(marks), key=lambda mark: (-len(mark), mark)))
    backslash = rf"(?<!\\)(?P<run>\\+)(?=[{re.escape(special)}()\[\]]|/[/*])"
    comment = (
        r"(?P<comment>^[ \t]*\#[^\n]*|(?:(?<=[\s{|}>])|\A)\#(?=\s|\Z)[^\n]*)|"
        if syntax.comments
        else "(?P<comment>(?!))|"
    )
    start = re.escape(syntax.variant_start)
    separator = r"(?:((?:\\[\s\S]|[^${}\\])*)\$\$)?"
    return Patterns(
        outer=re.compile(f"{comment}{backslash}|{ordered}", re.MULTILINE),
        inner=re.compile(f"{comment}{backslash}|{ordered}|[(),]", re.MULTILINE),
        header=re.compile(rf"(?:{start}|<)\s*([~@!]?)\s*(?:{BOUND}{separator})?"),
        escape=re.compile(rf"(?<!\\)(\\+)([{re.escape(special)}]|/(?=[/*]))"),
        plain=re.compile(rf"[\\#]|//|/\*|{'|'.join(re.escape(m) for m in sorted(set(marks) - set('[]')))}"),
        special=special,
    )


def unescape(text: str, syntax: Syntax) -> str:
    """Drop the backslashes that make our marks plain text. A1111's own (`\\(`, `\\[`) stay."""
    if "\\" not in text:
        return text
    return patterns(syntax).escape.sub(lambda m: m[1][: len(m[1]) // 2] + m[2], text)


def escape(text: str, syntax: Syntax = DEFAULT_SYNTAX) -> str:
    """`text` as a template that expands to exactly `text`."""
    special = re.escape(patterns(syntax).special)
    return re.sub(rf"(?<!\\)(\\*)([{special}]|(?<!/)/(?=[/*]))", lambda m: m[1] * 2 + "\\" + m[2], text)


def is_plain(text: str, syntax: Syntax) -> bool:
    """Whether `text` can only mean itself (a quick test; False means "parse it")."""
    return patterns(syntax).plain.search(text) is None
