"""What the next prompts will be, worked out while a person types: bounded in time, and never an exception.

`look` is a pure function of what stands in the page and of the wildcard files. The seeds are those of the images that
would be made, so with a fixed seed the preview shows exactly the prompts that Generate will use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from lib_lora_train.prompt import NEGATIVE, POSITIVE, Expander, Limits, NotCountable, PromptError
from lib_lora_train.prompt.choose import CYCLE, RANDOM
from lib_lora_train.prompt.expander import Prompt
from lib_lora_train.prompt.template import Context, Template
from lib_lora_train.prompt.wildcards import Wildcards
from lib_lora_train.ui import choices, marks

MOST_ROWS = 20
TOTAL_SECONDS = 1.0
TOTAL_CHARACTERS = 400_000
MOST_WARNINGS = 12
LIMITS = Limits(seconds=0.4, count_seconds=0.25, output_characters=200_000, scan_seconds=2.0)
"""Of one prompt of the preview."""


@dataclass(frozen=True)
class Asked:
    """What stands in the page. `seeds` are those that the first images' prompts would be drawn from, in order.

    `most` is how many images the combinatorial mode makes without being told a limit (0: any number).
    """

    prompt: str
    negative: str
    seeds: Sequence[int]
    mode: str = "random"
    limit: int = 0
    repeats: int = 1
    most: int = 0


@dataclass(frozen=True)
class Row:
    """One prompt: its text by role, cut into parts, and the seed that it comes from."""

    seed: int
    prompt: Sequence[marks.Part]
    negative: Sequence[marks.Part]

    @property
    def text(self) -> str:
        """The prompt as it would be used."""
        return "".join(part.text for part in self.prompt)

    @property
    def negative_text(self) -> str:
        """The negative prompt as it would be used."""
        return "".join(part.text for part in self.negative)


@dataclass(frozen=True)
class Trouble:
    """Why there are no prompts: the reason, where ("prompt, line 2, column 5"), and the line with a caret under it."""

    reason: str
    where: str = ""
    picture: str = ""


@dataclass
class Look:
    """What the preview shows. `combinations` is None when they cannot be counted in time.

    `faults` are keywords for which Generate would refuse the job.
    """

    rows: list[Row] = field(default_factory=lambda: list[Row]())
    combinations: int | None = None
    images: int | None = None
    sites: list[choices.Site] = field(default_factory=lambda: list[choices.Site]())
    faults: Sequence[str] = ()
    unknown: list[choices.Unknown] = field(default_factory=lambda: list[choices.Unknown]())
    warnings: list[str] = field(default_factory=lambda: list[str]())
    trouble: Trouble | None = None


Check = Callable[[Sequence[str]], tuple[Sequence[str], Sequence[str]]]
"""Looks at the texts of one image; returns what would stop it, and what is only worth a word."""


def look(asked: Asked, wildcards: Wildcards, check: Check | None = None, context: Context | None = None) -> Look:
    """Work out the preview. Faults of the template are in `Look.trouble`; nothing is raised for them."""
    found = Look()
    deadline = time.monotonic() + TOTAL_SECONDS
    settings = context or Context()
    marking = marks.MarkingContext(
        wildcards, syntax=settings.syntax, limits=LIMITS, lenient=settings.lenient, missing=settings.missing
    )
    try:
        templates = {
            POSITIVE: marking.template(asked.prompt),
            NEGATIVE: marking.template(asked.negative, "negative prompt"),
        }
        wildcards.begin()
        for template in templates.values():
            found.sites += choices.sites(template, wildcards)
            found.unknown += choices.unknown(template, wildcards)
        _draw(asked, Expander(marking), templates, found, deadline)
        _count(asked, marking, found, deadline)
    except PromptError as error:
        found.trouble = trouble(error)
    if check is not None:
        told = [check((row.text, row.negative_text)) for row in found.rows]
        found.faults = list(dict.fromkeys(fault for faults, _ in told for fault in faults))[:MOST_WARNINGS]
        found.warnings += [note for _, notes in told for note in notes]
    found.warnings = list(dict.fromkeys(found.warnings))[:MOST_WARNINGS]
    return found


def trouble(error: PromptError) -> Trouble:
    """A fault of a template in pieces that the page can lay out."""
    place = error.place
    return Trouble(error.reason) if place is None else Trouble(error.reason, str(place), place.picture())


def _draw(asked: Asked, expander: Expander, templates: Mapping[str, Template], found: Look, deadline: float) -> None:
    """Fill in the rows, and what was noted while drawing them."""
    characters = 0
    for prompt in _prompts(asked, expander):
        row = Row(prompt.seed, *(marks.parts(prompt.texts[role], templates[role]) for role in (POSITIVE, NEGATIVE)))
        found.rows.append(row)
        found.warnings += prompt.notes
        characters += len(row.text) + len(row.negative_text)
        if time.monotonic() > deadline or characters > TOTAL_CHARACTERS:
            if len(found.rows) < len(asked.seeds):
                found.warnings.append(f"These prompts are long to draw, so only {len(found.rows)} are shown.")
            return


def _prompts(asked: Asked, expander: Expander) -> Iterator[Prompt]:
    roles = {POSITIVE: asked.prompt, NEGATIVE: asked.negative}
    if asked.mode == "combinatorial":
        wanted = min(len(asked.seeds), asked.limit or len(asked.seeds))
        return islice(expander.combinations(roles, asked.seeds[0] if asked.seeds else 0), wanted)
    return expander.batch(roles, asked.seeds, mode=CYCLE if asked.mode == "cyclical" else RANDOM)


def _count(asked: Asked, context: Context, found: Look, deadline: float) -> None:
    """How many combinations there are, and in combinatorial mode how many images that makes."""
    if time.monotonic() > deadline:
        return
    try:
        found.combinations = Expander(context).count({POSITIVE: asked.prompt, NEGATIVE: asked.negative})
    except NotCountable:
        return
    if asked.mode == "combinatorial":
        each = min(found.combinations, asked.limit) if asked.limit else found.combinations
        found.images = each * max(asked.repeats, 1)
        if not asked.limit and 0 < asked.most < found.images:
            found.warnings.append("These are too many to make all of them; say in 'Most images' how many you want.")
