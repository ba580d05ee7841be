"""One declaration of an option, many uses: validation, help, command line, TOML, documentation, `ss_*` metadata.

An option is a dataclass field made by `option(...)`. The type comes from the annotation (bool, int, float, str,
`list[str]`, `dict[str, ...]`, or any of them with None), the rest from here. No pydantic: hosts pin two majors of it.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from lib_lora_train.train.errors import ConfigError

_SPEC = "option"


@dataclass(frozen=True)
class Option:
    """What people and programs may know of one setting."""

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    advanced: bool = False
    path: bool = False
    private: bool = False
    """Belongs to a person or a machine: never in a preset."""
    limit: float | None = None
    """How far an expert may go beyond `high`."""
    on_resume: bool = False
    """May be changed when a run is resumed (it does not change what was already learned)."""


def option(default: Any, help: str, **spec: Any) -> Any:
    """A dataclass field that carries an `Option`. A list or dict default is copied for each config."""
    metadata = {_SPEC: Option(help=help, **spec)}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)  # type: ignore[reportUnknownVariableType]
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Declared:
    """An option where it stands: `name` is dotted ("optimizer.learning_rate")."""

    name: str
    type: Any
    default: Any
    option: Option


def declared(kind: type, prefix: str = "") -> Iterator[Declared]:
    """All options of a config class and its sections, in the order of declaration."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from declared(hints[field.name], f"{prefix}{field.name}.")
        elif _SPEC in field.metadata:
            default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
            yield Declared(prefix + field.name, hints[field.name], default, field.metadata[_SPEC])


def build(kind: type, values: Mapping[str, Any], prefix: str = "", expert: bool = False) -> Any:
    """An instance of the config class from nested plain values (a TOML document), each one checked.

    An `expert` may go beyond the usual ranges, up to each option's limit. Raises ConfigError that names the field, the value and what is allowed.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known here: {', '.join(fields)}."
            raise ConfigError(f"{name} is not a setting{hint}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{name} is a section, so it must be written as [{name}] with settings under it.")
            chosen[key] = build(
                typing.cast(type, hints[key]), typing.cast("Mapping[str, Any]", value), name + ".", expert
            )
        else:
            chosen[key] = check(name, value, hints[key], fields[key].metadata[_SPEC], expert)
    return kind(**chosen)


def is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a table of settings."""
    return isinstance(value, dict)


def check(name: str, given: Any, kind: Any, spec: Option, expert: bool = False) -> Any:
    """`given` as the option's type, or ConfigError with the field's name, unit and range."""
    value: Any = _typed(name, given, kind)
    numbers = [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
    for number in numbers:
        low, high = spec.low, (spec.limit or spec.high) if expert else spec.high
        if not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high):
            bounds = (
                f"from {_plain(low)} to {_plain(high)}"
                if low is not None and high is not None
                else f"{_plain(low)} or more"
            )
            unit = f" {spec.unit}" if spec.unit else ""
            further = (
                "" if expert or spec.limit is None or number > spec.limit else " If you mean it, set expert = true."
            )
            raise ConfigError(f"{name} = {_plain(number)}{unit} is out of range: use {bounds}{unit}.{further}")
    if spec.choices and value is not None:
        words: list[Any] = value if isinstance(value, list) else [value]  # type: ignore[reportUnknownVariableType]
        for word in words:
            if word not in spec.choices:
                near = difflib.get_close_matches(str(word), spec.choices, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"{name} = {word!r} is not known: use one of {', '.join(spec.choices)}{hint}")
    return typing.cast(Any, value)


def _plain(number: float | None) -> str:
    return "any" if number is None else f"{number:g}" if abs(number) < 1e6 else f"{number:.0f}"


def _typed(name: str, value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(name, value, next(argument for argument in arguments if argument is not type(None)))
    if origin is list and isinstance(value, (list, tuple)):
        return [_typed(name, item, arguments[0]) for item in typing.cast("list[Any]", value)]
    if origin is dict and isinstance(value, Mapping):
        items = typing.cast("Mapping[str, Any]", value).items()
        return {str(key): item if arguments[1] is Any else _typed(name, item, arguments[1]) for key, item in items}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind if origin is None else origin) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    raise ConfigError(f"{name} = {value!r} is not {_article(kind)}.")


def _article(kind: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}
    return words.get(kind, "a list" if typing.get_origin(kind) is list else "a table")


def parse(text: str, kind: Any) -> Any:
    """The value that a command line's `key=text` means for an option of type `kind`; checked later by `build`.

    A list is comma separated, or JSON where its items hold commas; a table is `key=value` words. "none" means None
    where None is allowed. What cannot be read stays text, so that the type error names the field.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.strip().lower() in ("none", ""):
            return None
        return parse(text, next(argument for argument in arguments if argument is not type(None)))
    if origin is list and text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if origin is list:
        return [parse(part.strip(), arguments[0]) for part in text.split(",") if part.strip()]
    if origin is dict:
        pairs = (part.strip(", ").partition("=") for part in re.split(r"[\s,]+(?=[^\s,=]+=)", text) if part.strip(", "))
        return {key: number(value) for key, _, value in pairs}
    if kind is bool:
        return {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }.get(text.strip().lower(), text)
    if kind in (int, float):
        return number(text)
    return text


def number(text: str) -> Any:
    """`text` as bool, int or float where it reads as one ("True", "0.99", "1e-4"), else as it is."""
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
