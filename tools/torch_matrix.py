"""`make test-torch`: what depends on torch, on the torch of each supported WebUI, in *host mode*: the trainer's packages
are built by our own builder beside an environment that holds that WebUI's torch, numpy and Pillow, as `tests/torch/*.in`
name them.

For each: the self-test with its short training, then the tests marked `torch`. The environments are kept in
`build/torch-VERSION`; the second time only the tests run. With `--prepare` only the environments are made.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora_train.cli import guarded  # noqa: E402
from lib_lora_train.environment.build import ensure, examine, trained  # noqa: E402
from lib_lora_train.environment.errors import TrainerEnvironmentError  # noqa: E402
from lib_lora_train.environment.launch import command_for  # noqa: E402
from lib_lora_train.environment.locate import HOST_PYTHON_VARIABLE  # noqa: E402
from lib_lora_train.environment.locks import Lock  # noqa: E402
from lib_lora_train.environment.state import Environment, Wanted  # noqa: E402

LOCKS = ROOT / "tests" / "torch"
BUILD = ROOT / "build"
TIMEOUT_S = 900
NONE_RAN = 1


@dataclass(frozen=True)
class Host:
    """A WebUI's torch: its lock, and the version of Python that this WebUI runs on."""

    lock: Lock
    python: str

    @property
    def name(self) -> str:
        """`torch-2.1.2`."""
        return self.lock.files[0].stem

    @property
    def folder(self) -> Path:
        """Where its environment is."""
        return BUILD / self.name

    @property
    def interpreter(self) -> Path:
        """The Python of its environment."""
        return self.folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def wanted(self) -> Wanted:
        """The trainer's environment on top of it."""
        return Wanted(self.folder / "lora-loop", self.interpreter)


def main() -> int:
    """Make what is missing, then test; 0 only when every torch that could be run passed, and at least one could."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="only make the environments")
    parser.add_argument("--only", metavar="VERSION", help="one torch, such as 2.1.2")
    options, more = parser.parse_known_args()
    hosts = [host for host in known() if options.only in (None, host.name.removeprefix("torch-"))]
    began, ready = time.monotonic(), []
    for host in hosts:
        python = find_python(host.python)
        if python is None:
            print(f"{host.name} is LEFT OUT: there is no Python {host.python} here.", flush=True)
            continue
        make(host, python)
        ready.append(host)
    if not ready:
        print("None of these torches could be tested here.", file=sys.stderr)
        return NONE_RAN
    if options.prepare:
        return 0
    with ThreadPoolExecutor(min(len(ready), os.cpu_count() or 1)) as pool:
        codes = list(pool.map(lambda host: test(host, more), ready))
    left_out = len(hosts) - len(ready)
    told = f", {left_out} left out" if left_out else ""
    words = "failed" if any(codes) else "passed"
    print(f"{len(ready)} torches{told}: {words} in {time.monotonic() - began:.0f} s", flush=True)
    return max(codes)


def known() -> list[Host]:
    """Every WebUI's torch that has a lock; the first line of its .in file ends with the version of Python."""
    found: list[Host] = []
    for path in sorted(LOCKS.glob("torch-*.in")):
        version = re.search(r"python (\d+\.\d+)$", path.read_text("utf-8").splitlines()[0])
        if version is None:
            raise TrainerEnvironmentError(f"{path} does not say for which Python it is.")
        found.append(Host(Lock((path.with_suffix(".txt"),)), version[1]))
    return found


def find_python(version: str) -> str | None:
    """A Python of that version on this machine: in PATH, of pyenv, or one that uv knows. One that does not start is none."""

    def places() -> Iterator[str]:
        yield f"python{version}"
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        yield from (str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))
        asked = uv("python", "find", "--no-python-downloads", version, check=False)
        yield asked.stdout.strip()

    check = f"import sys, venv; sys.exit(sys.version_info[:2] != ({version.replace('.', ', ')}))"
    for place in places():
        program = shutil.which(place) if place else None
        if program and subprocess.run([program, "-c", check], capture_output=True, check=False).returncode == 0:
            return program
    return None


def make(host: Host, python: str) -> None:
    """The environment with the WebUI's torch, the trainer's packages beside it, and pytest, unless they are there."""
    stamp = host.folder / f"made-{host.lock.digest(tools().digest())}"
    if not stamp.is_file():
        began = time.monotonic()
        print(f"{host.name} (Python {host.python}): fetching torch, 1 to 3 GB, once …", flush=True)
        shutil.rmtree(host.folder, ignore_errors=True)
        uv("venv", "-q", "--python", python, str(host.folder / "venv"))
        install(host.lock, "--python", str(host.interpreter))
        install(tools(), "--python", str(host.interpreter), "--target", str(host.folder / "tools"))
        stamp.touch()
        print(f"{host.name} is there after {time.monotonic() - began:.0f} s.", flush=True)
    ensure(host.wanted, lambda line: print(f"{host.name}: {line}", flush=True))


def test(host: Host, more: list[str]) -> int:
    """The self-test and the tests; what they say is printed as one piece."""
    began, environment = time.monotonic(), ensure(host.wanted, print)
    found = examine(environment, host.wanted.lock, host.wanted.trial)
    told = "; ".join(found["problems"]) or f"self-test: {trained(found['trial'])}"
    if found["problems"]:
        print(f"== {host.name}: {told}", flush=True)
        return NONE_RAN
    done = run(environment, host, ["-m", "torch", f"--timeout={TIMEOUT_S}", *more, *marked()])
    took = time.monotonic() - began
    print(f"== {host.name} (Python {found['python']}, torch {found['torch']}); {told}\n{done.stdout}", flush=True)
    print(f"== {host.name}: {'passed' if done.returncode == 0 else 'FAILED'} in {took:.0f} s", flush=True)
    return done.returncode


def run(environment: Environment, host: Host, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """pytest in the trainer's environment, as the trainer itself is started there."""
    seen = replace(environment, packages=(*environment.packages, host.folder / "tools"))
    folder = f"--basetemp={host.folder / 'tmp'}"
    command, variables = command_for(seen, "pytest", ["-p", "no:cacheprovider", folder, *arguments])
    variables[HOST_PYTHON_VARIABLE] = str(host.interpreter)
    return subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def marked() -> list[str]:
    """The files with tests marked `torch`: the others need not be imported, nor have what they import."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "mark.torch" in file.read_text("utf-8")]


def tools() -> Lock:
    """pytest and its like, for every Python of the WebUIs."""
    return Lock((LOCKS / "tools.txt",))


def install(lock: Lock, *where: str) -> None:
    """Install a lock by uv, which is quicker than pip where there are gigabytes."""
    uv("pip", "install", "-q", "--no-deps", "--require-hashes", *where, "-r", str(lock.files[0]))


def uv(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the uv of the development tools. Raises TrainerEnvironmentError with its last words."""
    done = subprocess.run([sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["without a message"])[-1]
        raise TrainerEnvironmentError(f"uv {arguments[0]} failed: {last}.")
    return done


if __name__ == "__main__":
    sys.exit(guarded(main))
