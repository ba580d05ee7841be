"""The size of a base's own pictures, from what a stranger's file says of itself; and how the small base is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_lora_train.demo import command, install_command
from lib_lora_train.demo.models import BASE
from lib_lora_train.demo.world.characters import COUNT
from lib_lora_train.train import config as configs
from lib_lora_train.train import presets
from lib_lora_train.train.base import native
from tests.grid.files import write_lora


@pytest.mark.parametrize(
    ("stated", "side"),
    [
        ("128x128", 128), ("768x512", 627), ("1024x1024", 1024), ("", 512), ("wide", 512), ("0x0", 512), ("9x9", 512),
        ("99999x99999", 512), ("512", 512), ("-512x512", 512),
    ],
)  # fmt: skip
def test_the_size_is_what_the_file_states_if_it_can_be(stated: str, side: int, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", 1, {"modelspec.resolution": stated} if stated else None)
    assert native.size(path) == side


def test_a_folder_says_it_in_its_config_and_nothing_breaks_on_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    for value, side in ((96, 768), ("x", 512), (10**9, 512)):
        (tmp_path / "unet" / "config.json").write_text(json.dumps({"sample_size": value}))
        assert native.size(tmp_path) == side
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    assert native.size(tmp_path / "broken.safetensors") == 512 == native.size(tmp_path / "nothing.safetensors")
    assert not native.is_small_base(tmp_path / "broken.safetensors") and not native.is_small_base(tmp_path)


def test_the_small_base_is_known_wherever_it_lies_and_its_preset_is_the_demo_s(tmp_path: Path) -> None:
    copy = tmp_path / "renamed.safetensors"
    copy.write_bytes(BASE.read_bytes())
    assert native.is_small_base(copy) and native.size(copy) == 128
    assert native.SMALL_TITLE == install_command.TITLE
    preset = configs.from_values(presets.read(presets.SHIPPED / f"{native.SMALL_PRESET}.toml").values)
    values = configs.merge(command._values(tmp_path, tmp_path, BASE, command.STEPS), command.FOR_THE_SMALL_BASE)
    demo = configs.from_values(values)
    assert (preset.adapter, preset.optimizer, preset.loop) == (demo.adapter, demo.optimizer, demo.loop)
    for name in ("resolution", "bucket_min", "bucket_max", "bucket_step", "repeats"):
        assert getattr(preset.dataset, name) == getattr(demo.dataset, name), (name, COUNT)
