"""Fault S9: what the WebUI runs at each start never fails it and changes nothing that it has."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from typing import Any

import pytest

import install
import preload

from .environment.conftest import ROOT


@pytest.fixture
def python_310(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that has neither tomllib nor tomli."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)


def give_launch(monkeypatch: pytest.MonkeyPatch, run_pip: Any) -> None:
    launch: Any = types.ModuleType("launch")
    launch.run_pip = run_pip
    monkeypatch.setitem(sys.modules, "launch", launch)


@pytest.mark.usefixtures("python_310")
def test_adds_tomli_and_nothing_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    give_launch(monkeypatch, lambda command, what: asked.append(command))
    install.main()
    assert asked == [f"install {install.TOMLI}"]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("python_310")
@pytest.mark.parametrize(
    "fault", [RuntimeError("Couldn't install tomli.\nCommand: pip"), PermissionError("read-only"), SystemExit(1)]
)
def test_offline_or_read_only_is_one_line(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_pip(command: str, what: str) -> None:
        raise fault

    give_launch(monkeypatch, run_pip)
    install.main()
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.usefixtures("python_310")
def test_outside_a_webui_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "launch", None)
    install.main()
    assert "pip install" in capsys.readouterr().out


def test_where_nothing_is_missing_it_is_silent_and_imports_nothing_of_ours() -> None:
    code = "import runpy, sys; runpy.run_path('install.py', run_name='__main__'); print([n for n in sys.modules if 'lora' in n or n == 'launch'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" or sys.version_info < (3, 11)


def test_few_flags_with_our_prefix() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    preload.preload(parser)
    names = [action.option_strings[0] for action in parser._actions]
    assert names == ["--lora-loop-home", "--lora-loop-allow-remote", "--lora-loop-photos", "--lora-loop-host-name"]
