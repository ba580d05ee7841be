"""From any Python into the trainer's environment."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from lib_lora_train.environment.build import ensure, rebuild
from lib_lora_train.environment.launch import command_for
from lib_lora_train.environment.locate import home_folder, host_python
from lib_lora_train.environment.size import share
from lib_lora_train.environment.state import Environment, Wanted, find, light

BAR_SIGNS = 40


def wanted_here(home: Path | None = None, data_dir: Path | None = None) -> Wanted:
    """The environment that this checkout asks for, where it lies."""
    found = home_folder(home, data_dir)
    return Wanted(found, host_python(found))


def enter(module: str, arguments: Sequence[str], home: Path | None = None) -> int:
    """Run `module.main(arguments)` in the environment, building it first if it must be; gives the exit code.

    Raises TrainerEnvironmentError or DiskError when there is none and none can be built.
    """
    return _run_in(built(wanted_here(home)), module, arguments)


def enter_light(module: str, arguments: Sequence[str], home: Path | None = None) -> int:
    """The same with any environment that is there, else with the few packages that work without torch."""
    wanted = wanted_here(home)
    return _run_in(find(wanted) or built(light(wanted.home)), module, arguments)


def _run_in(environment: Environment, module: str, arguments: Sequence[str]) -> int:
    if environment.python == Path(sys.executable) and not environment.packages:
        return importlib.import_module(module).main(list(arguments))
    return replace_process(*command_for(environment, module, arguments))


def built(wanted: Wanted, again: bool = False) -> Environment:
    """`build.ensure` (or `rebuild`) with its progress on the terminal: a bar where there is one, else lines."""
    with Bar(sys.stderr, lambda: share(wanted)) as bar:
        return rebuild(wanted, bar.say) if again else ensure(wanted, bar.say)


@dataclass
class Bar:
    """Lines for a person, and on a terminal a bar below them that moves by itself while a build is on its way."""

    stream: TextIO
    share: Callable[[], float]
    every_s: float = 1.0
    _done: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _far: float = field(default=0.0, init=False)
    _width: int = field(default=0, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._wipe()

    def say(self, line: str) -> None:
        """One line above the bar, which begins with the first."""
        with self._lock:
            self._wipe()
            self.stream.write(line + "\n")
            self.stream.flush()
        if self._thread is None and self.stream.isatty():
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def _draw(self) -> None:
        while not self._done.wait(self.every_s):
            self._far = max(self._far, self.share())
            full = round(self._far * BAR_SIGNS)
            text = f"[{'#' * full}{'.' * (BAR_SIGNS - full)}] {self._far:4.0%}"
            with self._lock:
                self._wipe()
                self.stream.write(text)
                self.stream.flush()
                self._width = len(text)

    def _wipe(self) -> None:
        if self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self._width = 0


def say(line: str) -> None:
    """A line of progress for a person, on stderr: stdout belongs to the command."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def replace_process(
    command: Sequence[str], variables: Mapping[str, str], windows: bool = sys.platform == "win32"
) -> int:
    """Become that process, so that signals, terminal and exit code are its own; on Windows, wait for it.

    Windows' own exec ends the first process at once and the shell would not wait for the second.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if not windows:
        os.execve(command[0], list(command), dict(variables))
    process = subprocess.Popen(list(command), env=dict(variables))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the console gave it to the child as well, which stops in its own way
