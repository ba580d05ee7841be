"""One card, several programs: who has it, who frees it, who waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lib_lora_train.train import card_lock

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(card_lock.FOLDER_VARIABLE, str(tmp_path / "cards"))


def child(code: str) -> subprocess.Popen[str]:
    head = "import sys, time\nfrom lib_lora_train.train import card_lock\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_t6_the_card_has_one_holder_with_a_name_and_a_dead_one_holds_nothing() -> None:
    assert card_lock.holder("0") is None
    other = child("with card_lock.held('0', 'drawing in A1111'):\n    print('ready', flush=True); time.sleep(60)")
    found = card_lock.holder("0")
    assert found is not None and (found.purpose, found.pid) == ("drawing in A1111", other.pid)
    with pytest.raises(card_lock.CardBusy, match="drawing in A1111"), card_lock.held("0", "training"):
        raise AssertionError
    with card_lock.held("0", "training", anyway=True) as mine:
        assert not mine, "train anyway: both work, and it is known"
    with card_lock.held("1", "training") as mine:
        assert mine, "another card is another lock"
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert card_lock.holder("0") is None
    with card_lock.held("0", "training") as mine:
        assert mine


def test_t6_a_tenant_frees_its_memory_when_a_trainer_asks() -> None:
    tenant = child(
        "import threading\nfreed = threading.Event()\n"
        "card_lock.Tenant('A1111', lambda: freed.set() or '', '0').start()\n"
        "card_lock.Tenant\nprint('ready', flush=True)\nfreed.wait(30)\nprint('freed', flush=True)\nsys.stdin.read()"
    )
    assert card_lock.ask_to_free("0", 20.0) == ""
    assert tenant.stdout is not None and tenant.stdout.readline() == "freed\n"
    assert card_lock.ask_to_free("1", 20.0) == ""
    tenant.kill()
    tenant.communicate()
    begun = time.monotonic()
    assert card_lock.ask_to_free("0", 20.0) == "" and time.monotonic() - begun < 10
    assert list((card_lock.folder() / "card-0").iterdir()) == [], "the traces of the dead are gone"


def test_t6_a_tenant_that_cannot_or_does_not_is_named() -> None:
    broken = child("card_lock.Tenant('Forge', lambda: 1 / 0, '0').start()\nprint('ready', flush=True)\ntime.sleep(60)")
    busy = child(
        "card_lock.Tenant('A1111', lambda: time.sleep(60), '0').start()\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    said = card_lock.ask_to_free("0", 2.0)
    assert "Forge (ZeroDivisionError" in said and "A1111 (it is busy)" in said and "unload the model" in said
    for process in (broken, busy):
        process.kill()
        process.communicate()


def test_a_program_does_not_ask_itself_and_stops_clean() -> None:
    tenant = card_lock.Tenant("me", lambda: "no", "0")
    tenant.start()
    tenant.start()
    assert card_lock.ask_to_free("0", 1.0) == "" and threading.active_count() > 1
    tenant.stop()
    assert list((card_lock.folder() / "card-0").iterdir()) == []


@pytest.mark.parametrize(("visible", "name"), [("", "0"), ("3,4", "3"), (None, "0")])
def test_the_card_s_name(monkeypatch: pytest.MonkeyPatch, visible: str | None, name: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert card_lock.card() == name
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-../../x")
    assert card_lock.card().isalnum()


def test_a_folder_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user"):
        card_lock.folder()
