"""Building an environment: into a temporary folder, tested there, then renamed. The host's packages are never touched.

A build that is killed leaves a folder that ends in `.tmp`, which the next build removes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lib_lora_train.environment import pip, probe
from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.environment.guard import Report, one_builder
from lib_lora_train.environment.launch import command_for
from lib_lora_train.environment.locks import Lock, bitsandbytes_lock
from lib_lora_train.environment.size import expected
from lib_lora_train.environment.state import (
    Environment,
    Wanted,
    add_tested,
    find,
    load,
    package_folders,
    tested_key,
    venv_python,
)
from lib_lora_train.files import atomic
from lib_lora_train.files.errors import DiskError

READY = "The trainer's environment is ready"
NEEDED_MIB = {"host": 600, "complete": 8000}
SELF_TEST = "lib_lora_train.environment.selftest"
SELF_TEST_S = 900
"""Longer than the slowest disk and processor take for all imports and two steps of training."""


def ensure(wanted: Wanted, report: Report) -> Environment:
    """The environment, built now if it is not there. `report` gets a readable line for each thing done.

    Raises TrainerEnvironmentError (exit code 8) or DiskError (7); what was there before is then as it was.
    """
    found = find(wanted)
    if found is not None:
        return found
    with atomic.disk_errors("The trainer's environment", wanted.folder), one_builder(wanted.folder, report):
        return find(wanted) or _build(wanted, report)


def rebuild(wanted: Wanted, report: Report) -> Environment:
    """Remove the environment and build it again (for another torch build, or after damage)."""
    with atomic.disk_errors("The trainer's environment", wanted.folder), one_builder(wanted.folder, report):
        for folder in wanted.folder.glob(f"cp*{wanted.suffix}"):
            _remove(folder)
        return _build(wanted, report)


def add_bitsandbytes(environment: Environment, report: Report, lock: Lock | None = None) -> None:
    """Install the bitsandbytes that this environment's torch works with, for the 8-bit optimizers; needs CUDA."""
    if environment.folder is None:
        raise TrainerEnvironmentError(
            "This Python was not built by LoRA Loop; install bitsandbytes into it with its own pip."
        )
    if not examine(environment, Lock(())).get("cuda"):
        raise TrainerEnvironmentError(
            "bitsandbytes needs an NVIDIA card that torch can use, and there is none here; choose AdamW instead."
        )
    lock = lock or bitsandbytes_lock(environment.torch)
    [pin] = lock.pins()
    target = environment.folder / "extras" / f"{pin.name}-{pin.version}"
    with atomic.disk_errors("bitsandbytes", environment.folder), one_builder(environment.folder.parent, report):
        if target.is_dir():
            return
        temporary = target.with_name(target.name + ".tmp")
        _remove(temporary)
        program = _pip_of(_ask(environment.python), environment.python)
        pip.install(program, _into(temporary, lock), target.parent / "pip.tmp", report, 1)
        atomic.rename(temporary, target)


def examine(environment: Environment, lock: Lock, trial: str = "", torch: bool = True) -> dict[str, Any]:
    """Run the self-test in the environment and give its report; its `problems` are parts of sentences.

    `trial` is the module that trains for a moment (see `state.TRIAL`), "" for none; `torch` is whether there is to be one.
    """
    options = [*(["--trial", trial] if trial else []), *([] if torch else ["--without-torch"])]
    command, variables = command_for(environment, SELF_TEST, [*options, *(str(file.absolute()) for file in lock.files)])
    try:
        done = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=SELF_TEST_S,
        )
    except subprocess.TimeoutExpired:
        return {"problems": [f"the self-test did not end within {SELF_TEST_S // 60} minutes"]}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        return {"problems": [f"the self-test did not finish ({last})"]}


def trained(trial: dict[str, Any]) -> str:
    """What the self-test's short training showed, for a person; "" where none was made."""
    if "seconds" not in trial:
        return f"left out: {trial['skipped']}" if trial.get("skipped") else ""
    return f"two steps, a save and a load back on {trial['device']} ({trial['precision']}) in {trial['seconds']} s"


def _build(wanted: Wanted, report: Report) -> Environment:
    began = time.monotonic()
    _sweep(wanted.folder)
    about = _about_python(wanted)
    version = tuple(about["version"]) if about else sys.version_info[:3]
    # Without torch there is nothing to reuse of that Python's packages, and so nothing to hide.
    paths = tuple(Path(path) for path in about["paths"]) if about and wanted.torch else ()
    folder = wanted.folder / wanted.name(version)
    if folder.is_dir() and wanted.host_python:
        report("Checking the trainer's packages with this WebUI's torch, and training two steps …")
        _test(wanted, folder, paths, report)
    else:
        size = expected(wanted, version)
        _check_space(wanted)
        report(f"To do, once: {size.sentence}.")
        _remove(folder)
        temporary = wanted.folder / f"{folder.name}.{os.getpid()}.tmp"
        try:
            _fill(wanted, temporary, about, report)
            report("Testing them with a short training …" if wanted.trial else "Testing them …")
            _test(wanted, temporary, paths, report)
            if hasattr(os, "sync"):
                os.sync()  # one call for all the files, before the name that says they are whole
            atomic.rename(temporary, folder)
        finally:
            _remove(temporary)
    report(f"{READY} ({time.monotonic() - began:.0f} s): {folder}")
    found = load(wanted, folder)
    if found is None:
        raise TrainerEnvironmentError(
            f"The environment in {folder} changed while it was built; run the same command again."
        )
    return found


def _fill(wanted: Wanted, temporary: Path, about: dict[str, Any], report: Report) -> None:
    """Install everything into `temporary`."""
    scratch = temporary / "pip"
    if wanted.host_python:
        total = sum(pin.applies(tuple(about["version"])) for pin in wanted.lock.pins())
        if wanted.torch:
            report(f"Installing {total} packages beside the WebUI; its own packages stay as they are.")
        program = _pip_of(about, wanted.host_python)
        pip.install(program, _into(temporary / "packages", wanted.lock), scratch, report, total)
    else:
        _fill_complete(wanted, temporary, report)
    shutil.rmtree(scratch, ignore_errors=True)


def _fill_complete(wanted: Wanted, temporary: Path, report: Report) -> None:
    _check_venv_module()
    report(f"Making the trainer's environment: {temporary.parent}")
    venv = subprocess.run(
        [sys.executable, "-m", "venv", str(temporary / "venv")], capture_output=True, text=True, check=False
    )
    if venv.returncode != 0:
        last = (venv.stderr or venv.stdout).strip().splitlines()[-1:]
        raise TrainerEnvironmentError(
            f"Python's venv module could not make an environment ({' '.join(last)}); {_VENV_CURE}."
        )
    python = venv_python(temporary)
    pins = [pin for pin in wanted.lock.pins() if pin.applies()]
    scratch = temporary / "pip"
    report(f"Installing {len(pins)} packages …")
    pip.install(pip.of(python), _options(wanted.lock), scratch, report, len(pins))
    held = temporary / "held.txt"  # torch brings its own libraries, and must move none of ours
    held.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins), "utf-8")
    report(f"Installing {wanted.torch} …")
    pip.install(
        pip.of(python), ["--only-binary=:all:", "-c", str(held), *pip.torch_arguments(wanted.torch)], scratch, report
    )
    held.unlink()


_VENV_CURE = "install it (on Debian and Ubuntu: apt install python3-venv), or start with another Python 3.10 to 3.13"


def _check_venv_module() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainerEnvironmentError(
            f"This Python ({sys.executable}) has no {missing[0]} module, which makes the trainer's environment; {_VENV_CURE}."
        )


def _options(lock: Lock) -> list[str]:
    files = [part for file in lock.files for part in ("-r", str(file))]
    return ["--no-deps", "--only-binary=:all:", "--require-hashes", *files]


def _into(target: Path, lock: Lock) -> list[str]:
    return ["--target", str(target), *_options(lock)]


def _ask(python: Path) -> dict[str, Any]:
    """What a Python says of itself. Raises TrainerEnvironmentError when it does not start."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    script = str(Path(probe.__file__).absolute())
    try:
        done = subprocess.run([str(python), script], env=variables, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise TrainerEnvironmentError(
            f"The WebUI's Python at {python} does not start ({error}); start the WebUI once so that it mends itself."
        ) from error


def _about_python(wanted: Wanted) -> dict[str, Any]:
    """What the Python to install beside says of itself; empty for an environment of its own."""
    if wanted.host_python is None:
        return {}
    return _ask_host(wanted.host_python) if wanted.torch else _ask(wanted.host_python)


def _ask_host(python: Path) -> dict[str, Any]:
    """What the host's Python says of itself; raises TrainerEnvironmentError if it cannot lend a torch."""
    about = _ask(python)
    if not about["has_torch"]:
        raise TrainerEnvironmentError(
            f"The WebUI's Python at {python} has no torch yet; start the WebUI once so that it installs it."
        )
    if tuple(about["version"]) < (3, 10):
        raise TrainerEnvironmentError(
            f"The WebUI's Python at {python} is older than 3.10, which the trainer needs; update the WebUI's Python."
        )
    _pip_of(about, python)
    return about


def _pip_of(about: dict[str, Any], python: Path) -> list[str]:
    """The command of the pip that this Python has, or comes with. Raises TrainerEnvironmentError."""
    if not about["pip"]:
        raise TrainerEnvironmentError(
            f"The Python at {python} has no pip and comes with none; install pip for it, then try again."
        )
    return [str(python), *about["pip"]]


def _test(wanted: Wanted, folder: Path, paths: tuple[Path, ...], report: Report) -> None:
    """Test what is in `folder` with the Python that will use it, and record that it works."""
    environment = Environment(
        wanted.home, wanted.host_python or venv_python(folder), folder, package_folders(folder), paths
    )
    found = examine(environment, wanted.lock, wanted.trial, bool(wanted.torch))
    problems = found.get("problems", [])
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TrainerEnvironmentError(
            f"The trainer's packages were installed but do not work: {problems[0]}{more}; run 'doctor' for the whole report."
        )
    if told := trained(found["trial"]):
        report(f"A short training: {told}.")
    add_tested(
        folder,
        tested_key(wanted),
        {
            "paths": [str(path) for path in paths],
            "torch": found["torch"],
            "cuda": found["cuda"],
            "trial": found["trial"],
        },
    )


def _check_space(wanted: Wanted) -> None:
    needed = NEEDED_MIB["host" if wanted.host_python else "complete"]
    free = shutil.disk_usage(wanted.folder).free // 2**20
    if free < needed:
        raise DiskError(
            f"The trainer's environment needs {needed} MiB in {wanted.folder} and only {free} MiB are free; free some space or choose another --home."
        )


def _sweep(folder: Path) -> None:
    for leftover in folder.glob("*.tmp"):
        _remove(leftover)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
