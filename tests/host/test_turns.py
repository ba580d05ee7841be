"""T6: training and drawing share one card; a trainer that is a process of its own, and whole jobs in the doubles."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.host import door, find, memory, turns
from lib_lora_train.host.settings import SHARE
from lib_lora_train.train import card_lock
from lib_lora_train.train.card_lock import CardBusy
from tests.host.double import Double, Failed, webui

__all__ = ["webui"]
ROOT = Path(__file__).parents[2]
CARD = "7"
TRAINER = """
import sys
from lib_lora_train.train import card_lock
claim = card_lock.lock("7")
print(card_lock.take(claim, "training ohwx-man", sys.argv[1], 20.0), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(card_lock.FOLDER_VARIABLE, str(tmp_path / "cards"))
    monkeypatch.setenv(card_lock.CARD_VARIABLE, CARD)
    turns._warned.clear()
    yield
    assert over(), "a turn ends with its job"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job that has made 120 of 1,500 steps."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"config": {}, "status": "running", "steps": 1500}))
    (folder / "events.jsonl").write_text(
        json.dumps({"v": 1, "time": 1.0, "kind": "step", "step": 120, "loss": 0.1, "memory": 5_200_000_000}) + "\n"
    )
    return folder


@pytest.fixture
def trainer(job: Path) -> Iterator[subprocess.Popen[str]]:
    """A trainer that has the card until its stdin ends."""
    started = training(job)
    assert started.stdout is not None and started.stdout.readline() == "True\n"
    yield started
    started.communicate()


def training(job: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(job)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def over() -> bool:
    """Whether the last job's turn is over, within 5 s."""
    deadline = time.monotonic() + 5
    while turns._ours.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not turns._ours.is_set()


def lock(webui: Double) -> Any:
    """The WebUI's queue lock."""
    return sys.modules["modules.call_queue"].queue_lock


def test_t6_generate_says_who_trains_and_what_to_do(webui: Double, trainer: Any) -> None:
    for prompt in ("a cat", "a {red|blue} cat <steps:{2|3}>"):
        with lock(webui), pytest.raises(CardBusy) as refused:
            webui.make(prompt=prompt, n_iter=2)
        words = str(refused.value)
        assert "training ohwx-man (step 120 of 1,500, 5.2 GB; 6.9 of 8.0 GB of the card are in use)" in words
        assert "pause that in the Train tab" in words and SHARE.label in words and "\n" not in words
    assert webui.rendered == []
    trainer.communicate()
    assert len(webui.make(prompt="a cat").images) == 1, "the card is free again"


def test_t6_the_setting_allows_both_and_the_memory_is_shown(webui: Double, trainer: Any) -> None:
    webui.opts.data[SHARE.name] = True
    with lock(webui):
        done = webui.make(prompt="a cat", n_iter=2)
        assert len(done.images) == 2 and done.comments.count("training ohwx-man") == 1
        assert "6.9 of 8.0 GB" in done.comments
        assert webui.make(prompt="a dog").comments == "", "a job is told once"


def test_t6_a_trainer_waits_for_the_whole_job_and_no_longer(webui: Double, job: Path) -> None:
    """Cells of an X/Y/Z plot are jobs of their own under one hold of the WebUI's lock."""
    with lock(webui):
        webui.make(prompt="a cat")
        found = card_lock.holder(CARD)
        assert found is not None and found.purpose == f"drawing in {find().name}" and not found.is_trainer
        assert "drawing in" in card_lock.busy_sentence(CARD)
        waiting = training(job)
        webui.make(prompt="a {red|blue} cat <steps:{2|3}>", n_iter=4)
        time.sleep(0.3)
        webui.make(prompt="a cat", seed=9)
        assert waiting.poll() is None and len(webui.rendered) == 6
    assert waiting.stdout is not None and waiting.stdout.readline() == "True\n"
    waiting.communicate()


@pytest.mark.parametrize("how", ["raise", "interrupt"])
def test_t6_the_card_is_given_back_however_a_job_ends(webui: Double, how: str) -> None:
    webui.at_image(1, how)
    with lock(webui):
        if how == "raise":
            with pytest.raises(Failed):
                webui.make(prompt="a cat", n_iter=3)
        else:
            webui.make(prompt="a cat", n_iter=3)
        assert card_lock.holder(CARD) is not None
    assert over() and card_lock.holder(CARD) is None


def test_t6_two_webuis_draw_at_once(webui: Double) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", TRAINER.replace("sys.argv[1]", "''").replace("training ohwx-man", "drawing in Forge")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "True\n"
    done = webui.make(prompt="a cat")
    assert len(done.images) == 1 and done.comments == ""
    other.communicate()


def test_t6_a_lock_that_cannot_be_had_costs_no_picture(
    webui: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(card_lock.FOLDER_VARIABLE, str(tmp_path / "file" / "cards"))
    with caplog.at_level(logging.WARNING, "lora_loop"):
        assert len(webui.make(prompt="a cat").images) == len(webui.make(prompt="a dog").images) == 1
        door.started()
        door.loading()
    said = [record.message for record in caplog.records]
    assert len(said) == 2 and "pictures are drawn all the same" in said[0] and "cannot ask" in said[1]


def test_without_a_card_nothing_is_locked(
    webui: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: Any
) -> None:
    monkeypatch.delenv(card_lock.CARD_VARIABLE)
    assert find().card == "" and len(webui.make(prompt="a cat").images) == 1
    monkeypatch.setattr(sys.modules["modules.devices"], "device", type("Device", (), {"type": "cuda", "index": 1})())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert find().card == "5"


def test_t6_our_own_pictures_wait_too(webui: Double, trainer: Any) -> None:
    with pytest.raises(CardBusy):
        find().render({"prompt": "a cat"})


def test_t6_a_refused_job_leaves_no_model_on_the_card(
    webui: Double, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = threading.Event()
    monkeypatch.setattr(memory, "free", lambda: freed.set() or "")
    with pytest.raises(CardBusy):
        webui.make(prompt="a cat")
    assert freed.wait(5)


def test_t6_a_webui_that_starts_beside_a_training_loads_no_model(webui: Double, trainer: Any) -> None:
    door.loading()
    assert webui.flags.skip_load_model_at_start is True


def test_a_webui_that_starts_alone_loads_as_ever(webui: Double) -> None:
    door.loading()
    assert webui.flags.skip_load_model_at_start is False


def test_t6_a_webui_is_known_to_trainers_once(webui: Double) -> None:
    memory.tenant.cache_clear()
    door.started()
    door.started()  # "Reload UI" starts the page again
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("lora-loop-card") == 1
    assert [file.suffix for file in (card_lock.folder() / f"card-{CARD}").iterdir()] == [".tenant"]
    memory.tenant(CARD).stop()
    memory.tenant.cache_clear()
