"""`doctor`: says what is wrong with the command that mends it, and builds nothing unasked."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lib_lora_train.environment import command, report
from lib_lora_train.environment.build import ensure
from lib_lora_train.environment.locate import Host
from lib_lora_train.environment.report import collect
from lib_lora_train.environment.state import Wanted

from .conftest import ROOT, FakeHost, Shop


def test_missing_is_one_problem_with_its_cure(wanted: Wanted) -> None:
    found = collect(wanted)
    assert found.environment["state"] == "missing"
    assert [problem for problem in found.problems if "doctor --build" in problem] == found.problems
    assert not wanted.folder.exists()


def test_why_it_is_missing(wanted: Wanted) -> None:
    (wanted.folder / "cp310-0123456789-host").mkdir(parents=True)
    assert "needs other packages" in collect(wanted).problems[0]
    (wanted.folder / "cp310-0123456789-host.12.tmp").mkdir()
    assert "was interrupted" in collect(wanted).problems[0]


def test_complete_and_then_damaged(wanted: Wanted) -> None:
    made = ensure(wanted, print)
    healthy = collect(wanted)
    assert healthy.problems == []
    assert healthy.packages == {"loopone": "1.0", "looptwo": "2.0"}
    assert healthy.torch["torch"] == "2.3.1+cu121"
    (made.packages[0] / "looptwo.py").unlink()
    [problem] = collect(wanted).problems
    assert "looptwo cannot be imported" in problem
    assert "doctor --rebuild" in problem


def test_a_card_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch, wanted: Wanted) -> None:
    ensure(wanted, print)
    monkeypatch.setattr(report, "_nvidia_card", lambda: True)
    [problem] = collect(wanted).problems
    assert "TORCH_INDEX_URL" in problem


def test_the_table(wanted: Wanted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "wanted_here", lambda home: wanted)
    options = argparse.Namespace(home=wanted.home, build=True, rebuild=False, with_bitsandbytes=False, json=False)
    assert command.run(options) == 0
    output = capsys.readouterr()
    assert "All is well." in output.out
    assert "2.3.1+cu121, processor only" in output.out
    assert "1/2" in output.err


def test_from_the_command_line_it_builds_nothing(tmp_path: Path, host: FakeHost) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora_train", "doctor", "--json", "--home", str(home)],
        cwd=ROOT,
        env={**os.environ, "LORA_LOOP_HOST_PYTHON": str(host.python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    found = json.loads(done.stdout)
    assert found["environment"]["state"] == "missing"
    assert found["problems"]
    assert not home.exists()


def test_the_doctor_trains_and_says_on_what_and_how_long(
    wanted: Wanted, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "def run(): return {'device': 'NVIDIA RTX 3060', 'precision': 'bf16', 'seconds': 2.5}\n"
    lock = shop.lock(shop.add("looptrial", "1.0", {"looptrial.py": code}), name="trial.txt")
    trying = replace(wanted, trainer=lock, trial="looptrial")
    made = ensure(trying, print)
    monkeypatch.setattr(command, "wanted_here", lambda home: trying)
    asked = {"home": wanted.home, "build": False, "rebuild": False, "with_bitsandbytes": False}
    assert command.run(argparse.Namespace(**asked, json=False)) == 0
    assert "on NVIDIA RTX 3060 (bf16) in 2.5 s" in capsys.readouterr().out
    assert command.run(argparse.Namespace(**asked, json=True)) == 0
    assert json.loads(capsys.readouterr().out)["trial"]["seconds"] == 2.5
    broken = code.replace("return", "raise AttributeError('no deterministic');")
    (made.packages[0] / "looptrial.py").write_text(broken, "utf-8")
    [problem] = collect(trying).problems
    assert "a short training fails (AttributeError: no deterministic)" in problem


def test_forge_neo_is_named_with_its_release(
    wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    webui = tmp_path / "neo"
    (webui / "modules_forge").mkdir(parents=True)
    (webui / "modules_forge" / "forge_version.py").write_text('version = "neo"\nrelease = "2.26"\n')
    monkeypatch.setattr(report, "find_host", lambda **_: Host(webui, wanted.host_python))
    monkeypatch.setattr(command, "wanted_here", lambda home: wanted)
    options = argparse.Namespace(home=wanted.home, build=False, rebuild=False, with_bitsandbytes=False, json=False)
    command.run(options)
    assert "Forge Neo 2.26 in " in capsys.readouterr().out


def test_what_a_build_would_fetch_is_said(wanted: Wanted) -> None:
    assert "2 packages, 24 MB to fetch" in collect(wanted).problems[0]
