"""Which way of freeing fits which WebUI, told by what its modules have; real WebUIs were tried by hand."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.host import memory


class Model:
    pass


@pytest.fixture
def webui(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules as A1111 has them; gives what was called, in order."""
    called: list[str] = []
    lock = threading.Lock()

    def module(name: str, **content: Any) -> ModuleType:
        found = ModuleType(name)
        vars(found).update(content)
        monkeypatch.setitem(sys.modules, name, found)
        return found

    def say(word: str) -> Any:
        def do(*_: Any) -> None:
            assert lock.locked(), "only under the queue's lock"
            called.append(word)

        return do

    first, second = Model(), Model()
    module("modules")
    module("modules.call_queue", queue_lock=lock)
    module(
        "modules.sd_models",
        model_data=SimpleNamespace(sd_model=first, loaded_sd_models=[first, second]),
        send_model_to_trash=say("trash"),
    )
    module("modules.sd_hijack", model_hijack=SimpleNamespace(undo_hijack=say("undo_hijack")))
    module("modules.devices", torch_gc=say("torch_gc"))
    one = type("StableDiffusionProcessing", (), {"cached_c": ["a", "b"], "cached_uc": ["a", "b"]})
    module("modules.processing", StableDiffusionProcessing=one)
    return called


def forge(monkeypatch: pytest.MonkeyPatch, called: list[str], name: str) -> None:
    found: Any = ModuleType(name)
    found.unload_all_models = lambda: called.append("unload")
    found.soft_empty_cache = lambda: called.append("empty")
    found.current_loaded_models = []
    for part in (name.rpartition(".")[0], "ldm_patched", "backend"):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, name, found)


def test_a1111_drops_its_models_and_keeps_the_form_of_the_caches(webui: list[str]) -> None:
    assert (memory.kind(), memory.is_free(), memory.free(), memory.is_free()) == ("A1111", False, "", True)
    assert webui == ["undo_hijack", "trash", "trash", "torch_gc"]
    data = sys.modules["modules.sd_models"].model_data
    assert data.sd_model is None and data.loaded_sd_models == []
    assert sys.modules["modules.processing"].StableDiffusionProcessing.cached_c == [None, None]
    assert memory.free() == "", "a second time there is nothing to free, which is no fault"


def test_forge_drops_its_engine_on_its_main_thread(monkeypatch: pytest.MonkeyPatch, webui: list[str]) -> None:
    models: Any = sys.modules["modules.sd_models"]
    models.forge_model_reload, models.FakeInitialModel = (lambda: None), Model
    models.model_data = SimpleNamespace(sd_model=SimpleNamespace(forge_objects=1), forge_hash="x")
    forge(monkeypatch, webui, "backend.memory_management")
    shared: Any = ModuleType("modules.shared")
    shared.sd_model = models.model_data.sd_model
    monkeypatch.setitem(sys.modules, "modules.shared", shared)
    main: Any = ModuleType("modules_forge.main_thread")
    main.run_and_wait_result = lambda work: webui.append("main thread") or work()
    monkeypatch.setitem(sys.modules, "modules_forge", ModuleType("modules_forge"))
    monkeypatch.setitem(sys.modules, "modules_forge.main_thread", main)
    assert (memory.kind(), memory.free()) == ("Forge", "")
    assert webui == ["main thread", "unload", "empty"]
    assert shared.sd_model is models.model_data.sd_model, "Neo's own unloading lets go of both, and so of the memory"
    assert models.model_data.forge_hash == "" and isinstance(models.model_data.sd_model, Model) and memory.is_free()
    main.run_and_wait_result = lambda _work: None
    assert "no answer" in memory.free()


def test_the_old_forge_moves_its_models_away(monkeypatch: pytest.MonkeyPatch, webui: list[str]) -> None:
    forge(monkeypatch, webui, "ldm_patched.modules.model_management")
    assert (memory.kind(), memory.free(), webui, memory.is_free()) == ("old Forge", "", ["unload", "empty"], True)


def test_a_fault_of_the_webui_is_a_reason_and_gives_the_lock_back(webui: list[str]) -> None:
    models: Any = sys.modules["modules.sd_models"]
    models.send_model_to_trash = lambda _model: 1 / 0
    assert "ZeroDivisionError" in memory.free()
    assert not sys.modules["modules.call_queue"].queue_lock.locked()


def test_outside_a_webui() -> None:
    assert (memory.kind(), memory.free()) == ("", "there is no WebUI in this process")
