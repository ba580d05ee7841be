"""`demo`, cut short: what it prints, what it leaves, and its picture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from lib_lora_train import cli
from lib_lora_train.demo import command, picture
from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.environment.activate import PACKAGES_VARIABLE
from lib_lora_train.environment.entry import wanted_here
from lib_lora_train.environment.locate import HOME_VARIABLE
from lib_lora_train.environment.state import running


def test_the_picture_has_a_line_for_each_place_and_a_tile_for_each_answer(tmp_path: Path) -> None:
    files = {}
    for number, name in enumerate(("photo", "base", "one", "two")):
        files[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (40, 30), (40 * number, 0, 200)).save(files[name])
    answers = [("without the LoRA", files["base"]), ("epoch 1", files["one"]), ("epoch 2", files["two"])]
    rows = [picture.Row("on a beach", "", answers), picture.Row("in the snow", "in no photo", answers)]
    sheet = picture.compose([files["photo"]] * 16, rows, "a photo of zorpi creature, …")
    colours = {colour: count for count, colour in sheet.getcolors(1 << 20) or []}
    tile = picture.TILE**2
    assert all(colours[40 * number, 0, 200] == 2 * tile for number in (1, 2, 3))
    assert colours[0, 0, 200] == 8 * picture.SMALL**2
    assert sheet.width < 1300 and sheet.height < 1300


def test_it_asks_for_three_places_one_of_which_is_in_no_photo() -> None:
    seen = [place in command.FAMILIAR_PLACES for place in command.PLACES]
    assert set(command.PLACES) <= set(PLACES) and seen.count(False) == 1


@pytest.mark.slow
@pytest.mark.torch
def test_the_whole_loop(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "DRAWING", "--w 64 --h 64 --s 1 --l 5 --d 1 --ss dpmpp_2m")
    if PACKAGES_VARIABLE in os.environ:  # `make test-torch`: beside a WebUI's torch, in an environment that was built
        (tmp_path / "environment").symlink_to(Path(os.environ[HOME_VARIABLE]) / "environment")
    elif running(wanted_here(tmp_path)) is None:
        pytest.skip("the trainer's packages are not this Python's")
    code = cli.main(
        ["demo", "--out", str(tmp_path / "out"), "--home", str(tmp_path), "--steps", "3", "--set", "loop.batch_size=1"]
    )
    said = capfd.readouterr().out
    assert code == 0, said
    with Image.open(tmp_path / "out" / "epochs.png") as sheet:
        assert sheet.width > 1000
    assert len(list((tmp_path / "out" / "job" / "out").glob("zorpi*.safetensors"))) >= 2
    assert str(tmp_path / "out" / "epochs.png") in said
