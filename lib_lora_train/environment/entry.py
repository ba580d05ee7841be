"""From any Python into the trainer's environment."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib_lora_train.environment.build import ensure
from lib_lora_train.environment.launch import command_for
from lib_lora_train.environment.locate import home_folder, host_python
from lib_lora_train.environment.state import Wanted


def wanted_here(home: Path | None = None, data_dir: Path | None = None) -> Wanted:
    """The environment that this checkout asks for, where it lies."""
    return Wanted(home_folder(home, data_dir), host_python())


def enter(module: str, arguments: Sequence[str], home: Path | None = None) -> int:
    """Run `module.main(arguments)` in the environment, building it first if it must be; gives the exit code.

    Raises TrainerEnvironmentError or DiskError when there is none and none can be built.
    """
    environment = ensure(wanted_here(home), say)
    if environment.python == Path(sys.executable) and not environment.packages:
        return importlib.import_module(module).main(list(arguments))
    return replace_process(*command_for(environment, module, arguments))


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
