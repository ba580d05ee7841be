"""The options of a run as fields of a form, generated from their declarations, and back, each value checked. Pure."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lib_lora_train.jobs.sweep import Sweep, nested, sweep
from lib_lora_train.train import config as configs
from lib_lora_train.train import options
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.options import Declared

FIRST = ("name", "trigger", "class_word", "base.path", "dataset.path")
"""Asked on the first page."""
BY_SERVER = ("preset", "save.copy_to")
"""Put in by the server: the preset that was chosen, and the WebUI's own LoRA folder."""
MOST_TEXT = 20_000
BETWEEN = "\u2003"
DEFAULT = "Default:"
WORDS = {
    "unet": "U-Net", "vae": "VAE", "cfg": "CFG", "rslora": "rsLoRA", "snr": "SNR", "tensorboard": "TensorBoard",
}  # fmt: skip
"""How a name's part is written where it is not a plain word."""


@dataclass(frozen=True)
class Field:
    """One option as a person sees it. `kind` is "switch", "choice", "lines" or "text"."""

    name: str
    label: str
    help: str
    kind: str
    choices: tuple[str, ...]
    bounds: str
    default: str
    advanced: bool
    private: bool

    @property
    def section(self) -> str:
        """The section's name; "run" for what stands above all sections."""
        return self.name.rpartition(".")[0] or "run"

    @property
    def told(self) -> str:
        """Help, range and default in one text; the page's script parts it at `BETWEEN`, so that each can be translated."""
        bounds = ["·", self.bounds] if self.bounds else []
        default = ["·", DEFAULT, self.default] if self.default and self.kind != "switch" else []
        return BETWEEN.join((self.help, *bounds, *default))


@lru_cache(maxsize=1)
def fields() -> tuple[Field, ...]:
    """Every option that is not asked on the first page, in the order of declaration."""
    return tuple(_field(entry) for name, entry in configs.known().items() if name not in FIRST + BY_SERVER)


def _field(entry: Declared) -> Field:
    spec, kind = entry.option, _kind(entry.type)
    words = [WORDS.get(word, word) for word in entry.name.rpartition(".")[2].split("_")]
    first = words[0] if words[0] in WORDS.values() else words[0].capitalize()
    label = " ".join([first, *words[1:]]) + (f" ({spec.unit})" if spec.unit and spec.unit not in words else "")
    bounds = f"{spec.low:g} … {spec.high:g}" if spec.low is not None and spec.high is not None else ""
    choices, form = spec.choices, "text"
    if kind is bool:
        form, choices = ("switch", ()) if entry.type is bool else ("choice", ("none", "true", "false"))
    elif choices:
        form = "choice"
    elif typing.get_origin(kind) is list:
        form = "lines"
    return Field(
        entry.name, label, spec.help, form, choices, bounds, written(entry.default), spec.advanced, spec.private
    )


def _kind(kind: Any) -> Any:
    """The type without None."""
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in typing.get_args(kind) else kind


def written(value: Any) -> str:
    """A value as the text in its field; `runs` reads it back as the same value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return "\n".join(str(item) for item in typing.cast("list[Any]", value))
    if options.is_table(value):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value)


def shown(config: TrainConfig) -> dict[str, str | bool]:
    """What each field of the form holds for a config."""
    found: dict[str, str | bool] = {}
    for field in fields():
        value: Any = config
        for part in field.name.split("."):
            value = getattr(value, part)
        found[field.name] = bool(value) if field.kind == "switch" else written(value)
    return found


def restored(given: Mapping[str, Any]) -> dict[str, str | bool]:
    """The values by field name of a form that a browser kept; what no field can hold, and what is private, is left out."""
    found: dict[str, str | bool] = {}
    for field in fields():
        value: Any = given.get(field.name.replace(".", "_"))
        if field.private or (field.kind == "choice" and value not in field.choices):
            continue
        if isinstance(value, bool if field.kind == "switch" else str) and len(str(value)) <= MOST_TEXT:
            found[field.name] = value
    return found


def runs(given: Mapping[str, Any], fixed: Mapping[str, Any]) -> Sweep:
    """The runs that a filled form means: one, or one for each combination where numbers are comma lists.

    `given` is what came from the page by field name, so nothing in it is trusted; `fixed` are dotted settings of the
    server. Raises ConfigError that names the field.
    """
    names = {field.name: field for field in fields()}
    values: dict[str, Any] = {}
    swept: dict[str, str] = {}
    for name, raw in given.items():
        if name not in names:
            raise ConfigError(f"{str(name)[:60]!r} is not a field of this form.")
        read = _read(names[name], configs.known()[name], raw)
        if isinstance(read, _Comma):
            swept[name] = str(read)
        else:
            values[name] = read
    return sweep(nested({**values, **fixed}), swept)


class _Comma(str):
    """A text that holds several values."""

    __slots__ = ()


def _read(field: Field, entry: Declared, raw: Any) -> Any:
    if isinstance(raw, bool) and field.kind == "switch":
        return raw
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        raw = written(raw)
    if not isinstance(raw, str) or field.kind == "switch":
        raise ConfigError(f"{field.name} cannot be {str(raw)[:60]!r}.")
    if len(raw) > MOST_TEXT or "\x00" in raw:
        raise ConfigError(f"{field.name} is too long, or holds signs that no setting has.")
    text = raw.strip()
    if field.kind == "lines":
        return [line.strip() for line in raw.splitlines() if line.strip()]
    kind = _kind(entry.type)
    if typing.get_origin(kind) is dict and text.startswith("{"):
        return _table(field.name, text)
    if kind in (int, float) and "," in text:
        return _Comma(text)
    if kind in (int, float) and not text:
        raise ConfigError(f"{field.name} is empty; its default is {written(entry.default)}.")
    return options.parse(text, entry.type)


def _table(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(
            f'{name} cannot be read: write it as weight_decay=0.2 or as {{"weight_decay": 0.2}}.'
        ) from None
