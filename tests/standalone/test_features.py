"""Likeness and obedience by models in a folder: a small CLIP and a small DINO with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.scores import cosine
from lib_lora_train.standalone.features import FolderScorer
from lib_lora_train.train.base.tokenizer import PACKAGED

SIDE = 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("models") / "small clip"
    torch.manual_seed(0)
    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    CLIPTokenizer(str(PACKAGED / "vocab.json"), str(PACKAGED / "merges.txt"), model_max_length=77).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("models") / "dino"
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8)
    ).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, colour in zip(paths, ("red", "red", "blue"), strict=True):
        Image.new("RGB", (40, 60), colour).save(path)
    return paths


def test_clip_reads_pictures_and_prompts(clip: Path, pictures: list[Path]) -> None:
    scorer = FolderScorer(clip, torch.device("cpu"))
    assert scorer.name == "small clip" and scorer.reads_text
    red, again, blue = (scorer.picture(path) for path in pictures)
    assert len(red) == 16 and list(red) == list(again)
    assert cosine(red, again) == pytest.approx(1) and cosine(red, blue) < 0.9999
    assert len(scorer.text("a red cat " * 200)) == 16 and scorer.text("a") != scorer.text("b")


def test_dino_reads_pictures_only(dino: Path, pictures: list[Path]) -> None:
    scorer = FolderScorer(dino, torch.device("cpu"))
    assert not scorer.reads_text and len(scorer.picture(pictures[0])) == 32


def test_a_folder_without_such_a_model_is_refused(tmp_path: Path, dino: Path) -> None:
    with pytest.raises(GridError, match="is no CLIP or DINO model"):
        FolderScorer(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model.safetensors").write_bytes((dino / "model.safetensors").read_bytes()[:50])
    with pytest.raises(GridError, match="cannot be used as an image model"):
        FolderScorer(tmp_path)
