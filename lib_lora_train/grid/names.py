"""What a LoRA file's name says: which run, which epoch, which step. Each trainer has its own way of writing it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# First match wins. kohya: `x-000002`, `x-step00000450`; ai-toolkit: `x_000000500` (nine digits are steps);
# OneTrainer: `x-save-450-9-0` (step, epoch, step in the epoch); others: `x_e9`, `x-epoch-09`, `x_450steps`, `x-ep9-s450`.
_WAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<base>.+?)[-_. ]save-(?P<step>\d+)-(?P<epoch>\d+)-\d+",
        r"(?P<base>.+?)[-_. ]e(?:p|poch)?[-_. ]?(?P<epoch>\d+)[-_. ]s(?:tep)?s?[-_. ]?(?P<step>\d+)",
        r"(?P<base>.+?)[-_. ]s(?:tep)?s?[-_. ]?(?P<step>\d+)",
        r"(?P<base>.+?)[-_. ](?P<step>\d+)[-_ ]?steps?",
        r"(?P<base>.+?)[-_. ]e(?:p|poch)?s?[-_. ]?(?P<epoch>\d+)",
        r"(?P<base>.+?)[-_. ](?P<epoch>\d+)[-_ ]?epochs?",
        r"(?P<base>.+?)_(?P<step>\d{9})",
        r"(?P<base>.+?)[-_](?P<epoch>\d{6})",
    )
)


@dataclass(frozen=True)
class Named:
    """A name taken apart. `epoch` and `step` are None where it does not say; a bare name is the final file."""

    base: str
    epoch: int | None = None
    step: int | None = None

    @property
    def numbered(self) -> bool:
        """Whether the name says when in the run the file was saved."""
        return self.epoch is not None or self.step is not None


def take_apart(stem: str) -> Named:
    """The parts of a file name without its suffix."""
    for way in _WAYS:
        match = way.fullmatch(stem)
        if match:
            found = match.groupdict()
            return Named(found["base"], _number(found.get("epoch")), _number(found.get("step")))
    return Named(stem)


def natural(text: str) -> tuple[tuple[int, str, int], ...]:
    """A sort key in which 9 comes before 10, whatever the case."""
    return tuple(
        (1, "", int(part)) if part.isdecimal() else (0, part.casefold(), 0) for part in re.split(r"(\d+)", text)
    )


def _number(text: str | None) -> int | None:
    return int(text) if text else None
