"""The size of the pictures that a base was trained on, and which base is the small one that comes with LoRA Loop."""

from __future__ import annotations

import math
import re
from pathlib import Path

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train.base.folder import read_json
from lib_lora_train.train.base.header import header_of

USUAL = 512
"""Side in pixels of the pictures that Stable Diffusion 1.x was trained on."""
SMALLEST, LARGEST = 64, 2048
FAR = 2.0
"""A base paints badly at sizes that are so many times smaller or larger than its own."""
SMALL_TITLE = "LoRA Loop small"
SMALL_PRESET = "small-base"
"""The preset with the settings of `demo`."""
_LATENT = 8


def size(path: Path) -> int:
    """Side in pixels of a square as large as the pictures that `path` was trained on.

    As the file's `modelspec.resolution` states it, or a diffusers folder's `sample_size`; USUAL where nothing does,
    or nothing that can be.
    """
    try:
        if path.is_dir():
            stated = read_json(path / "unet" / "config.json", needed=False).get("sample_size")
            side = stated * _LATENT if isinstance(stated, int) else 0
        else:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", _metadata(path).get("modelspec.resolution", "").strip())
            side = round(math.sqrt(int(match[1]) * int(match[2]))) if match else 0
    except (LoraLoopError, OSError):
        return USUAL  # what is wrong with the base is said where it is opened
    return side if SMALLEST <= side <= LARGEST else USUAL


def is_small_base(path: Path) -> bool:
    """Whether this file is the small base that comes with LoRA Loop, wherever it was copied to."""
    try:
        return path.is_file() and _metadata(path).get("modelspec.title") == SMALL_TITLE
    except (LoraLoopError, OSError):
        return False


def is_far(resolution: int, own: int) -> bool:
    """Whether a base whose own size is `own` is trained at a size that it does not know."""
    return max(resolution, own) >= FAR * min(resolution, own)


def _metadata(path: Path) -> dict[str, str]:
    return dict(header_of(path).metadata) if path.suffix == ".safetensors" else {}
