"""Whether the keywords of drawn prompts would be accepted, said while a person types."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lib_lora_train.keywords.check import Rules, check
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.read import read
from lib_lora_train.ui.preview import Check

NAMES_HOLD_SECONDS = 5


def checker(webui: Any, is_img2img: bool) -> Check:
    """The check against this WebUI's names. A page does not say whether there is a mask or a second pass, so keywords
    that only act there are let pass."""
    rules, foreign = _rules(webui, is_img2img, int(time.monotonic() / NAMES_HOLD_SECONDS))
    return lambda texts: verdict(texts, rules, foreign)


@lru_cache(maxsize=4)
def _rules(webui: Any, is_img2img: bool, _moment: int) -> tuple[Rules, frozenset[str]]:
    mode = "inpaint" if is_img2img else "hires"
    return Rules(webui.catalogue(), webui.options(), mode=mode, size_step=webui.size_step), webui.foreign_tags()


def verdict(texts: Sequence[str], rules: Rules, foreign: frozenset[str] = frozenset()) -> tuple[list[str], list[str]]:
    """What is wrong with one image's keywords, and the notes. `texts` are the prompt and the negative prompt."""
    readings = [read(text, foreign) for text in reversed(texts)]
    notes = [note for reading in readings for note in reading.notes]
    try:
        settings = check([tag for reading in readings for tag in reading.tags], rules)
    except KeywordError as error:
        return [str(error)], notes
    return [], [*notes, *settings.notes]
