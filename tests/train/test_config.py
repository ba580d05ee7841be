"""The config: one declaration that TOML files, the command line and resuming agree on."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from lib_lora_train.train import config as configs
from lib_lora_train.train import toml
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.options import Declared

WORDS = some.text(some.characters(exclude_categories=("Cs",)), max_size=20)
NUMBERS = some.floats(-1e9, 1e9, allow_nan=False)
LIMITED = {
    # What depends on other options is kept where no two of them can clash.
    "name": some.from_regex(r"[a-z]{1,12}", fullmatch=True),
    "log.notify": some.sampled_from(["", "https://example.org/hook"]),
    "adapter.unet": some.just(True),
    "dataset.resolution": some.integers(256, 1024),
    "dataset.bucket_min": some.integers(64, 256),
    "dataset.bucket_max": some.integers(1024, 4096),
    "objective.min_timestep": some.integers(0, 499),
    "objective.max_timestep": some.integers(500, 1000),
    "optimizer.learning_rate": some.floats(0, 0.1),
}


def values_of(entry: Declared) -> some.SearchStrategy[Any]:
    """Any value that the option allows."""
    spec, kind = entry.option, entry.type
    if entry.name in LIMITED:
        return LIMITED[entry.name]
    optional = type(None) in typing.get_args(kind)
    kind = next((one for one in typing.get_args(kind) if one is not type(None)), kind) if optional else kind
    if spec.choices:
        found: some.SearchStrategy[Any] = some.sampled_from(spec.choices)
    elif kind is bool:
        found = some.booleans()
    elif kind is int:
        found = some.integers(int(spec.low or 0), int(spec.high or 10))
    elif kind is float:
        found = some.floats(spec.low, spec.high, allow_nan=False)
    elif typing.get_origin(kind) is list:
        found = some.lists(WORDS, max_size=3)
    elif typing.get_origin(kind) is dict:
        items = NUMBERS if typing.get_args(kind)[1] is float else some.one_of(NUMBERS, some.booleans(), WORDS)
        found = some.dictionaries(WORDS, items, max_size=3)
    else:
        found = WORDS
    return some.one_of(some.none(), found) if optional else found


@some.composite
def configurations(draw: Any) -> TrainConfig:
    values: dict[str, Any] = {}
    for name, entry in configs.known().items():
        section, _, key = name.rpartition(".")
        (values.setdefault(section, {}) if section else values)[key] = draw(values_of(entry))
    return configs.from_values(values)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(configurations())
def test_any_config_survives_toml(config: TrainConfig) -> None:
    document = toml.write(configs.to_values(config))
    assert configs.from_values(toml.parse(document)) == config


def test_every_option_is_reached_by_set() -> None:
    for name, entry in configs.known().items():
        value = entry.option.choices[-1] if entry.option.choices else {bool: "true", str: "x"}.get(entry.type, "")
        if not value:
            value = "a=1" if typing.get_origin(entry.type) is dict else str(entry.option.high or 1)
        low_enough = {
            "optimizer.learning_rate": "0.01",
            "dataset.bucket_min": "128",
            "dataset.resolution": "768",
            "log.notify": "http://a/b",
        }
        word = f"{name}={low_enough.get(name, value)}"
        changed = configs.changes(configs.from_values({}), configs.from_values(configs.assignments([word])))
        default = value == str(entry.default).lower() or value == entry.default
        assert default or list(changed) == [name], word


def test_set_names_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"rank: there is no such setting; did you mean adapter\.rank"):
        configs.assignments(["rank=4"])
    with pytest.raises(ConfigError, match="key=value"):
        configs.assignments(["adapter.rank"])
    assert configs.assignments(["optimizer.arguments.weight_decay=0.2"]) == {
        "optimizer": {"arguments": {"weight_decay": 0.2}}
    }


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("name=a/b", "cannot be a file name"),
        ("name=NUL", "cannot be a file name"),
        ("dataset.resolution=200", "between dataset.bucket_min"),
        ("objective.min_timestep=999", ""),
        ("optimizer.learning_rate=1", "DAdaptAdam"),
    ],
)
def test_settings_that_do_not_go_together(setting: str, said: str) -> None:
    others = ("objective.max_timestep=500",) if not said else ()
    with pytest.raises(ConfigError, match=said or "max_timestep"):
        configs.from_values(configs.assignments([setting, *others]))


def test_paths_are_taken_from_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('\ufeff[base]\npath = "models/a.safetensors"\n', encoding="utf-8")
    values = configs.located(toml.read(tmp_path / "run.toml"), tmp_path)
    assert values["base"]["path"] == str(tmp_path.resolve() / "models/a.safetensors")


def test_a_broken_file_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("a = 1\nb = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.toml.*line 2"):
        toml.read(tmp_path / "run.toml")


def test_layers_lie_over_each_other_and_stay_as_they_are() -> None:
    below = {"optimizer": {"name": "Prodigy", "arguments": {"d0": 1e-6}}}
    above = {"optimizer": {"arguments": {"weight_decay": 0.1}}}
    merged = configs.merge(below, above)
    assert merged["optimizer"] == {"name": "Prodigy", "arguments": {"d0": 1e-6, "weight_decay": 0.1}}
    assert below == {"optimizer": {"name": "Prodigy", "arguments": {"d0": 1e-6}}}
