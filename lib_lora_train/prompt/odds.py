"""Statistics of a template: how many prompts it can give and how likely each choice is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lib_lora_train.prompt.errors import NotCountable
from lib_lora_train.prompt.expander import Expander
from lib_lora_train.prompt.trace import Choice

SAMPLE = 2_000


@dataclass(frozen=True)
class Odds:
    """One choice of the template: how often it is met, and how often each value is drawn when it is met.

    `values` holds (text, probability), the likeliest first; a multiple pick's probabilities sum to its mean count.
    """

    path: str
    source: str
    size: int
    met: float
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Statistics:
    """`combinations` is exact, None when only drawing all would tell.

    The odds are measured on `sample` fixed seeds, so with 2,000 they are within about 3 percentage points, and a value
    that was never drawn is not listed; those of single picks out of variants are exact.
    """

    combinations: int | None
    sample: int
    odds: tuple[Odds, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return asdict(self)


def statistics(expander: Expander, template: str, sample: int = SAMPLE, most_values: int = 20) -> Statistics:
    """Count and sample a template. Raises PromptError like drawing does; `most_values` bounds each choice's list."""
    try:
        combinations: int | None = expander.count(template)
    except NotCountable:
        combinations = None
    met: dict[str, list[Choice]] = {}
    for prompt in expander.batch(template, range(sample)):
        for choice in prompt.choices:
            met.setdefault(choice.path, []).append(choice)
    odds = tuple(_odds(path, choices, sample, most_values) for path, choices in sorted(met.items()))
    return Statistics(combinations, sample, odds)


def _odds(path: str, choices: Sequence[Choice], sample: int, most: int) -> Odds:
    first = choices[0]
    drawn = Counter(text for choice in choices for text in choice.texts)
    single = all(len(choice.picks) == 1 for choice in choices) and first.kind == "variant"
    exact: dict[str, float] = {}
    if single:
        for index, odds, text in {(choice.picks[0], choice.odds[0], choice.texts[0]) for choice in choices}:
            exact[text] = exact.get(text, 0.0) + (odds if index >= 0 else 0.0)
    values = [(text, exact.get(text, times / len(choices))) for text, times in drawn.most_common(most)]
    values.sort(key=lambda pair: -pair[1])
    return Odds(path, first.source, first.size, len(choices) / sample, tuple(values))
