"""Finding home and the WebUI, from folders only."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.environment.locate import Host, find_host, home_folder, host_python


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
