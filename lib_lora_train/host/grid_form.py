"""What the epoch grid's form says. Declared once: the page, the API's arguments and the docs follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from lib_lora_train.grid.layout import FORMATS
from lib_lora_train.host.errors import RequestError

TITLE = "LoRA Loop epoch grid"
"""The script's title; its lower-cased form is the API's `script_name`."""
MOST_SEEDS = 64


def _field(default: Any, label: str, explanation: str) -> Any:
    return field(default=default, metadata={"label": label, "help": explanation})


@dataclass(frozen=True)
class GridForm:
    """The form's fields, in the order of the API's `script_args`; the first may also be an object with these names."""

    run: str = _field("", "LoRA", "A file of the run, or its name: its epochs are found by themselves.")
    epochs: str = _field("all", "Epochs", "all, last:3, every:2, or 1-4,8,final.")
    weights: str = _field("0,0.6,0.8,1", "Weights", "0 is the control without the LoRA; 0.2-1.0:0.2 counts up.")
    prompts: str = _field(
        "", "More prompts", "One a line, compared beside the prompt above; after a dash (-) the trigger is left out."
    )
    seeds: int = _field(1, "Seeds", "How many seeds, from the one above on.")
    checkpoints: str = _field("", "Checkpoints", "Names, separated by commas; empty is the one in use.")
    axis: str = _field("", "Further axis", "A keyword and its values, such as cfg_scale=4,7.")
    control: bool = _field(True, "Without the LoRA", "A column of pictures without the LoRA, to compare with.")
    tile: int = _field(320, "Picture size on the sheet", "Longest side in pixels.")
    format: str = _field("jpeg", "Format of the sheet", "The single pictures are kept as PNG in any case.")

    @classmethod
    def read(cls, given: Sequence[Any]) -> GridForm:
        """The form that the script's arguments mean. Raises RequestError with field and cure."""
        names = [one.name for one in fields(cls)]
        named: dict[str, Any] = dict(zip(names, given, strict=False))
        if given and isinstance(given[0], Mapping):
            named = dict(cast("Mapping[str, Any]", given[0]))
        for one in fields(cls):
            if named.get(one.name, one) is None:
                named[one.name] = one.default  # a list of which nothing is chosen
            if one.name in named:
                named[one.name] = _checked(one.name, named[one.name], one.default)
        unknown = named.keys() - set(names)
        if unknown:
            raise RequestError(f"{TITLE}: there is no field {min(unknown)!r}; there are {', '.join(names)}.")
        form = cls(**named)
        if not form.run.strip():
            raise RequestError(f"{TITLE}: choose the LoRA whose epochs are compared.")
        return form


def lines_of(prompt: str, more: str) -> list[tuple[str, bool]]:
    """The page's prompt and the form's lines, each with whether it wants the trigger."""
    lines = [line.strip() for line in more.splitlines() if line.strip()]
    texts = [(prompt, True)] if prompt.strip() or not lines else []
    return texts + [(line[1:].strip(), False) if line.startswith("-") else (line, True) for line in lines]


def _checked(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        raise RequestError(f"{TITLE}: {name} = {value!r} is not true or false.")
    if isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 1:
            raise RequestError(f"{TITLE}: {name} = {value!r} is not a whole number of 1 or more.")
        if name == "seeds" and value > MOST_SEEDS:
            raise RequestError(f"{TITLE}: seeds = {value} is more than {MOST_SEEDS}.")
        return int(value)
    if not isinstance(value, str) or len(value) > 65_536:
        raise RequestError(f"{TITLE}: {name} is not a text.")
    if name == "format" and value not in FORMATS:
        raise RequestError(f"{TITLE}: format = {value!r} is not known: use one of {', '.join(FORMATS)}.")
    return value
