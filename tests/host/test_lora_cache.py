"""A LoRA that was trained again under its name is drawn with the new weights, in plain jobs too."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.host import lora_cache
from tests.host.double import Double, webui

__all__ = ["webui"]


class Objects(SimpleNamespace):
    def shallow_copy(self) -> Objects:
        return Objects(**vars(self))


@pytest.fixture
def lora(webui: Double, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A LoRA file that the WebUI knows, and a model that is patched with it."""
    monkeypatch.setattr(lora_cache, "_seen", {})
    file = webui.folder / "me.lora"
    file.write_bytes(b"old")
    webui.look_for_loras()
    networks: Any = sys.modules["networks"]
    networks.load_lora_state_dict = partial(open)  # as Neo's: nothing that can be cleared
    networks.loaded_networks = [SimpleNamespace(mtime=1e12)]
    networks.networks_in_memory = {"me": 1}
    layer = SimpleNamespace(network_current_names=(("me", 1.0, 1.0, None),))
    original = Objects(unet=SimpleNamespace(lora_loader=SimpleNamespace(loaded_hash="me")), clip=None)
    one = SimpleNamespace(sd_checkpoint_info=webui.infos["one"], modules=lambda: [layer, SimpleNamespace()])
    if webui.is_forge:
        one = SimpleNamespace(
            sd_checkpoint_info=webui.infos["one"], forge_objects_original=original, current_lora_hash="[me]"
        )
    webui.model_data.sd_model = one
    webui.set_config({"sd_model_checkpoint": "one.safetensors"})
    if webui.is_forge:
        webui.choose()
        webui.model_data.forge_hash = str(webui.model_data.forge_loading_parameters)
    one.layer = layer
    return file


def is_forgotten(webui: Double) -> bool:
    """Whether the next job will patch the model anew; afterwards it is patched again."""
    model = webui.model_data.sd_model
    if webui.is_forge:
        gone, model.current_lora_hash = model.current_lora_hash == "", "[me]"
        return gone
    wanted = (("me", 1.0, 1.0, None),)
    gone, model.layer.network_current_names = model.layer.network_current_names != wanted, wanted
    return gone and sys.modules["networks"].loaded_networks[0].mtime == 0


def replaced(file: Path) -> None:
    """As a trainer does: a new file renamed over the old one."""
    new = file.with_suffix(".new")
    new.write_bytes(b"new")
    os.utime(new, (file.stat().st_atime, file.stat().st_mtime + 5))
    new.replace(file)


@pytest.mark.parametrize("prompt", ["a cat <lora:me:1>", "a {red|blue} cat <lora:me:1>", "a cat <lora:me:1> <steps:3>"])
def test_neo_3_a_lora_that_was_trained_again_is_read_anew(webui: Double, lora: Path, prompt: str) -> None:
    webui.make(prompt=prompt)
    assert not is_forgotten(webui)
    webui.make(prompt=prompt)
    assert not is_forgotten(webui), "the same file is not read anew"
    replaced(lora)
    webui.make(prompt=prompt)
    assert is_forgotten(webui)
    webui.make(prompt=prompt)
    assert not is_forgotten(webui)


def test_neo_3_other_files_cost_nothing(webui: Double, lora: Path) -> None:
    webui.make(prompt="a cat <lora:me:1>")
    replaced(lora)
    webui.make(prompt="a cat <lora:not-there:1>")
    assert not is_forgotten(webui)


def test_neo_3_a_grid_forgets_what_neo_keeps(webui: Double, lora: Path) -> None:
    lora_cache.forget(None)
    assert is_forgotten(webui)
