"""A sweep: comma lists in settings make the product, one run for each combination, shown before anything starts."""

from __future__ import annotations

import itertools
import math
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import config as configs
from lib_lora_train.train import options
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError

MOST_RUNS = 64
_NUMBERS = re.compile(r"[^0-9A-Za-z.+-]+")


@dataclass(frozen=True)
class Variant:
    """One run of a sweep: its own name, what it changes, and the whole config."""

    name: str
    changes: Mapping[str, Any]
    config: TrainConfig


@dataclass(frozen=True)
class Sweep:
    """All runs, in the order in which they would be queued."""

    variants: tuple[Variant, ...]

    @property
    def sentence(self) -> str:
        """What would be queued, for the question before it."""
        if len(self.variants) == 1:
            return f"1 run: {self.variants[0].name}."
        return f"{len(self.variants)} runs: {', '.join(variant.name for variant in self.variants)}."


def sweep(values: Mapping[str, Any], settings: Mapping[str, str]) -> Sweep:
    """The runs of `values` (nested) under `settings`: dotted name → text, in which commas part alternatives.

    Only numbers, true/false and choices are swept: a comma in a text, a path or a list belongs to it. Pure. Raises
    ConfigError when a value is wrong, or when there are more than MOST_RUNS runs.
    """
    table = configs.known()
    axes: list[tuple[str, list[Any]]] = []
    for name, text in settings.items():
        if name not in table:
            configs.assignments([f"{name}={text}"])  # raises with the nearest name
        axes.append((name, alternatives(table[name], text)))
    count = math.prod(len(axis) for _, axis in axes)
    if count > MOST_RUNS:
        factors = " x ".join(str(len(axis)) for _, axis in axes if len(axis) > 1)
        raise ConfigError(
            f"This sweep makes {factors} = {count} runs; {MOST_RUNS} are the most: leave some values out."
        )
    swept = [name for name, axis in axes if len(axis) > 1]
    variants: list[Variant] = []
    for chosen in itertools.product(*(axis for _, axis in axes)):
        changes = dict(zip((name for name, _ in axes), chosen, strict=True))
        config = configs.from_values(configs.merge(values, nested(changes)))
        name = _name(config.name, {key: changes[key] for key in swept})
        renamed = configs.from_values(configs.merge(configs.to_values(config), {"name": name}))
        variants.append(Variant(name, changes, renamed))
    return Sweep(_distinct(variants))


def alternatives(entry: options.Declared, text: str) -> list[Any]:
    """The values that a setting's text means: several for a number, switch or choice with commas, else one."""
    kinds = [kind for kind in (typing.get_args(entry.type) or (entry.type,)) if kind is not type(None)]
    one_value = kinds[0] in (bool, int, float) or (kinds[0] is str and bool(entry.option.choices))
    if not one_value or "," not in text:
        return [options.parse(text, entry.type)]
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST_RUNS:
        raise ConfigError(f"{entry.name} has {len(parts)} values; {MOST_RUNS} runs are the most.")
    found = [options.parse(part, entry.type) for part in parts]
    return [value for place, value in enumerate(found) if value not in found[:place]]


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested tables."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        target = values
        *sections, key = name.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return values


def _name(base: str, swept: Mapping[str, Any]) -> str:
    """The run's own name: the base's, then each swept setting's last word and value."""
    words = [f"{key.rpartition('.')[2]}{_NUMBERS.sub('', _short(value))}" for key, value in swept.items()]
    return safe_name("-".join([base, *words])) if base else ""


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _distinct(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Names that were cut to the same length, or differ only beyond what is shown, get a number."""
    taken: set[str] = set()
    found: list[Variant] = []
    for variant in variants:
        name, number = variant.name, 2
        while name.lower() in taken:
            name, number = f"{variant.name[:100]}-{number}", number + 1
        taken.add(name.lower())
        config = configs.from_values(configs.merge(configs.to_values(variant.config), {"name": name}))
        found.append(Variant(name, variant.changes, config))
    return tuple(found)
