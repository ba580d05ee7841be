"""Hosts, wheels and locks made on the spot, so that builders run for real but offline and in a second."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pip
import pytest

from lib_lora_train.environment.locks import Lock
from lib_lora_train.environment.state import Wanted

ROOT = Path(__file__).parents[2]

TORCH = {
    "torch/__init__.py": """
from torch.version import __version__
class _No:
    @staticmethod
    def is_available(): return False
cuda = _No
class backends: mps = _No
def from_numpy(array): return array
""",
    "torch/version.py": "__version__ = '2.3.1+cu121'\n",
}
NUMPY = {
    "numpy/__init__.py": """
__version__ = '1.26.2'
class ones:
    def __init__(self, count): pass
    def sum(self): return 3
"""
}


@dataclass
class Shop:
    """A folder of wheels that pip may install from, and nothing else."""

    folder: Path
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, version: str, files: dict[str, str] | None = None) -> str:
        """Make a wheel; gives its line in a lock."""
        files = files or {f"{name}.py": f"__version__ = '{version}'\n"}
        path = self.folder / f"{name}-{version}-py3-none-any.whl"
        about = f"{name}-{version}.dist-info"
        files = {
            **files,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{file},{_digest(text)},{len(text.encode())}" for file, text in files.items()]
        files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,"]) + "\n"
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def lock(self, *lines: str, name: str = "lock.txt") -> Lock:
        """A lock of those lines, written as the real ones are."""
        path = self.folder / name
        path.write_text("".join(line.replace(" --hash", " \\\n    --hash") + "\n" for line in lines), "utf-8")
        return Lock((path,))


@dataclass
class FakeHost:
    """A WebUI's Python: a real virtual environment whose packages are what the test puts there."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python3*/site-packages"))

    def add(self, files: dict[str, str], name: str = "", version: str = "") -> None:
        """Put files there, and the metadata of a distribution."""
        if name:
            files = {
                **files,
                f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            }
        for file, text in files.items():
            path = self.site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def freeze(self) -> str:
        """What its own pip says is installed."""
        return subprocess.run(
            [self.python, "-m", "pip", "freeze", "--all"], capture_output=True, text=True, check=True
        ).stdout

    def listing(self) -> list[tuple[str, int]]:
        """Every file with its time of change, but for byte code."""
        files = (file for file in self.folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        return sorted((str(file), file.stat().st_mtime_ns) for file in files)


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip sees no index and no settings of this machine, unless a test says so."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "LORA_LOOP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TORCH_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Shop(folder)


@pytest.fixture
def bare_host(tmp_path: Path) -> FakeHost:
    """A host with pip and nothing more."""
    host = FakeHost(tmp_path / "webui" / "venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(host.folder)], check=True)
    source = Path(pip.__file__).parent
    shutil.copytree(source, host.site / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    host.add({}, "pip", pip.__version__)
    return host


@pytest.fixture
def host(bare_host: FakeHost) -> FakeHost:
    """A host with a torch and a numpy that only know what the self-test asks."""
    bare_host.add(TORCH, "torch", "2.3.1+cu121")
    bare_host.add(NUMPY, "numpy", "1.26.2")
    return bare_host


@pytest.fixture
def wanted(tmp_path: Path, host: FakeHost, shop: Shop) -> Wanted:
    """An environment of two small packages on that host."""
    lock = shop.lock(shop.add("loopone", "1.0"), shop.add("looptwo", "2.0"))
    return Wanted(tmp_path / "home", host.python, trainer=lock, complete=shop.lock(name="complete.txt"), trial="")


def other_python(version: str) -> str | None:
    """Another Python of that version, if this machine has one that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}*/bin/python"))]
    return next(
        (
            one
            for one in candidates
            if one and subprocess.run([one, "-c", ""], capture_output=True, check=False).returncode == 0
        ),
        None,
    )


def run_python(
    code: str, *arguments: str, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run code that may import the project, by any Python."""
    return subprocess.run(
        [python, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
