"""A run's config: put together, checked, changed, compared. Its options are declared in `sections`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import notify, options
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.options import option
from lib_lora_train.train.sections import (
    ADAPTIVE,
    AdapterConfig,
    BaseConfig,
    CacheConfig,
    DatasetConfig,
    LogConfig,
    LoopConfig,
    ObjectiveConfig,
    OptimizerConfig,
    SamplesConfig,
    SaveConfig,
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run."""

    name: str = option("", "Name of the LoRA: its files are NAME-000001.safetensors … and NAME.safetensors.")
    trigger: str = option("", "Rare word that stands for your subject, such as `ohwx`.")
    class_word: str = option("", "What the subject is, such as `man`; trigger and class together start the prompt.")
    seed: int = option(1234, "Everything drawn at random follows from it.", low=0, high=2**63 - 1)
    preset: str = option("", "The preset that this run started from.", advanced=True)
    expert: bool = option(
        False, "Let settings pass that hardly ever make sense: larger ranks, any learning rate.", advanced=True
    )
    base: BaseConfig = field(default_factory=BaseConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.name:
            safe = safe_name(self.name)
            if safe != self.name or re.search(r"[\r\n\t]", self.name):
                raise ConfigError(f"name = {self.name!r} cannot be a file name on every system; {safe!r} can.")
        if not (self.adapter.unet or self.adapter.text_encoder):
            raise ConfigError("Nothing would be trained: turn on adapter.unet or adapter.text_encoder.")
        if self.objective.min_timestep >= self.objective.max_timestep:
            raise ConfigError("objective.min_timestep must be below objective.max_timestep.")
        if self.dataset.bucket_min > self.dataset.resolution or self.dataset.bucket_max < self.dataset.resolution:
            raise ConfigError(
                f"dataset.resolution = {self.dataset.resolution} px must lie between dataset.bucket_min ({self.dataset.bucket_min} px) "
                f"and dataset.bucket_max ({self.dataset.bucket_max} px)."
            )
        rate = self.optimizer.learning_rate
        if self.log.notify:
            notify.checked(self.log.notify)
        bold = self.optimizer.name not in ADAPTIVE and self.optimizer.name != "Adafactor" and rate > 0.1
        if bold and not self.expert:
            raise ConfigError(
                f"optimizer.learning_rate = {rate:g} is made for DAdaptAdam and Prodigy; {self.optimizer.name} would destroy the LoRA in a few steps: try 0.0001. If you mean it, set expert = true."
            )

    @property
    def trigger_prompt(self) -> str:
        """Trigger and class together: what starts the prompt (`ohwx man`)."""
        return f"{self.trigger} {self.class_word}".strip()


def known() -> dict[str, options.Declared]:
    """Every option by its dotted name."""
    return {entry.name: entry for entry in options.declared(TrainConfig)}


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """A checked config from nested plain values. Raises ConfigError."""
    return options.build(TrainConfig, values, expert=values.get("expert") is True)


def to_values(config: TrainConfig) -> dict[str, Any]:
    """The nested plain values of every option, None left out (TOML has no null)."""
    return _prune(dataclasses.asdict(config))


def _prune(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _prune(value) if options.is_table(value) else value for key, value in values.items() if value is not None
    }


def located(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same values with every relative path taken from `folder`, where their file lies."""
    placed = merge(values)
    for name, entry in known().items():
        section, _, key = name.rpartition(".")
        table = placed.get(section) if section else placed
        if entry.option.path and options.is_table(table) and isinstance(table.get(key), str) and table[key]:
            table[key] = str((folder / Path(table[key]).expanduser()).resolve())
    return placed


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values laid over each other, later ones on top; `optimizer.arguments` and other tables are merged too."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            merged[key] = merge(below if options.is_table(below) else {}, value) if options.is_table(value) else value
    return merged


def assignments(words: Iterable[str]) -> dict[str, Any]:
    """Nested values of `--set section.key=value` words. Raises ConfigError for unknown keys."""
    table = known()
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(f"--set {word}: write it as key=value, such as optimizer.learning_rate=1e-4.")
        entry = table.get(name)
        value: Any = options.parse(text, entry.type) if entry else _table_item(table, name, text)
        target = values
        *sections, key = name.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return values


def _table_item(table: Mapping[str, options.Declared], name: str, text: str) -> Any:
    """The value of `optimizer.arguments.weight_decay=0.2`: an entry of an option that is a table."""
    if name.rpartition(".")[0] in table:
        return options.number(text)
    import difflib

    near = difflib.get_close_matches(name, table, n=1) or [entry for entry in table if entry.endswith("." + name)]
    raise ConfigError(f"--set {name}: there is no such setting{f'; did you mean {near[0]}?' if near else '.'}")


def changeable() -> str:
    """The options that a resumed run may change, for people."""
    return ", ".join(name for name, entry in known().items() if entry.option.on_resume)


def changes(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Options that differ, by dotted name: (old, new)."""
    before, after = _flat(dataclasses.asdict(old)), _flat(dataclasses.asdict(new))
    return {name: (before.get(name), after.get(name)) for name in known() if before.get(name) != after.get(name)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    table = known()
    flat: dict[str, Any] = {}

    def walk(prefix: str, layer: Mapping[str, Any]) -> None:
        for key, value in layer.items():
            name = prefix + key
            if name not in table and options.is_table(value):
                walk(name + ".", value)
            else:
                flat[name] = value

    walk("", values)
    return flat
