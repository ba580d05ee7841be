# pyright: basic
"""Features of pictures and prompts by a CLIP or DINO model in a folder that the person has. Never asks the network."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from lib_lora_train.files import images
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.scores import Vector, kind_of_folder


class FolderScorer:
    """A Scorer (grid.scores) over transformers' models. Pictures only for DINO; pictures and text for CLIP."""

    def __init__(self, folder: Path, device: torch.device | None = None) -> None:
        """Load the model. Raises GridError when the folder holds none that is known."""
        self._kind = kind_of_folder(folder)
        if not self._kind:
            raise GridError(
                f"{folder} is no CLIP or DINO model: choose a folder with config.json and .safetensors weights of one."
            )
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self.name = folder.name
        self.reads_text = False
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)
            model: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            raise GridError(f"{folder} cannot be used as an image model ({str(error)[:160]}).") from error
        self._model: Any = model.to(self._device).eval()
        self._tokenizer: Any = None
        if self._kind == "clip":
            with contextlib.suppress(OSError, ValueError):
                self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.reads_text = self._tokenizer is not None

    @torch.no_grad()
    def picture(self, path: Path) -> Vector:
        """The picture's features. Raises ImageError, OSError or DiskError when it cannot be read."""
        pixels = self._processor(images=images.decode(path), return_tensors="pt")["pixel_values"].to(self._device)
        if self._kind == "clip":
            return self._model.get_image_features(pixel_values=pixels)[0].float().cpu().tolist()
        return self._model(pixel_values=pixels).last_hidden_state[0, 0].float().cpu().tolist()

    @torch.no_grad()
    def text(self, prompt: str) -> Vector:
        """The prompt's features; words beyond the model's length are left out, as the model does."""
        tokens = self._tokenizer([prompt], padding=True, truncation=True, return_tensors="pt").to(self._device)
        return self._model.get_text_features(**tokens)[0].float().cpu().tolist()
