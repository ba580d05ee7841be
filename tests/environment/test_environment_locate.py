"""Finding home and the WebUI, from folders only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lib_lora_train.environment.locate import Host, find_host, home_folder, host_python, lend, this_python


@pytest.fixture
def webui(tmp_path: Path) -> Path:
    folder = tmp_path / "webui"
    for name in (
        "modules",
        "models",
        "extensions/sd-webui-lora-loop",
        "venv/bin",
        "venv/lib/python3.10/site-packages/gradio-3.41.2.dist-info",
    ):
        (folder / name).mkdir(parents=True)
    for name in ("launch.py", "venv/bin/python"):
        (folder / name).touch()
    (folder / "CHANGELOG.md").write_text("## 1.10.1\n\n### Bug Fixes:\n## 1.10.0\n")
    return folder


def test_inside_a_webui(webui: Path, tmp_path: Path) -> None:
    ours = webui / "extensions" / "sd-webui-lora-loop"
    host = find_host(ours)
    assert host == Host(webui, webui / "venv" / "bin" / "python")
    assert (host.kind, host.version, host.package_version("gradio"), host.package_version("torch")) == (
        "A1111",
        "1.10.1",
        "3.41.2",
        "",
    )
    assert home_folder(extension=ours) == webui / "lora-loop"
    assert host_python(tmp_path, ours) == host.python


def test_forge_says_its_own_version(webui: Path) -> None:
    (webui / "modules_forge").mkdir()
    (webui / "modules_forge" / "forge_version.py").write_text("version = 'f2.0.1v1.10.1'\n")
    host = Host(webui, None)
    assert (host.kind, host.version, host.site_packages) == ("Forge", "f2.0.1v1.10.1", None)


def test_the_one_click_zip_has_its_python_beside_the_webui(webui: Path, tmp_path: Path) -> None:
    (webui / "venv" / "bin" / "python").unlink()
    python = webui.parent / "system" / "python" / "python.exe"
    python.parent.mkdir(parents=True)
    python.touch()
    assert host_python(tmp_path, webui / "extensions" / "sd-webui-lora-loop") == python


def test_a_data_dir_away_from_the_webui(tmp_path: Path) -> None:
    ours = tmp_path / "data" / "extensions" / "lora"
    (tmp_path / "data" / "models").mkdir(parents=True)
    assert find_host(ours) is None
    assert home_folder(extension=ours) == tmp_path / "data" / "lora-loop"


def test_home_by_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_folder(extension=tmp_path / "src" / "lora") == tmp_path / "lora-loop"
    monkeypatch.setenv("LORA_LOOP_HOME", str(tmp_path / "variable"))
    assert home_folder() == tmp_path / "variable"
    assert home_folder(data_dir=tmp_path / "data") == tmp_path / "data" / "lora-loop"
    assert home_folder(Path("told"), tmp_path / "data") == tmp_path / "told"


def test_a_host_told_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "/opt/python")
    assert host_python(tmp_path) == Path("/opt/python")


def other_home_python(folder: Path) -> Path:
    """A program where nobody looks for a WebUI's Python."""
    python = folder / "miniconda" / "envs" / "webui" / "bin" / "python3.10"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return python


def test_f2_the_python_that_runs_the_webui_is_the_one_to_reuse(
    webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """conda, a venv beside the folder, the system's Python: the WebUI's process knows it, and the terminal finds it again."""
    home, ours = webui / "lora-loop", webui / "extensions" / "sd-webui-lora-loop"
    python = other_home_python(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    lend(home, webui)
    assert host_python(home, ours) == python
    assert os.environ["LORA_LOOP_HOST_PYTHON"] == str(python)  # what is started from here sees it
    monkeypatch.delenv("LORA_LOOP_HOST_PYTHON")
    assert host_python(home, ours) == python
    assert find_host(ours, home) == Host(webui, python)


def test_f2_with_a_data_dir_elsewhere(webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    ours = data / "extensions" / "sd-webui-lora-loop"
    ours.mkdir(parents=True)
    python = other_home_python(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.delenv("LORA_LOOP_HOST_PYTHON", raising=False)
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    lend(data / "lora-loop", webui)
    monkeypatch.delenv("LORA_LOOP_HOST_PYTHON")
    host = find_host(ours, data / "lora-loop")
    assert host == Host(webui, python)
    assert (host.kind, host.version) == ("A1111", "1.10.1")


@pytest.mark.parametrize(
    "written",
    ["", "[]", "{", '{"folder": 1, "python": 2}', '{"folder": "/webui", "python": "python"}', '{"python": "\\u0000"}'],
)
def test_a_record_that_is_damaged_or_no_longer_true_is_as_none(webui: Path, tmp_path: Path, written: str) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "webui.json").write_text(written)
    assert host_python(tmp_path, webui / "extensions" / "x") == webui / "venv" / "bin" / "python"
    assert host_python(tmp_path, tmp_path / "clone") is None


def test_a_python_that_was_removed_is_as_none(webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = other_home_python(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    lend(tmp_path, webui)
    monkeypatch.delenv("LORA_LOOP_HOST_PYTHON")
    assert host_python(tmp_path, tmp_path / "clone") == python
    python.unlink()
    assert host_python(tmp_path, tmp_path / "clone") is None


def test_a_persons_own_choice_stays(webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "/opt/python")
    lend(tmp_path / "home", webui)
    assert host_python(tmp_path / "home") == Path("/opt/python")
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_written_does_not_stop_the_webui(
    webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORA_LOOP_HOST_PYTHON", "")
    lend(tmp_path / "file" / "home", webui)
    assert host_python(tmp_path / "file" / "home") == this_python()


def test_a_python_without_a_console_or_inside_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = this_python()
    assert real == Path(sys.executable)
    for name in ("pythonw.exe", "python.exe", "StabilityMatrix.exe"):
        (tmp_path / name).touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "pythonw.exe"))
    assert this_python() == tmp_path / "python.exe"
    for given in (str(tmp_path / "StabilityMatrix.exe"), ""):
        monkeypatch.setattr(sys, "executable", given)
        found = this_python()
        assert found is not None
        assert found.is_relative_to(sys.prefix)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert this_python() is None


@pytest.mark.parametrize(
    ("forge", "readme", "kind", "version"),
    [
        ("version = '2.0.1v1.10.1'\n", "", "Forge", "2.0.1v1.10.1"),
        ('version = "neo"\nrelease = "2.26"\n', "", "Forge Neo", "2.26"),
        ('version = "classic"\nrelease = "1.5"\n', "", "Forge Classic", "1.5"),
        ("version = 'f0.0.17v1.8.0'\n", "# Stable Diffusion WebUI reForge\n", "reForge", "f0.0.17v1.8.0"),
    ],
)
def test_the_forges_are_told_apart(webui: Path, forge: str, readme: str, kind: str, version: str) -> None:
    (webui / "modules_forge").mkdir()
    (webui / "modules_forge" / "forge_version.py").write_text(forge)
    (webui / "README.md").write_text(readme)
    host = Host(webui, None)
    assert (host.kind, host.version, host.is_forge) == (kind, version, True)


def test_sd_next_is_named(webui: Path) -> None:
    (webui / "installer.py").touch()
    (webui / "CHANGELOG.md").write_text("# Change Log for SD.Next\n\n## Update for 2026-07-01\n")
    assert (Host(webui, None).kind, Host(webui, None).version) == ("SD.Next", "2026-07-01")
