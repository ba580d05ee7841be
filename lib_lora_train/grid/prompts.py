"""The prompts of a grid: a test card of several, with the trigger put in, LoRA tags of the run taken out, choices drawn once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lib_lora_train.prompt import NEGATIVE, POSITIVE, Expander

TRIGGER = "[trigger]"
_TAG = re.compile(r"<lora:([^:>]+)(?::[^>]*)?>", re.IGNORECASE)
_TAG_WITH_COMMA = re.compile(r"\s*,?\s*<lora:([^:>]+)(?::[^>]*)?>", re.IGNORECASE)


@dataclass(frozen=True)
class GridPrompt:
    """A prompt of the card: a template. Without `trigger` the trigger is not added, to see what leaks into other prompts."""

    label: str
    text: str
    negative: str = ""
    trigger: bool = True


@dataclass(frozen=True)
class Drawn:
    """A prompt ready to draw, frozen for all cells that are compared: the tag is added cell by cell."""

    prompt: int
    seed: int
    text: str
    negative: str
    notes: tuple[str, ...] = ()


def test_card(trigger: str) -> tuple[GridPrompt, ...]:
    """Four prompts that tell a good epoch from an over-trained one, for a run whose trigger is known."""
    kind = " ".join(trigger.split(",")[0].split()[1:])
    card = [
        GridPrompt("in its world", TRIGGER if trigger else "a photo"),
        GridPrompt(
            "out of its world", f"{TRIGGER if trigger else 'a photo'}, as an astronaut on the moon, oil painting"
        ),
        GridPrompt("style bleed", "a red teapot on a wooden table", trigger=False),
    ]
    if kind:
        card.append(GridPrompt("without the trigger", f"a {kind}", trigger=False))
    return tuple(card)


def draw_all(
    prompts: Sequence[GridPrompt], seeds: Sequence[int], expander: Expander, trigger: str, names: Iterable[str]
) -> list[Drawn]:
    """Every prompt drawn once for each seed, in order. Equal for all epochs, weights and checkpoints.

    Raises PromptError with the place when a template is wrong.
    """
    known = frozenset(names)
    return [
        _draw(number, prompts[number], seed, expander, trigger, known)
        for number in range(len(prompts))
        for seed in seeds
    ]


def other_loras(text: str) -> list[str]:
    """Names in `<lora:NAME:…>` tags, for a renderer that has to know them all."""
    return [match.group(1) for match in _TAG.finditer(text)]


def _draw(number: int, prompt: GridPrompt, seed: int, expander: Expander, trigger: str, names: frozenset[str]) -> Drawn:
    expanded = expander.draw({POSITIVE: prompt.text, NEGATIVE: prompt.negative}, seed)
    notes = list(expanded.notes)
    # The trigger is put in after drawing, so that a `{` in it is text.
    text, found = without_tags(expanded.texts[POSITIVE], names)
    if found:
        notes.append(
            f"Prompt “{prompt.label}”: {found[0]} is replaced, as the grid itself sets the LoRA and its weight."
        )
    text = text.replace(TRIGGER, trigger).strip()
    if prompt.trigger and trigger and not _says(text, trigger) and not found:
        text = with_trigger(text, trigger)
        notes.append(f"Prompt “{prompt.label}”: the trigger “{trigger}” is put before it.")
    return Drawn(number, seed, text, expanded.texts[NEGATIVE], tuple(notes))


def with_trigger(text: str, trigger: str) -> str:
    """`text` with the trigger before it, unless it says it already."""
    return text if not trigger or _says(text, trigger) else f"{trigger}, {text}" if text else trigger


def without_tags(text: str, names: frozenset[str]) -> tuple[str, list[str]]:
    """`text` without the `<lora:…>` tags of `names` (in small letters; a tag may have a folder before the name)."""
    found: list[str] = []

    def drop(match: re.Match[str]) -> str:
        name = re.split(r"[/\\]", match.group(1).strip())[-1].casefold().removesuffix(".safetensors")
        if name not in names:
            return match.group(0)
        found.append(match.group(0).strip(" ,"))
        return ""

    return _TAG_WITH_COMMA.sub(drop, text).lstrip(" ,"), found


def _says(text: str, trigger: str) -> bool:
    """Whether the words of the trigger are in the prompt already, at least the first of them."""
    first = trigger.split(",")[0].split()
    return bool(first) and re.search(rf"(?<!\w){re.escape(first[0])}(?!\w)", text, re.IGNORECASE) is not None
