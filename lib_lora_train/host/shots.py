"""The images of one job: for each its texts, seeds and settings, out of the templates and its own seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib_lora_train.keywords.check import Rules, Settings, check
from lib_lora_train.keywords.read import Tag, networks, read
from lib_lora_train.keywords.table import BY_NAME
from lib_lora_train.prompt import NEGATIVE, POSITIVE, Prompt
from lib_lora_train.prompt.choose import RANDOM

HIRES = "hires_prompt"
HIRES_NEGATIVE = "hires_negative_prompt"
ROLES = (POSITIVE, NEGATIVE, HIRES, HIRES_NEGATIVE)
READ_LAST = (HIRES_NEGATIVE, NEGATIVE, HIRES, POSITIVE)
"""Where a keyword stands in several texts, the later of these counts."""


@dataclass
class Shot:
    """One image. `texts` are what the WebUI gets, without our tags; `values` the settings; `drawn` the trace."""

    number: int
    seed: int
    subseed: int
    texts: dict[str, str]
    values: dict[str, int | float | bool | str]
    drawn: Prompt
    templates: Mapping[str, str]
    mode: str = RANDOM
    notes: tuple[str, ...] = ()

    @property
    def batch_values(self) -> dict[str, int | float | bool | str]:
        """The settings that the whole batch must share."""
        alone = ("image", "job", "text")
        return {k: v for k, v in self.values.items() if k not in BY_NAME or BY_NAME[k].recipe not in alone}

    @property
    def tags(self) -> tuple[tuple[str, ...], ...]:
        """The networks of the prompt and of the hires prompt; the WebUI reads the first prompt of a batch only."""
        return tuple(networks(self.texts[role]) for role in (POSITIVE, HIRES))


@dataclass
class Texts:
    """What reading one drawn prompt gave."""

    texts: dict[str, str]
    settings: Settings = field(default_factory=Settings)
    notes: list[str] = field(default_factory=lambda: list[str]())


def read_texts(drawn: Mapping[str, str], rules: Rules, foreign: frozenset[str]) -> Texts:
    """Take the keywords out of all texts of a drawn prompt and check them. Raises KeywordError.

    An empty hires text means the prompt's own, as in the WebUI.
    """
    found = Texts({role: drawn.get(role, "") for role in ROLES})
    tags: list[Tag] = []
    for role in READ_LAST:
        reading = read(found.texts[role], foreign)
        found.texts[role] = reading.text
        found.notes += reading.notes
        tags += reading.tags
    found.settings = check(tags, rules)
    extra = str(found.settings.values.pop("negative_prompt", ""))
    if extra:
        found.texts[NEGATIVE] = ", ".join(filter(None, (found.texts[NEGATIVE], extra)))
    if found.settings.added:
        found.texts[POSITIVE] = f"{found.texts[POSITIVE]} {found.settings.added}".strip()
    if not drawn.get(HIRES):
        found.texts[HIRES] = found.texts[POSITIVE]
    if not drawn.get(HIRES_NEGATIVE):
        found.texts[HIRES_NEGATIVE] = found.texts[NEGATIVE]
    found.notes += found.settings.notes
    return found
