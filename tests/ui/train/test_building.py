"""The Build box of the Train tab: what it will take, how far it is, that it is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.environment.size import Size
from lib_lora_train.environment.state import Wanted
from lib_lora_train.ui.train import building, progress_html, scene
from lib_lora_train.ui.train.building import Builder, Building
from lib_lora_train.ui.train.scene import Scene
from tests.ui.train.host import desk_in

MISSING = Building(False, False, False, Size(28, 24, 200), 0.0, (), "")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """What the environment is from now on: there, or not."""
    there = [False]
    monkeypatch.setattr(building, "find", lambda _wanted: object() if there[0] else None)
    return lambda found: there.__setitem__(0, found)


def wait(builder: Builder) -> None:
    assert builder._thread is not None
    builder._thread.join(10)


def test_the_box_says_beforehand_what_it_will_take() -> None:
    html = progress_html.build(MISSING)
    assert "28 packages: 24 MB to fetch, 200 MB on the disk, about 1 min at 50 Mbit/s." in html
    assert 'data-act="build"' in html


def test_a_bar_and_the_newest_line_and_the_log_only_when_asked_for() -> None:
    now = Building(False, True, False, Size(28, 24, 200), 0.43, ("first", " 12/28 diffusers==0.35.2"), "")
    html = progress_html.build(now)
    assert 'role="progressbar"' in html and 'aria-valuenow="43"' in html
    assert "12/28 diffusers" in html and "first" not in html
    assert 'data-act="build"' not in html
    assert "first" in progress_html.build(now, with_log=True)


def test_it_ends_with_ready_and_does_not_just_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: Callable[[bool], None]
) -> None:
    def build(_wanted: Wanted, report: Callable[[str], None]) -> None:
        report("A short training: two steps on CPU in 4.6 s.")
        builds(True)

    monkeypatch.setattr(building, "ensure", build)
    builder = Builder(lambda: Wanted(tmp_path))
    builder.start()
    wait(builder)
    html = progress_html.build(builder.look())
    assert "are ready and tested" in html and "on CPU in 4.6 s" in html
    builder.ready = False  # a training was begun
    assert progress_html.build(builder.look()) == ""


def test_a_build_that_fails_says_why_and_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: Callable[[bool], None]
) -> None:
    def build(_wanted: Wanted, _report: Callable[[str], None]) -> None:
        raise TrainerEnvironmentError("A short training fails.")

    monkeypatch.setattr(building, "ensure", build)
    builder = Builder(lambda: Wanted(tmp_path))
    builder.start()
    wait(builder)
    html = progress_html.build(builder.look())
    assert "A short training fails." in html and 'data-act="build"' in html


def test_the_bar_never_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: Callable[[bool], None]
) -> None:
    end, shares = threading.Event(), iter([0.2, 0.6, 0.4])
    monkeypatch.setattr(building, "ensure", lambda *_: end.wait(10))
    monkeypatch.setattr(building, "share", lambda _wanted: next(shares))
    monkeypatch.setattr(building, "WEIGHED_EVERY_S", -1.0)
    builder = Builder(lambda: Wanted(tmp_path))
    builder.start()
    assert [builder.look().far for _ in range(3)] == [0.2, 0.6, 0.6]
    end.set()
    wait(builder)


def test_f9f_packages_that_stop_fitting_bring_the_button_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Python in the WebUI, or an update, while the page is open: what is wanted is asked anew."""
    wanted = [Wanted(tmp_path, Path("/old/python"))]
    monkeypatch.setattr(building, "find", lambda one: object() if one.host_python == Path("/old/python") else None)
    builder = Builder(lambda: wanted[0])
    assert builder.is_built
    wanted[0] = Wanted(tmp_path, Path("/new/python"))
    assert not builder.is_built
    assert 'data-act="build"' in progress_html.build(builder.look())


def test_the_log_is_opened_and_closed_by_its_button(tmp_path: Path) -> None:
    desk, now = desk_in(tmp_path), Scene()
    for is_open in (True, False):
        scene.act(now, desk, '{"act": "build_log"}')
        assert now.build_log is is_open
