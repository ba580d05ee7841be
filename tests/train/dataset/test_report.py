from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lib_lora_train.train.dataset import command
from tests.pictures import save


def check(*words: str, tokens: bool = False) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words), (lambda text: len(text.split())) if tokens else None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        save(tmp_path / "10_ohwx man" / f"{number}.png", (600, 800), seed=number, caption=f"ohwx man {number}")
    save(tmp_path / "10_ohwx man" / "3.png", (800, 600), seed=3)
    return tmp_path


def test_text_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(folder), "--set", "trigger=ohwx", "--set", "loop.batch_size=4") == 0
    text = capsys.readouterr().out
    assert "4 photos in 1 folder, repeats 10." in text
    assert "Captions found for 3 of 4 photos." in text
    assert "448 x 576       3             30        8" in text
    assert "One epoch is 11 steps." in text and "Steps: 110   Epochs: 10" in text


def test_json_has_every_photo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(folder), "--json", "--set", "loop.steps=77", "--set", "dataset.max_tokens=75", tokens=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["steps"], told["captions_found"], told["trainable"]) == (77, 3, True)
    first = told["photos"][0]
    assert first["name"] == "10_ohwx man/0.png" and first["verdict"] == "ok"
    assert (first["size"], first["bucket"], first["resized"], first["crop"]) == (
        [600, 800],
        [448, 576],
        [448, 597],
        [0, 10],
    )
    assert (first["caption"], first["tokens"], first["repeats"]) == ("ohwx man 0", 3, 10)
    assert told["photos"][3]["problems"] == ["caption-missing"]


def test_captions_longer_than_the_encoder_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "10_ohwx man" / "0.txt").write_text("ohwx " * 112)
    assert check(str(folder), tokens=True) == 0
    text = capsys.readouterr().out
    assert (
        "1 caption is longer than 75 tokens (the longest has 112) and cut: 10_ohwx man/0.png; set dataset.max_tokens = 150"
        in text
    )


def test_config_file_and_settings(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "c.toml"
    toml.write_text('trigger = "zz"\n[loop]\nepochs = 2\n[dataset]\nresolution = 768\n', encoding="utf-8")
    assert check(str(folder), "--config", str(toml), "--json", "--quick") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["epochs"] == 2 and told["photos"][0]["bucket"] == [576, 768]
    assert told["photos"][3]["caption"] == "zz"


def test_nothing_to_train_is_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(tmp_path)) == 3
    assert "There is no photo to train on" in capsys.readouterr().out


def test_sheet_is_a_picture_of_all(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "10_ohwx man" / "bad.jpg").write_bytes(b"no")
    save(folder / "10_ohwx man" / "猫 кот.png", (64, 640), caption="猫 " * 200)
    assert check(str(folder), "--sheet", str(tmp_path / "sheet.png")) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000 and sheet.height > 700
        assert len(sheet.convert("RGB").getcolors(1 << 24) or []) > 1000


def test_neither_torch_nor_numpy_is_needed_to_read_a_folder(folder: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'numpy'): sys.modules[name] = None\n"
        "from lib_lora_train.train.dataset import command, pixels, verify, sheet, report\n"
        "from lib_lora_train.train.dataset.scan import scan\n"
        "from lib_lora_train.train.config import DatasetConfig\n"
        f"assert len(scan(DatasetConfig(path={str(folder)!r}), 'x').photos) == 4\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parents[3])
