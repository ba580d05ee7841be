"""F2: the WebUI's process tells on which Python it runs, in each recorded WebUI."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from lib_lora_train.environment.entry import wanted_here
from lib_lora_train.host import door, find
from lib_lora_train.host.folders import home
from tests.host.double import Double, webui

__all__ = ["webui"]


def test_f2_the_trainers_environment_is_wanted_for_the_webuis_own_python(
    webui: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    door.lend()
    assert wanted_here(home(find())).host_python == Path(sys.executable)
    assert os.environ["LORA_LOOP_HOST_PYTHON"] == sys.executable
    told = json.loads((home(find()) / "environment" / "webui.json").read_text("utf-8"))
    assert told["python"] == sys.executable


def test_outside_of_a_webui_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "modules", None)
    monkeypatch.setitem(sys.modules, "modules.sd_models", None)
    find.cache_clear()
    door.lend()
    assert os.environ["LORA_LOOP_HOST_PYTHON"] == ""
    assert list(tmp_path.iterdir()) == []
