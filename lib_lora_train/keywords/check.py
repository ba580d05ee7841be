"""From keywords as written to checked settings: types, ranges, names. Refuses with the reason and the nearest names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lib_lora_train.keywords.catalogue import LORA, SAMPLER, SCHEDULER, Catalogue
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.read import Tag
from lib_lora_train.keywords.table import ADDNET, BY_NAME, OPTION, OPTIONS_ALLOWED, SIZE, Keyword

Value = int | float | bool | str
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True)
class OptionSpec:
    """What a host says of one of its options: its default gives the type; a range or choices where it has them."""

    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What values are checked against: the host's names, its options, and the attributes that its jobs have.

    `missing` are targets that this host's jobs do not know, `mode` is the job's; sizes go in steps of `size_step` pixels.
    """

    catalogue: Catalogue = field(default_factory=Catalogue)
    options: Mapping[str, OptionSpec] = field(default_factory=lambda: dict[str, OptionSpec]())
    missing: frozenset[str] = frozenset()
    mode: str = "txt2img"
    size_step: int = 8


@dataclass
class Settings:
    """What one image's keywords say. `values` by the table's names, options as `opt:NAME`; `added` goes into the prompt."""

    values: dict[str, Value] = field(default_factory=lambda: dict[str, Value]())
    added: str = ""
    notes: list[str] = field(default_factory=lambda: list[str]())


def check(tags: Sequence[Tag], rules: Rules) -> Settings:
    """The settings that the tags mean. Raises KeywordError at the first that cannot be used."""
    settings = Settings()
    written: dict[str, str] = {}
    for tag in tags:
        if tag.name.startswith(ADDNET):
            continue
        for name, value in _values(tag, rules, settings.notes).items():
            if name in written and settings.values[name] != value:
                settings.notes.append(f"{written[name]} and {tag.written} stand in one prompt: the last one counts.")
            settings.values[name], written[name] = value, tag.written
    if settings.values.get("enable_hr") is True and rules.mode == "txt2img":
        rules = replace(rules, mode="hires")
    for name in settings.values:
        row = BY_NAME.get(name)
        if row is not None and rules.mode not in row.modes:
            settings.notes.append(f"{written[name]} has no effect here: it acts in {' and '.join(row.modes)} only.")
    settings.added = _addnet([tag for tag in tags if tag.name.startswith(ADDNET)], rules, settings.notes)
    return settings


def _values(tag: Tag, rules: Rules, notes: list[str]) -> dict[str, Value]:
    if tag.name == SIZE:
        sizes = re.fullmatch(r"(\d+)\s*[x×*]\s*(\d+)", tag.value.lower())
        if sizes is None:
            raise KeywordError(f"{tag.written}: write width x height in pixels, for example <size:768x1024>.")
        names = ("width", "height")
        return {
            name: _number(tag, _stepped(BY_NAME[name], rules), sizes[at + 1], notes) for at, name in enumerate(names)
        }
    if tag.name == OPTION:
        return _option(tag, rules)
    row = BY_NAME[tag.name]
    if not tag.value:
        raise KeywordError(f"{tag.written}: the value is missing; {row.name} takes {row.range}.")
    if row.target in rules.missing:
        raise KeywordError(f"{tag.written}: this WebUI has no {row.name}; take the tag out.")
    if row.kind in ("whole", "number", "size"):
        return {row.name: _number(tag, _stepped(row, rules), tag.value, notes)}
    if row.kind == "switch":
        return {row.name: _switch(tag)}
    if row.kind == "choice":
        return {row.name: _choice(tag, row.choices)}
    if row.of == SAMPLER:
        return _sampler(tag, row, rules.catalogue)
    if row.kind == "name":
        return {row.name: _named(tag, row.of, tag.value, rules.catalogue)}
    if row.kind == "names":
        words = [word.strip() for word in tag.value.split(",") if word.strip()]
        return {row.name: "\n".join(_named(tag, row.of, word, rules.catalogue) for word in words)}
    return {row.name: tag.value}


def _stepped(row: Keyword, rules: Rules) -> Keyword:
    return replace(row, step=max(row.step, rules.size_step)) if row.kind == "size" else row


def _number(tag: Tag, row: Keyword, text: str, notes: list[str]) -> int | float:
    try:
        number: int | float = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            raise KeywordError(f"{tag.written}: {text!r} is not a number; {row.name} takes {row.range}.") from None
    if not math.isfinite(number) or not row.low <= number <= row.high:
        raise KeywordError(f"{tag.written}: {text} is out of range; {row.name} takes {row.range}.")
    if row.kind == "number":
        return float(number)
    if number != int(number):
        raise KeywordError(f"{tag.written}: {row.name} takes whole numbers, {row.range}.")
    number = int(number)
    if number % row.step:
        rounded = max(int(row.low), (number + row.step // 2) // row.step * row.step)
        notes.append(f"{tag.written}: {number} became {rounded}, because sizes go in steps of {row.step}.")
        return rounded
    return number


def _switch(tag: Tag) -> bool:
    word = tag.value.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise KeywordError(f"{tag.written}: write on or off.")


def _choice(tag: Tag, choices: Sequence[str]) -> str:
    for choice in choices:
        if choice.casefold() == tag.value.casefold():
            return choice
    raise KeywordError(f"{tag.written}: {tag.value!r} is not known; there are {', '.join(choices)}.")


def _named(tag: Tag, kind: str, wanted: str, catalogue: Catalogue) -> str:
    found = catalogue.find(kind, wanted)
    if found.entry is not None:
        return found.entry.name
    if found.ambiguous:
        raise KeywordError(
            f"{tag.written}: several {kind}s fit {wanted!r}: {', '.join(found.candidates)}. Write one of them."
        )
    near = f"; the nearest: {', '.join(found.candidates)}" if found.candidates else ""
    raise KeywordError(f"{tag.written}: there is no {kind} {wanted!r}{near}.")


def _sampler(tag: Tag, row: Keyword, catalogue: Catalogue) -> dict[str, Value]:
    """The sampler, and the schedule where the name ends with one ("DPM++ 2M Karras", as before 1.9)."""
    exact = {
        word.casefold(): entry.name
        for entry in catalogue.entries.get(SAMPLER, ())
        for word in (entry.name, *entry.aliases)
    }
    plain = tag.value.strip().casefold()
    if plain in exact:
        return {row.name: exact[plain]}
    schedules = {
        word.casefold(): entry.name
        for entry in catalogue.entries.get(SCHEDULER, ())
        for word in (entry.name, *entry.aliases)
    }
    for schedule in sorted(schedules, key=len, reverse=True):
        first = plain.removesuffix(f" {schedule}").strip()
        if first != plain and first in exact:
            return {
                row.name: exact[first],
                row.name.replace("sampler_name", "scheduler").replace("sampler", "scheduler"): schedules[schedule],
            }
    return {row.name: _named(tag, SAMPLER, tag.value, catalogue)}


def _option(tag: Tag, rules: Rules) -> dict[str, Value]:
    name, colon, value = (part.strip() for part in tag.value.partition(":"))
    spec = rules.options.get(name)
    if name not in OPTIONS_ALLOWED:
        raise KeywordError(
            f"{tag.written}: the option {name!r} may not be set from a prompt; docs/keywords.md lists those that may."
        )
    if spec is None:
        raise KeywordError(f"{tag.written}: this WebUI has no option {name!r}; take the tag out.")
    if not colon or not value:
        raise KeywordError(f"{tag.written}: the value is missing; write <opt:{name}:value>.")
    inner = Tag(name, value.strip('"'), tag.start, tag.end, tag.written)
    key = f"{OPTION}:{name}"
    if isinstance(spec.default, bool):
        return {key: _switch(inner)}
    if isinstance(spec.default, (int, float)):
        low, high = -math.inf if spec.low is None else spec.low, math.inf if spec.high is None else spec.high
        kind = "whole" if isinstance(spec.default, int) and spec.low is not None else "number"
        row = Keyword(name, kind, "option", name, "", "", low, high)
        number = _number(inner, row, inner.value, [])
        return {key: int(number) if isinstance(spec.default, int) and number == int(number) else number}
    return {key: _choice(inner, spec.choices) if spec.choices else inner.value}


def _addnet(tags: Sequence[Tag], rules: Rules, notes: list[str]) -> str:
    """The old extension's LoRA slots as `<lora:…>` tags. Raises KeywordError for a LoRA that is not there."""
    models: dict[str, Tag] = {}
    weights: dict[str, float] = {}
    for tag in tags:
        slot = tag.name[-1]
        if "_model_" in tag.name:
            models[slot] = tag
        elif "_weight" in tag.name:
            weights[slot] = float(_number(tag, Keyword("weight", "number", "text", "", "", "", -10, 10), tag.value, []))
        elif tag.name == f"{ADDNET}enabled" and not _switch(tag):
            return ""
    added: list[str] = []
    for slot, tag in sorted(models.items()):
        wanted = re.sub(r"\([0-9a-f]{8,}\)$", "", tag.value).strip()
        if wanted.lower() == "none":
            continue
        name = _named(tag, LORA, wanted, rules.catalogue)
        added.append(f"<lora:{name}:{weights.get(slot, 1.0):g}>")
        notes.append(f"{tag.written} became {added[-1]}.")
    return " ".join(added)
