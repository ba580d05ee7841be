"""How a run's config is put together: preset, file, command line, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs.train_command import compose
from lib_lora_train.train.errors import ConfigError

FILE: dict[str, Any] = {"name": "cat", "adapter": {"rank": 7}}


@pytest.mark.parametrize(
    ("option", "in_file", "settings"),
    [("person", None, []), (None, "person", []), (None, None, ["preset=person"]), (None, "small", ["preset=person"])],
    ids=["--preset", "in the file", "--set", "--set before the file"],
)
def test_a_preset_lies_under_the_file_wherever_it_is_named(
    tmp_path: Path, option: str | None, in_file: str | None, settings: list[str]
) -> None:
    values = FILE | ({"preset": in_file} if in_file else {})
    config = compose(values, option, [*settings, "optimizer.arguments.weight_decay=0.5"], tmp_path)
    assert config.preset == "person"
    assert config.optimizer.name == "DAdaptAdam" and config.dataset.resolution == 768
    assert config.adapter.rank == 7
    assert config.optimizer.arguments == {"decouple": True, "use_bias_correction": True, "weight_decay": 0.5}


def test_a_person_s_own_preset_goes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "person.toml").write_text("[adapter]\nrank = 3\n", encoding="utf-8")
    assert compose({"name": "cat"}, "person", [], tmp_path).adapter.rank == 3


@pytest.mark.parametrize("text", ['[base]\npath = "/etc/passwd"', "[adapter]\nrnk = 3", "[adapter]\nrank = 0", "= 1"])
def test_s6_a_stranger_s_preset_is_checked(tmp_path: Path, text: str) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "odd.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        compose({"name": "cat"}, "odd", [], tmp_path)


@pytest.mark.parametrize("name", ["../person", "/etc/passwd", "nobody", "a/../../b"])
def test_s6_a_preset_s_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        compose({"name": "cat"}, name, [], tmp_path)
