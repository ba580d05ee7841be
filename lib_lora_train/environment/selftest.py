"""Run inside a new environment: imports everything that the lock names, compares the versions, and trains two steps.

`main` prints one JSON object as its last line. Nothing of torch at import, as this also runs where torch is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib_lora_train.environment.activate import PACKAGES_VARIABLE
from lib_lora_train.environment.locks import Lock, Pin, release

TORCH_MINIMUM = (2, 1)
# These import their parts only when asked for them; the parts are what breaks with the wrong torch.
DEEP = {
    "accelerate": ("accelerate", "Accelerator"),
    "diffusers": ("diffusers", "UNet2DConditionModel"),
    "peft": ("peft", "LoraConfig"),
    "transformers": ("transformers", "CLIPTextModel"),
}


def main(arguments: list[str]) -> int:
    """Examine what the lock files named in `arguments` list, train for a moment if a module for that is named, and print
    the report. Always ends with 0: the report says the rest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trial", metavar="MODULE", help="train by its run()")
    parser.add_argument("--without-torch", action="store_true", help="there is to be no torch")
    parser.add_argument("locks", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        found = examine(Lock(tuple(options.locks)), not options.without_torch)
        if options.trial and not found["problems"]:
            found["trial"] = _train(options.trial, found["problems"])
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _train(module: str, problems: list[str]) -> dict[str, Any]:
    """What the module's `run()` tells of its short training: `device`, `precision`, `seconds`; empty when it failed."""
    try:
        return dict(importlib.import_module(module).run())
    except Exception as error:  # what a torch lacks, or a device cannot do, shows itself in any way
        problems.append(f"a short training fails ({type(error).__name__}: {str(error).rstrip('.')})")
        return {}


def examine(lock: Lock, torch: bool = True) -> dict[str, Any]:
    """The report: versions, devices, and `problems`, each a part of a sentence."""
    problems: list[str] = []
    about: dict[str, Any] = {
        "python": sys.version.split()[0],
        "torch": "",
        "cuda": False,
        "mps": False,
        "devices": [],
        "trial": {},
    }
    try:
        about |= _torch(problems) if torch else {}
    except Exception as error:  # a torch can break in any way, and which one is what we are here to say
        problems.append(f"torch cannot be used ({type(error).__name__}: {error})")
    packages: dict[str, str] = {}
    for pin in (pin for pin in lock.pins() if pin.applies()):
        try:
            packages[pin.name] = importlib.metadata.version(pin.name)
            problems.extend(_examine(pin, packages[pin.name]))
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{pin.name} is not there")
        except Exception as error:
            problems.append(f"{pin.name} cannot be imported ({type(error).__name__}: {error})")
    return {**about, "packages": packages, "problems": problems}


def _examine(pin: Pin, version: str) -> Iterator[str]:
    if version != pin.version:
        yield f"{pin.name} is {version} and the lock says {pin.version}"
    ours = [folder for folder in os.environ.get(PACKAGES_VARIABLE, "").split(os.pathsep) if folder]
    for name in _modules(pin.name):
        module = importlib.import_module(name)
        file = getattr(module, "__file__", None) or ""
        if ours and pin.name not in ("bitsandbytes",) and not any(Path(file).is_relative_to(folder) for folder in ours):
            yield f"{name} comes from {file} and not from the trainer's own folder"
    if pin.name in DEEP:
        module_name, attribute = DEEP[pin.name]
        getattr(importlib.import_module(module_name), attribute)


def _modules(distribution: str) -> list[str]:
    """The topmost importable packages and modules of a distribution, private ones and test folders left out."""
    files = [
        file.parts
        for file in importlib.metadata.files(distribution) or []
        if file.suffix == ".py" and ".." not in file.parts
    ]
    packages = sorted({parts[:-1] for parts in files if parts[-1] == "__init__.py" and len(parts) > 1}, key=len)
    tops = [
        parts for parts in packages if not any(parts[: len(other)] == other for other in packages if other != parts)
    ]
    names = [*tops, *((parts[0].removesuffix(".py"),) for parts in files if len(parts) == 1)]
    return [
        ".".join(parts)
        for parts in names
        if not any(part.startswith("_") or part in ("tests", "test") for part in parts)
    ]


def _torch(problems: list[str]) -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")
    numpy: Any = importlib.import_module("numpy")
    version = str(torch.__version__)
    if release(version) < TORCH_MINIMUM:
        problems.append(f"torch {version} is older than 2.1, which the trainer needs; update the WebUI's torch")
    try:
        torch.from_numpy(numpy.ones(3)).sum()
    except RuntimeError as error:
        problems.append(f"torch {version} and numpy {numpy.__version__} do not fit ({error})")
    cuda = bool(torch.cuda.is_available())
    return {
        "torch": version,
        "cuda": cuda,
        "mps": bool(torch.backends.mps.is_available()),
        "devices": [_device(torch, index) for index in range(torch.cuda.device_count())] if cuda else [],
    }


def _device(torch: Any, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}
