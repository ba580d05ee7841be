"""Which runs the epoch grid may be asked about: those that lie in the WebUI's LoRA folders, and no other file."""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.grid import discover
from lib_lora_train.grid.discover import MAX_FILES, SUFFIX, Run
from lib_lora_train.grid.errors import RunNotFound
from lib_lora_train.grid.names import natural, take_apart
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.webui import WebUI


def lora_folders(host: WebUI) -> list[Path]:
    """Where LoRA files are looked for. Raises RequestError in a WebUI without LoRA files."""
    found = [folder for folder in host.lora_folders if folder.is_dir()]
    if not found:
        raise RequestError("This WebUI has no folder of LoRA files; make it, or name it with --lora-dir.")
    return found


def listed(host: WebUI) -> list[str]:
    """The runs by name, `folder/name` below their LoRA folder; those of several files first."""
    found: dict[str, int] = {}
    for folder in host.lora_folders:
        found = {**_counted(folder), **found}  # of two runs of one name, the first folder's is meant
    return sorted(found, key=lambda name: (found[name] < 2, natural(name)))


def _counted(folder: Path) -> Counter[str]:
    files = (path for path in islice(folder.rglob("*" + SUFFIX), MAX_FILES) if not path.name.startswith("."))
    return Counter((path.relative_to(folder).parent / take_apart(path.stem).base).as_posix() for path in files)


def named(host: WebUI, text: str, base: Path | None = None) -> Run:
    """The run of a listed name, of one of its files, or of a path, all in a LoRA folder; the first folder wins.

    Raises RunNotFound, and RequestError for what lies outside.
    """
    folders = lora_folders(host)
    text = text.strip()
    if "/" not in text and "\\" not in text and text not in (".", ".."):
        return discover.find(text + SUFFIX * (not text.endswith(SUFFIX)), folders, base)
    problem: LoraLoopError | None = None
    for folder in folders:
        path = Path(os.path.normpath(folder / text.replace("\\", "/")))
        if not path.is_relative_to(os.path.normpath(folder)):
            continue
        if not path.is_dir() and path.suffix != SUFFIX:
            path = path.with_name(path.name + SUFFIX)
        try:
            return discover.find(str(path), [], base)
        except RunNotFound as error:
            problem = problem or error
    raise problem or RequestError(
        "Only LoRA files in the WebUI's own LoRA folders can be compared; choose one of the list."
    )


def folder_of(host: WebUI, run: Run) -> Path:
    """The LoRA folder in which a run lies. Raises RequestError where that is none."""
    for folder in lora_folders(host):
        if run.folder.is_relative_to(folder):
            return folder
    raise RequestError(f"{run.name} does not lie in the WebUI's LoRA folders; choose one of the list.")
