"""What the epoch grid's script hands to the WebUI."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_lora_train.grid.session import _word
from lib_lora_train.host import grid_script


def test_neo_4_a_sheet_is_shown_from_its_own_file(tmp_path: Path) -> None:
    """Without the mark the WebUI writes it once more, in Neo into a folder that is not there."""
    path = tmp_path / "sheet.png"
    Image.new("RGB", (8, 8), "red").save(path)
    sheet = grid_script._sheet(path)
    assert sheet.already_saved_as == str(path) and sheet.size == (8, 8)


def test_a10_f9c_a_heading_says_what_matters_only() -> None:
    """Not "subseed -1 · enable_hr False · hr_scale 2 …", nor "vae" with nothing behind it."""
    settings = {
        "vae": "", "renderer": "Forge neo 2.26", "steps": 20, "cfg_scale": 7.0, "clip_skip": 2.0, "sampler_name": "Euler", "scheduler": "Automatic",
        "subseed": -1, "subseed_strength": 0, "enable_hr": False, "hr_scale": 2.0, "hr_resize_x": 0, "hr_upscaler": "Latent",
        "tiling": False, "denoising_strength": 0.7, "eta": 0.0,
    }  # fmt: skip
    said = [word for word in (_word(name, settings) for name in _words()) if word]
    assert said == ["20 steps", "CFG 7", "Euler", "clip skip 2", "Forge neo 2.26"]
    said = [word for word in (_word(name, {**settings, "enable_hr": True, "vae": "kl"}) for name in _words()) if word]
    assert said == [
        "20 steps",
        "CFG 7",
        "Euler",
        "clip skip 2",
        "VAE kl",
        "hires 2x",
        "Latent",
        "denoising 0.7",
        "Forge neo 2.26",
    ]


def _words() -> list[str]:
    from lib_lora_train.grid import session

    return list(session._WORDS)
