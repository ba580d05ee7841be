"""The command line's door: from any Python, one sentence for an error, the right exit code."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train import cli
from lib_lora_train.environment.entry import replace_process
from lib_lora_train.environment.state import Wanted, add_tested
from lib_lora_train.files.errors import DiskError

from .environment.conftest import ROOT, other_python, run_python


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command of the test's own; its `run` is set by the test."""
    module: Any = types.ModuleType("loop_test_command")
    module.add_arguments = lambda parser: parser.add_argument("--steps", type=int, default=1)
    monkeypatch.setitem(sys.modules, "loop_test_command", module)
    made = cli.Command("try", "loop_test_command", "a test", anywhere=True)
    monkeypatch.setattr(cli.Command, "exists", property(lambda self: True))
    monkeypatch.setattr(cli, "COMMANDS", (made,))
    return module


def test_options_and_home_reach_the_command(command: Any, tmp_path: Path) -> None:
    seen: list[Any] = []
    command.run = lambda options: seen.append(options) or 3
    assert cli.main(["try", "--steps", "7", "--home", str(tmp_path)]) == 3
    assert (seen[0].steps, seen[0].home) == (7, tmp_path)


def test_an_error_for_people_is_one_sentence(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def run(options: Any) -> int:
        raise DiskError("The disk is full.")

    command.run = run
    assert cli.main(["try"]) == 7
    assert capsys.readouterr().err == "The disk is full.\n"
    assert cli.main(["try", "--debug"]) == 7
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_6(command: Any) -> None:
    def run(options: Any) -> int:
        raise KeyboardInterrupt

    command.run = run
    assert cli.main(["try"]) == 6


def test_usage_errors_are_2(command: Any) -> None:
    assert cli.main([]) == 2
    for arguments in (["other"], ["try", "--steps", "many"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2


def test_only_what_exists_is_listed() -> None:
    for command in cli.COMMANDS:
        assert command.exists == (ROOT / f"{command.module.replace('.', '/')}.py").is_file()
    assert next(command for command in cli.COMMANDS if command.name == "doctor").exists


def test_help_and_version_need_no_environment(tmp_path: Path) -> None:
    for option in ("--help", "--version"):
        done = run_python(
            "import runpy, sys; sys.argv[1:] = sys.argv[1:]; runpy.run_module('lib_lora_train', run_name='__main__')",
            option,
        )
        assert done.returncode == 0, done.stderr
        assert "LoRA Loop" in done.stdout


def test_the_door_needs_the_standard_library_only() -> None:
    """No site-packages at all, and every module that finds or builds the environment still imports."""
    code = """
import importlib, pathlib, sys
sys.path.insert(0, sys.argv[1])
for path in sorted(pathlib.Path(sys.argv[1], "lib_lora_train", "environment").glob("*.py")):
    importlib.import_module(f"lib_lora_train.environment.{path.stem}")
importlib.import_module("lib_lora_train.cli")
importlib.import_module("lib_lora_train.__main__")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9"])
def test_an_old_python_is_told_so_in_one_sentence(version: str) -> None:
    python = other_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run(
        [python, "-m", "lib_lora_train", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (8, 1)
    assert "needs Python 3.10 or newer" in done.stderr


@pytest.mark.slow
def test_another_python_reaches_the_environment_that_is_there(tmp_path: Path) -> None:
    python = other_python("3.10") or other_python("3.12")
    if python is None:
        pytest.skip("no other Python here")
    wanted = Wanted(tmp_path)
    folder = wanted.folder / wanted.name(sys.version_info[:3])
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    site = next((folder / "venv").glob("lib/python3*/site-packages"))
    (site / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    add_tested(folder, "venv", {"paths": [], "torch": "2.13.0"})
    code = "import sys; from pathlib import Path; from lib_lora_train.environment.entry import enter\nsys.exit(enter('lib_lora_train.environment.selftest', [], Path(sys.argv[1])))"
    done = run_python(code, str(tmp_path), python=python, PYTHONPATH="/nowhere")
    assert done.returncode == 0, done.stderr
    assert f'"python": "{sys.version.split()[0]}"' in done.stdout


def test_where_exec_is_odd_the_exit_code_is_passed_on() -> None:
    assert replace_process([sys.executable, "-c", "import sys; sys.exit(5)"], {}, windows=True) == 5


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell to stand for a terminal")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "from lib_lora_train.cli import guarded; guarded(lambda: [print('x' * 99) for _ in range(99999)] and 0)"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{code}" | head -n 1'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("x" * 99 + "\n", "")


@pytest.mark.parametrize(
    ("given", "is_light"),
    [
        (["expand", "a {b|c}"], True),
        (["expand", "a", "--magic", "gpt2"], False),
        (["expand", "a", "--magic=gpt2"], False),
        (["check", "photos"], True),
        (["grid", "--run", "x", "--base", "y"], False),
        (["grid", "--run", "x", "--keep", "6@0.8"], True),
        (["grid", "--run", "x", "--undo"], True),
        (["train", "me.toml"], False),
        (["demo"], False),
    ],
)
def test_what_needs_no_torch_builds_none(given: list[str], is_light: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[str] = []
    monkeypatch.setattr(cli, "enter", lambda *_: went.append("all") or 0)
    monkeypatch.setattr(cli, "enter_light", lambda *_: went.append("light") or 0)
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda _name: None)
    assert cli.from_anywhere(given) == 0
    assert went == ["light" if is_light else "all"]


def test_install_base_answers_without_any_package(tmp_path: Path) -> None:
    """It copies five files: no environment is built for that, and Forge's refusal comes at once."""
    for name in ("a1111/modules", "forge/modules", "forge/modules_forge"):
        (tmp_path / name).mkdir(parents=True)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from lib_lora_train.cli import from_anywhere; sys.exit(from_anywhere(sys.argv[2:]))"
    home = ["--home", str(tmp_path / "home")]
    for webui in ("a1111", "forge"):
        (tmp_path / webui / "launch.py").touch()
        arguments = [str(ROOT), "install-base", "--webui", str(tmp_path / webui), *home]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == (0 if webui == "a1111" else 2), done.stderr
    assert done.stderr.startswith("Forge tells checkpoints by their exact widths")
    assert (tmp_path / "a1111/models/Stable-diffusion/lora-loop-small.safetensors").is_file()
    assert not (tmp_path / "home").exists()
