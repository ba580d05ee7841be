"""The small base's judge as a scorer: known by its file, the same looks for the same picture, other files refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora_train.demo.judge import LOOKS, JudgeNetwork
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.scores import cosine
from lib_lora_train.standalone.judging import JudgeScorer, judge_in
from tests.grid.files import write_lora


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "judge.safetensors"
    save_file({name: tensor.half() for name, tensor in JudgeNetwork().state_dict().items()}, path)
    return path


def test_it_is_known_by_its_tensors(judge: Path, tmp_path: Path) -> None:
    assert judge_in(judge) == judge and judge_in(judge.parent) == judge
    renamed = tmp_path / "eyes.safetensors"
    renamed.write_bytes(judge.read_bytes())
    assert judge_in(renamed) == renamed
    assert judge_in(write_lora(tmp_path / "lora.safetensors", 1)) is None
    (tmp_path / "cut.safetensors").write_bytes(judge.read_bytes()[:100])
    assert judge_in(tmp_path / "cut.safetensors") is None
    assert judge_in(tmp_path) is None and judge_in(tmp_path / "nowhere") is None


def test_looks_of_pictures(judge: Path, tmp_path: Path) -> None:
    scorer = JudgeScorer(judge, torch.device("cpu"))
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        Image.new("RGB", (160, 96), colour).save(tmp_path / f"{name}.png")
    red, blue = (scorer.picture(tmp_path / f"{name}.png") for name in ("red", "blue"))
    assert len(red) == LOOKS and cosine(red, red) == pytest.approx(1) and cosine(red, blue) < 0.9999
    assert list(scorer.picture(tmp_path / "red.png")) == list(red)
    assert not scorer.reads_text
    with pytest.raises(GridError, match="reads no prompts"):
        scorer.text("a cat")


def test_another_networks_file_is_refused(judge: Path, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in load_file(judge).items() if not name.startswith("heads.")}
    save_file(tensors, tmp_path / "judge.safetensors")
    with pytest.raises(GridError, match="not the judge of this version"):
        JudgeScorer(tmp_path / "judge.safetensors")


def test_two_judges_have_two_names(judge: Path, tmp_path: Path) -> None:
    """What was measured with one is not taken for the other's."""
    other = tmp_path / "judge.safetensors"
    save_file({name: tensor + 0.01 for name, tensor in load_file(judge).items()}, other)
    assert JudgeScorer(judge).name != JudgeScorer(other).name
