"""The tokens between scanner and parser, and the weights that stand in front of options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lib_lora_train.prompt.errors import Place, TemplateError
from lib_lora_train.prompt.syntax import BAD_WEIGHT, WEIGHT

UNIT = 1_000_000
"""Weights are whole millionths, so that sums are exact: weight 1 is 1,000,000."""

MAX_WEIGHT = 10**9
MAX_COUNT = 10**12


class Token:
    """What the parser reads: a terminal's name, its value and its place in characters."""

    __slots__ = ("end_pos", "start_pos", "type", "value")
    line = column = end_line = end_column = 0

    def __init__(self, kind: str, value: object, start: int, end: int) -> None:
        self.type = kind
        self.value = value
        self.start_pos = start
        self.end_pos = end


@dataclass(frozen=True)
class Header:
    """What stands between the brace and the first option. `high` None is "as many as there are"."""

    sampler: str = ""
    low: int = 1
    high: int | None = 1
    separator: str = ","
    bounded: bool = False


@dataclass
class Report:
    """Where problems go: in strict mode the first one is raised, in lenient mode all are noted and text stays text."""

    source: str
    name: str
    lenient: bool
    notes: list[str]

    def place(self, start: int, end: int) -> Place:
        """`start … end` of the source."""
        return Place(self.source, start, max(end, start + 1), self.name)

    def problem(self, reason: str, start: int, end: int) -> None:
        """Raise TemplateError, or note it when lenient."""
        if not self.lenient:
            raise TemplateError(reason, self.place(start, end))
        self.note(reason, start, end)

    def note(self, reason: str, start: int, end: int) -> None:
        """Keep a warning."""
        self.notes.append(f"{self.place(start, end)}: {reason}")


def weighted(text: str, problem: Callable[[str, int, int], None]) -> tuple[int | None, str]:
    """The weight in millionths written before `text` (None when there is none) and the rest.

    `problem(reason, start, end)` is told what is wrong, with offsets into `text`.
    """
    if "::" not in text:
        return None, text
    found = WEIGHT.match(text)
    if found is None:
        bad = BAD_WEIGHT.match(text)
        if bad is not None:
            cure = "write 1.5 with a point" if "," in bad[1] else "write a plain number such as 3 or 0.25"
            problem(f"'{bad[1]}' is not a weight; {cure}.", bad.start(1), bad.end(1))
        return None, text
    number = found[1]
    whole, _, fraction = number.lstrip("+-").partition(".")
    if number.startswith("-") and (whole + fraction).strip("0"):
        problem(
            f"A weight cannot be negative ({number}); write 0 to switch an option off.", found.start(1), found.end(1)
        )
        return 0, text[found.end() :]
    if len(whole.lstrip("0")) > 9:
        problem(f"The weight is larger than {MAX_WEIGHT:,}; use a smaller one.", found.start(1), found.end(1))
        return MAX_WEIGHT * UNIT, text[found.end() :]
    return millionths(whole, fraction), text[found.end() :]


def millionths(whole: str, fraction: str) -> int:
    """The decimal number `whole.fraction` in millionths, rounded half up, but never to 0 when it is not 0."""
    value = int(whole or "0") * UNIT + (int((fraction + "0000000")[:7]) + 5) // 10
    return value or (1 if fraction.strip("0") else 0)
