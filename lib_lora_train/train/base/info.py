"""What is known about a base from its header alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

PARTS = ("unet", "text_encoder", "vae")
Layout = Literal["ldm", "diffusers", "none"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class BaseInfo:
    """A base as its header (or its folder's config files) describes it; no tensor has been read.

    `layout` is "ldm" for the original single-file layout, "diffusers" for a folder of parts, "none" when the file is
    no Stable Diffusion checkpoint. `prediction` is "epsilon" or "v_prediction". `dtype` is the U-Net's numbers
    ("fp16", "fp32", "bf16", "fp8", …). `configs` says for each part (see PARTS) how diffusers or transformers builds
    it; a part that is not in the base is missing there. `files` names the file that holds each part.
    """

    path: Path
    layout: Layout
    family: str
    prediction: str = "epsilon"
    zero_terminal_snr: bool = False
    inpainting: bool = False
    dtype: str = ""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])

    @property
    def name(self) -> str:
        """The file's or folder's own name."""
        return self.path.name


@dataclass(frozen=True)
class BaseHashes:
    """SHA-256 of the bytes (64 hex digits), and the WebUIs' short hash of old (8 hex digits)."""

    sha256: str
    legacy: str
