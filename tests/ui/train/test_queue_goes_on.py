"""What waits in the queue starts by itself: when the WebUI starts again, and when the packages are built."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lib_lora_train.jobs import queue, runner, store
from lib_lora_train.train import config as configs
from lib_lora_train.ui.train import building
from lib_lora_train.ui.train.building import Builder
from tests.runs import Workshop
from tests.ui.train.host import desk_in


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    monkeypatch.setattr(runner, "start", lambda home: bool(found.append(home)) or True)
    return found


def waiting(workshop: Workshop, home: Path) -> None:
    job = store.create(configs.from_values(workshop.values("name=waits", "loop.steps=5")), home)
    queue.add(home, [job.folder.name])


def test_jobs_go_on_when_the_webui_starts_unless_a_person_paused_the_queue(
    workshop: Workshop, tmp_path: Path, started: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = desk_in(tmp_path)
    monkeypatch.setattr(Builder, "is_built", True)
    here.go_on()
    assert started == []  # nothing waits
    waiting(workshop, here.home)
    queue.pause(here.home)
    here.go_on()
    assert started == []
    queue.pause(here.home, False)
    here.go_on()
    assert started == [here.home]


def test_jobs_go_on_when_the_build_has_ended(
    workshop: Workshop, tmp_path: Path, started: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = desk_in(tmp_path)
    waiting(workshop, here.home)
    built: list[bool] = []
    monkeypatch.setattr(Builder, "is_built", property(lambda _self: bool(built)))
    monkeypatch.setattr(building, "ensure", lambda *_given, **_more: built.append(True))
    here.go_on()
    assert started == []
    here.builder.start()
    for _ in range(100):
        if started:
            break
        time.sleep(0.05)
    assert started == [here.home] and not here.builder.problem


def test_a_start_that_fails_breaks_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = desk_in(tmp_path)
    (here.home / "queue").mkdir(parents=True)
    (here.home / "queue" / "queue.json").write_text("{", "utf-8")
    monkeypatch.setattr(Builder, "is_built", True)
    here.go_on()
