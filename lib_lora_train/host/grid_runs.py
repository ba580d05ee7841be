"""Which runs the epoch grid may be asked about: those that lie in the WebUI's LoRA folder, and no other file."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from lib_lora_train.grid import discover
from lib_lora_train.grid.discover import MAX_FILES, SUFFIX, Run
from lib_lora_train.grid.names import natural, take_apart
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.webui import WebUI


def lora_folder(host: WebUI) -> Path:
    """Where LoRA files are looked for. Raises RequestError in a WebUI without LoRA files."""
    if host.lora_folder is None or not host.lora_folder.is_dir():
        raise RequestError("This WebUI has no folder of LoRA files; make it, or name it with --lora-dir.")
    return host.lora_folder


def listed(host: WebUI) -> list[str]:
    """The runs by name, `folder/name` below the LoRA folder; those of several files first."""
    if host.lora_folder is None:
        return []
    found: Counter[str] = Counter()
    for number, path in enumerate(host.lora_folder.rglob("*" + SUFFIX)):
        if number >= MAX_FILES:
            break
        if not path.name.startswith("."):
            found[(path.relative_to(host.lora_folder).parent / take_apart(path.stem).base).as_posix()] += 1
    return sorted(found, key=lambda name: (found[name] < 2, natural(name)))


def named(host: WebUI, text: str, base: Path | None = None) -> Run:
    """The run of a listed name, of one of its files, or of a path, all in the LoRA folder.

    Raises RunNotFound, and RequestError for what lies outside.
    """
    folder = lora_folder(host)
    text = text.strip()
    if "/" not in text and "\\" not in text and text not in (".", ".."):
        return discover.find(text + SUFFIX * (not text.endswith(SUFFIX)), [folder], base)
    path = Path(os.path.normpath(folder / text.replace("\\", "/")))
    if not path.is_relative_to(os.path.normpath(folder)):
        raise RequestError("Only LoRA files in the WebUI's own LoRA folder can be compared; choose one of the list.")
    if not path.is_dir() and path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    return discover.find(str(path), [], base)
