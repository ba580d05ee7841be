"""The WebUI's card of a LoRA: a JSON file and a preview picture beside it, under the same name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files import atomic
from lib_lora_train.files.reading import read_text

SD_VERSIONS = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"}
PRESETS = {"sd1": "sd", "sdxl": "xl"}
"""What Forge Neo calls the families: the names of its page's presets."""
EXTENSION = Path(__file__).absolute().parents[2]
COMPANIONS = (
    ".json",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".preview.png",
    ".preview.jpg",
    ".preview.webp",
    ".civitai.info",
)
"""Endings of the files that belong to `NAME.safetensors`."""


def fields(family: str, trigger: str, weight: float, description: str = "", notes: str = "") -> dict[str, Any]:
    """What the card editor writes."""
    return {
        "description": description,
        "sd version": (PRESETS if _around_us_is_neo() else SD_VERSIONS).get(family, "Unknown"),
        "activation text": trigger,
        "preferred weight": weight,
        "negative text": "",
        "notes": notes,
    }


def _around_us_is_neo() -> bool:
    """Whether the WebUI that the extension lies in names families by presets: told by its files, for a trainer is a
    process of its own."""
    return (EXTENSION.parents[1] / "modules_forge" / "presets.py").is_file() if len(EXTENSION.parents) > 1 else False


def read(lora: Path) -> dict[str, Any]:
    """The card beside a LoRA file, or an empty one; a broken card counts as none."""
    try:
        values: Any = json.loads(read_text(lora.with_suffix(".json")))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", values) if isinstance(values, dict) else {}


def companions(lora: Path) -> list[Path]:
    """The files beside `NAME.safetensors` that belong to it."""
    return [path for path in (lora.with_name(lora.stem + ending) for ending in COMPANIONS) if path.is_file()]


def copy(path: Path, target: Path) -> None:
    """Copy a LoRA file with its card and picture into a folder; a card that is there already stays. Raises DiskError."""
    with atomic.disk_errors(path.name, target):
        target.mkdir(parents=True, exist_ok=True)
    for source in (path, path.with_suffix(".json"), path.with_suffix(".png")):
        if source.exists() and (source == path or not (target / source.name).exists()):
            with source.open("rb") as stream, atomic.replacing(target / source.name) as copy:
                shutil.copyfileobj(stream, copy)
