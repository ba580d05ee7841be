"""The finder, in real processes: which of the host's packages the trainer sees, and its workers too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.environment.activate import HOST_PATHS_VARIABLE, PACKAGES_VARIABLE, activate
from lib_lora_train.environment.build import ensure
from lib_lora_train.environment.launch import command_for
from lib_lora_train.environment.state import Environment, Wanted

from .conftest import FakeHost, Shop

LOOK = """
import importlib.metadata, importlib.util, json, sys
NAMES = ("torch", "numpy", "transformers", "bitsandbytes", "xformers", "google", "google.protobuf", "gradio")

def look():
    seen = {}
    for name in NAMES:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        seen[name] = spec.origin if spec else None
    names = sorted(d.metadata["Name"] for d in importlib.metadata.distributions())
    import transformers
    return {"seen": seen, "distributions": names, "transformers": transformers.__version__}

def main(arguments):
    print(json.dumps(look()))
    return 0
"""

LOADER = """
import json
import torch
from torch.utils.data import DataLoader
import look_around

class Set(torch.utils.data.Dataset):
    def __len__(self): return 1
    def __getitem__(self, index): return json.dumps(look_around.look())

def main(arguments):
    loader = DataLoader(Set(), num_workers=1, multiprocessing_context="spawn")
    [[found]] = list(loader)
    print(found)
    return 0
"""
POISON = {"bitsandbytes/__init__.py": "raise RuntimeError('CUDA setup failed')\n"}


def run(environment: Environment, module: str, **variables: str) -> dict[str, Any]:
    command, environ = command_for(environment, module, [])
    done = subprocess.run(
        command, env={**environ, **variables}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def poisoned(host: FakeHost) -> FakeHost:
    """A host as people have them: old, broken and surprising packages."""
    host.add(POISON, "bitsandbytes", "0.41.0")
    host.add({"xformers/__init__.py": "raise ImportError('built for another torch')\n"}, "xformers", "0.0.20")
    host.add({"transformers/__init__.py": "__version__ = '4.30.2'\n"}, "transformers", "4.30.2")
    host.add({"gradio/__init__.py": ""}, "gradio", "3.41.2")
    # What old google packages install: at start, `google` is a namespace that only knows the host's folder.
    namespace = "import sys, types; m = types.ModuleType('google'); m.__path__ = [{!r}]; sys.modules['google'] = m\n"
    host.add({"google_old-nspkg.pth": namespace.format(str(host.site / "google")), "google/old/__init__.py": ""})
    return host


@pytest.fixture
def lines(shop: Shop) -> list[str]:
    return [
        shop.add(
            "transformers", "99.0", {"transformers/__init__.py": "__version__ = '99.0'\nclass CLIPTextModel: pass\n"}
        ),
        shop.add("protobuf", "99.1", {"google/protobuf/__init__.py": ""}),
        shop.add("look_around", "1.0", {"look_around.py": LOOK}),
        shop.add("look_loader", "1.0", {"_look_loader.py": LOADER}),
    ]


@pytest.fixture
def environment(wanted: Wanted, poisoned: FakeHost, shop: Shop, lines: list[str]) -> Environment:
    return ensure(replace(wanted, trainer=shop.lock(*lines)), print)


def test_of_the_host_only_torch_and_its_own_are_seen(environment: Environment, poisoned: FakeHost) -> None:
    found = run(environment, "look_around")
    seen = found["seen"]
    assert seen["torch"] == str(poisoned.site / "torch" / "__init__.py")
    assert seen["numpy"] == str(poisoned.site / "numpy" / "__init__.py")
    assert seen["bitsandbytes"] is seen["xformers"] is seen["gradio"] is None
    assert found["transformers"] == "99.0"
    assert seen["google.protobuf"] == str(environment.packages[0] / "google" / "protobuf" / "__init__.py")
    assert found["distributions"] == ["look_around", "look_loader", "numpy", "protobuf", "torch", "transformers"]


def test_a_package_can_be_let_through_by_hand(environment: Environment) -> None:
    found = run(environment, "look_around", LORA_LOOP_ALSO_FROM_HOST="xformers")
    assert found["seen"]["xformers"] is not None
    assert "xformers" in found["distributions"]
    assert found["seen"]["bitsandbytes"] is None


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs a torch to lend")
def test_a_spawned_loader_worker_sees_the_same(
    wanted: Wanted, poisoned: FakeHost, shop: Shop, lines: list[str]
) -> None:
    for name in ("torch", "numpy"):
        shutil.rmtree(poisoned.site / name)
        shutil.rmtree(next(poisoned.site.glob(f"{name}-*.dist-info")))
    lend_torch(poisoned)
    environment = ensure(replace(wanted, trainer=shop.lock(*lines)), print)
    found = run(environment, "_look_loader")
    assert found["transformers"] == "99.0"
    assert found["seen"]["bitsandbytes"] is None
    assert found["seen"]["gradio"] is None
    assert found["seen"]["torch"].endswith("torch/__init__.py")
    assert "transformers" in found["distributions"]
    assert "pytest" not in found["distributions"]


def lend_torch(host: FakeHost) -> None:
    """Let the host have the running torch, and all else that is installed here."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    host.add({"zz_lent.pth": str(Path(spec.origin).parents[1]) + "\n"})


@pytest.mark.slow
@pytest.mark.index
@pytest.mark.skipif(find_spec("torch") is None, reason="needs a torch to lend")
def test_the_real_lock_on_a_host_with_a_real_torch(
    tmp_path: Path, bare_host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name)
    bare_host.add(POISON, "bitsandbytes", "0.41.0")
    bare_host.add({"transformers/__init__.py": "__version__ = '4.30.2'\n"}, "transformers", "4.30.2")
    lend_torch(bare_host)
    frozen = bare_host.freeze()
    made = ensure(Wanted(tmp_path / "home", bare_host.python), print)
    assert bare_host.freeze() == frozen
    assert "transformers==4.30.2" in frozen
    assert (made.packages[0] / "transformers").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="needs the interpreter to be one file that can be copied")
def test_an_embeddable_python_that_ignores_pythonpath(
    tmp_path: Path, poisoned: FakeHost, environment: Environment
) -> None:
    """The one-click zip's Python has a `._pth` file, which switches off PYTHONPATH, the script's folder and `-m`."""
    python = tmp_path / "embedded" / "python"
    python.parent.mkdir()
    shutil.copy2(os.path.realpath(sys.executable), python)
    library = sysconfig.get_path("stdlib")
    lines = [library, str(Path(library) / "lib-dynload"), str(poisoned.site), "import site"]
    python.with_name("python._pth").write_text("\n".join(lines) + "\n", "utf-8")
    isolated = subprocess.run(
        [python, "-c", "import sys; print(sys.flags.isolated)"], capture_output=True, text=True, check=False
    )
    if isolated.stdout.strip() != "1":
        pytest.skip("this Python does not read ._pth files")
    found = run(replace(environment, python=python), "look_around")
    assert found["transformers"] == "99.0"
    assert found["seen"]["bitsandbytes"] is None


def test_without_the_variables_nothing_happens() -> None:
    before = list(sys.path), list(sys.meta_path), set(sys.modules)
    activate({})
    assert (list(sys.path), list(sys.meta_path), set(sys.modules)) == before


def test_twice_is_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "host")])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    variables = {PACKAGES_VARIABLE: str(tmp_path / "ours"), HOST_PATHS_VARIABLE: str(tmp_path / "host")}
    activate(variables)
    once = list(sys.path), len(sys.meta_path)
    activate(variables)
    assert (list(sys.path), len(sys.meta_path)) == once
    assert sys.path[0] == str(tmp_path / "ours")
    assert str(tmp_path / "host") not in sys.path
