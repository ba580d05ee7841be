"""What the host's process imports works where torch cannot be imported. The list is import-linter's, in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CONTRACT = "the host's side never imports torch"
BLOCK = """
import importlib, sys
for name in sys.argv[2:]:
    sys.modules[name] = None
importlib.import_module(sys.argv[1])
"""


def contract() -> dict[str, list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return next(one for one in settings["tool"]["importlinter"]["contracts"] if one["name"] == CONTRACT)


def modules() -> list[str]:
    found = []
    for name in contract()["source_modules"]:
        path = ROOT.joinpath(*name.split("."))
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        found += [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return found


@pytest.mark.parametrize("name", modules())
def test_imports_without_torch(name: str) -> None:
    command = [sys.executable, "-c", BLOCK, name, *contract()["forbidden_modules"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
