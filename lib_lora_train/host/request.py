"""What the form of one generation says. Declared once: the accordion, the API's arguments and the docs follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from lib_lora_train.host.errors import RequestError

Mode = Literal["random", "combinatorial", "cyclical"]
MODES: tuple[Mode, ...] = ("random", "combinatorial", "cyclical")
TITLE = "LoRA Loop prompts"
"""The script's title; its lower-cased form is the key in the API's `alwayson_scripts`."""


def _field(default: Any, label: str, explanation: str) -> Any:
    return field(default=default, metadata={"label": label, "help": explanation})


@dataclass(frozen=True)
class Request:
    """The form's fields, in the order of the API's `args`; the first of `args` may also be an object with these names."""

    enabled: bool = _field(
        True, "Random prompts and keywords", "Expand choices, wildcards and keywords in the prompts."
    )
    mode: Mode = _field(
        "random",
        "Mode",
        "Random: each image draws from its own seed. Combinatorial: every combination once. "
        "Cyclical: each choice steps on by one with each image, on through Generate Forever.",
    )
    limit: int = _field(0, "Most images", "Combinatorial mode: stop after this many combinations; 0 makes all of them.")
    repeats: int = _field(1, "Repeats", "Combinatorial mode: how many images each combination gets.")
    fixed_seed: bool = _field(False, "One seed for all images", "All images have the first one's seed; prompts vary.")
    unlinked_seed: bool = _field(
        False, "Prompts do not follow the seed", "Prompts are drawn anew each time, even when the seed stays."
    )

    @classmethod
    def read(cls, given: Sequence[Any]) -> Request:
        """The request that a script's arguments or the API's `args` mean. Raises RequestError with field and cure."""
        named: dict[str, Any] = dict(zip((one.name for one in fields(cls)), given, strict=False))
        if given and isinstance(given[0], Mapping):
            named = dict(cast("Mapping[str, Any]", given[0]))
        known = {one.name: one for one in fields(cls)}
        for name, value in named.items():
            if name not in known:
                raise RequestError(f"{TITLE}: there is no field {name!r}; there are {', '.join(known)}.")
            named[name] = known[name].default if value is None else _checked(name, value, known[name].default)
        return cls(**named)


LEAST = {"limit": 0, "repeats": 1}


def _checked(name: str, value: Any, default: Any) -> Any:
    if name == "mode":
        if isinstance(value, str) and value.lower() in MODES:
            return value.lower()
        raise RequestError(f"{TITLE}: mode = {value!r} is not known: use one of {', '.join(MODES)}.")
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        raise RequestError(f"{TITLE}: {name} = {value!r} is not true or false.")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < LEAST[name]:
        raise RequestError(f"{TITLE}: {name} = {value!r} is not a whole number of {LEAST[name]} or more.")
    return int(value)
