"""The command line and variables of a process in the trainer's environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lib_lora_train.environment.activate import HOST_PATHS_VARIABLE, PACKAGES_VARIABLE
from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.environment.locate import HOME_VARIABLE, host_python
from lib_lora_train.environment.state import Environment, Wanted, find

# The WebUI sets the first for its installers; each would put other packages before ours or run other people's code.
DROPPED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONSAFEPATH",
    PACKAGES_VARIABLE,
    HOST_PATHS_VARIABLE,
    # Set by the WebUIs for themselves: where Forge keeps models, how it allocates, flags of its start script.
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGINGFACE_ASSETS_CACHE",
    "TRANSFORMERS_CACHE",
    "COMMANDLINE_ARGS",
    "SD_WEBUI_RESTARTING",
    "MPLBACKEND",
    "PIP_CONSTRAINT",
)
DROPPED_PREFIXES = ("GRADIO_",)
SET = {
    "PYTHONUTF8": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# Spinning helper threads make CPU training three times slower as soon as something else wants a core.
SUGGESTED = {"OMP_WAIT_POLICY": "PASSIVE"}


def trainer_command(home: Path, module: str, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The argument list and the whole environment that run `module.main(arguments)` with the trainer's packages.

    Raises TrainerEnvironmentError when the environment is not built yet. Starts nothing.
    """
    found = find(Wanted(home, host_python(home)))
    if found is None:
        raise TrainerEnvironmentError(
            f"The trainer's packages are not in {home} yet; press Build in the Train tab, or run 'python -m lib_lora_train doctor --build' once."
        )
    return command_for(found, module, arguments)


def command_for(environment: Environment, module: str, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The same for an environment that was found before. Nothing is added to what `arguments` say; no shell."""
    start = Path(__file__).absolute().parent / "start.py"
    variables = SUGGESTED | {name: value for name, value in os.environ.items() if _is_passed_on(name)} | SET
    variables[HOME_VARIABLE] = str(environment.home)
    if environment.packages:
        variables[PACKAGES_VARIABLE] = os.pathsep.join(map(str, environment.packages))
    if environment.host_paths:
        variables[HOST_PATHS_VARIABLE] = os.pathsep.join(map(str, environment.host_paths))
    return [str(environment.python), str(start), module, *arguments], variables


def _is_passed_on(name: str) -> bool:
    """CUDA_VISIBLE_DEVICES is: it says which card the person gave to the WebUI."""
    return name not in DROPPED and not name.startswith(DROPPED_PREFIXES)
