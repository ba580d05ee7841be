"""Set up everything that `make test` needs in `build/`: the trainer's environment, by our own builder, the tools, and
the two hosts' gradios for the browser tests.

Writes the interpreter's path to `build/python.path`. The second time it only looks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora_train.cli import guarded  # noqa: E402
from lib_lora_train.environment import pip  # noqa: E402
from lib_lora_train.environment.build import ensure  # noqa: E402
from lib_lora_train.environment.entry import say  # noqa: E402
from lib_lora_train.environment.errors import TrainerEnvironmentError  # noqa: E402
from lib_lora_train.environment.locks import Lock  # noqa: E402
from lib_lora_train.environment.state import Wanted  # noqa: E402


def main() -> int:
    """Build what is missing."""
    if sys.version_info < (3, 11):
        raise TrainerEnvironmentError(
            "The development tools need Python 3.11 or newer; run 'make test BOOT=python3.11'."
        )
    build = ROOT / "build"
    environment = ensure(Wanted(build / "lora-loop"), say)
    if environment.folder is not None:
        _add_tools(environment.python, environment.folder, Lock((ROOT / "requirements-dev.txt",)))
    for lock in sorted((ROOT / "tests" / "ui").glob("gradio-*.txt")):
        _add_page(build / lock.stem, Lock((lock,)))
    build.mkdir(exist_ok=True)
    (build / "python.path").write_text(str(environment.python) + "\n", "utf-8")
    return 0


def _add_tools(python: Path, folder: Path, lock: Lock) -> None:
    stamp = folder / f"tools-{lock.digest()}"
    if stamp.exists():
        return
    pins = [pin for pin in lock.pins() if pin.applies()]
    say(f"Installing {len(pins)} development packages …")
    pip.install(
        pip.of(python), ["--no-deps", "--require-hashes", "-r", str(lock.files[0])], folder / "pip", say, len(pins)
    )
    stamp.touch()


def _add_page(folder: Path, lock: Lock) -> None:
    """An environment with the packages of one host's page, for the browser tests. Without it they are skipped."""
    stamp = folder / f"page-{lock.digest()}"
    if stamp.exists():
        return
    say(f"Making {folder.name} for the browser tests …")
    try:
        venv.create(folder, with_pip=True, clear=True)
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        arguments = ["--require-hashes", "--only-binary=:all:", "-r", str(lock.files[0])]
        pip.install(pip.of(python), arguments, folder / "pip", say, len(lock.pins()))
    except (TrainerEnvironmentError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        say(f"{folder.name} could not be made, so its browser tests are skipped: {error}")
        return
    stamp.touch()


if __name__ == "__main__":
    sys.exit(guarded(main))
