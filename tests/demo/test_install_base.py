"""`install-base`: what is put into A1111's folder, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib_lora_train import cli
from lib_lora_train.demo.install_command import NAME, Places, configuration, install
from lib_lora_train.demo.models import BASE
from lib_lora_train.train.base.detect import inspect
from lib_lora_train.train.base.tokenizer import load_tokenizer, tokenizer_for
from lib_lora_train.train.errors import ConfigError


@pytest.fixture
def webui(tmp_path: Path) -> Path:
    """A folder with the marks of A1111, with a space and a quote in its path."""
    folder = tmp_path / 'my "web" ui'
    (folder / "modules").mkdir(parents=True)
    (folder / "launch.py").touch()
    return folder


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_that_a1111_builds_a_model_from(webui: Path) -> None:
    places = install(BASE, webui)
    assert places.checkpoint == webui / "models" / "Stable-diffusion" / f"{NAME}.safetensors"
    assert places.checkpoint.read_bytes() == BASE.read_bytes()
    params: Any = yaml.safe_load(places.configuration.read_text("utf-8"))["model"]["params"]
    unet = params["unet_config"]["params"]
    assert (unet["model_channels"], unet["channel_mult"], unet["num_heads"]) == (96, [1, 1, 1, 1], 6)
    assert (unet["context_dim"], unet["attention_resolutions"], unet["num_res_blocks"]) == (96, [1, 2, 4], 2)
    vae = params["first_stage_config"]["params"]["ddconfig"]
    assert (vae["ch"], vae["ch_mult"], vae["num_res_blocks"]) == (32, [1, 1, 2, 2], 2)
    assert params["scale_factor"] == 0.18215
    assert params["cond_stage_config"]["params"]["version"] == str(places.words)


def test_the_text_encoder_can_be_built_from_its_folder(webui: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    words = install(BASE, webui).words
    config = CLIPTextConfig.from_pretrained(words)
    built = CLIPTextModel(config)
    sizes = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.hidden_act)
    assert sizes == (96, 5, 6, "quick_gelu")
    own = load_tokenizer(words)
    assert built.text_model.embeddings.token_embedding.weight.shape == (own.size, 96)
    theirs = CLIPTokenizer.from_pretrained(words)
    for text in ("a photo of zorpi creature, in the snow", "Pixel art of three RED cats"):
        assert theirs(text)["input_ids"] == [own.begin, *own.encode(text), own.end]
    assert ",</w>" in theirs.get_vocab(), "A1111 looks for it"
    assert theirs.pad_token_id == own.end


def test_the_trainer_takes_what_was_installed_as_a_base(webui: Path) -> None:
    info = inspect(install(BASE, webui).checkpoint)
    assert tokenizer_for(info).folder.name == f"{NAME}.tokenizer"


def test_twice_is_the_same(webui: Path) -> None:
    install(BASE, webui)
    before = files(webui)
    install(BASE, webui)
    assert files(webui) == before


@pytest.mark.parametrize("suffix", [".safetensors", ".yaml", ".tokenizer"])
def test_anothers_file_of_that_name_is_left_alone(webui: Path, suffix: str) -> None:
    folder = webui / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    own = folder / f"{NAME}{suffix}"
    if suffix == ".tokenizer":
        own.mkdir()
        (own / "vocab.json").write_text("{}")
    else:
        own.write_bytes(b"mine")
    before = files(webui)
    with pytest.raises(ConfigError, match="is not ours"):
        install(BASE, webui)
    assert files(webui) == before


def test_a_folder_that_is_no_webui_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["install-base", "--webui", str(tmp_path)]) == 2
    assert "is no WebUI" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_forge_is_told_the_truth(webui: Path) -> None:
    (webui / "modules_forge").mkdir()
    with pytest.raises(ConfigError, match="Forge tells checkpoints by their exact widths"):
        install(BASE, webui)
    assert not (webui / "models").exists()


def test_the_configuration_follows_the_checkpoint(tmp_path: Path) -> None:
    configs = inspect(BASE).configs
    configs["unet"]["block_out_channels"] = [64, 128, 256, 256]
    configs["text_encoder"]["hidden_size"] = 80
    found: Any = yaml.safe_load(configuration(configs, tmp_path))
    unet = found["model"]["params"]["unet_config"]["params"]
    assert (unet["model_channels"], unet["channel_mult"], unet["context_dim"]) == (64, [1, 2, 4, 4], 80)


def test_nothing_is_half_ours_after_a_stop(webui: Path) -> None:
    """What marks the folder as ours is written first, so that the second try may finish it."""
    places = Places(webui / "models" / "Stable-diffusion")
    install(BASE, webui)
    places.checkpoint.unlink()
    (places.words / "vocab.json").unlink()
    assert json.loads((places.words / "config.json").read_text("utf-8"))["model_type"] == "clip_text_model"
    install(BASE, webui)
    assert places.checkpoint.exists() and (places.words / "vocab.json").exists()
