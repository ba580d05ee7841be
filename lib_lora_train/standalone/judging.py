# pyright: basic
"""Features of pictures by the small base's judge, which is known by its file. It reads no text."""

from __future__ import annotations

from pathlib import Path

import torch

from lib_lora_train.demo.judge import Judge
from lib_lora_train.files import images
from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.lora_file import content_hash
from lib_lora_train.grid.scores import Vector

FILE = "judge.safetensors"
_TENSORS = frozenset({"body.0.weight", "look.weight", "look.bias"})


def judge_in(path: Path) -> Path | None:
    """The judge's file: `path` itself, or the one in the folder `path`; None when it is something else."""
    file = path / FILE if path.is_dir() else path
    try:
        return file if read_header(file).tensors.keys() >= _TENSORS else None
    except (FilesError, OSError):
        return None


class JudgeScorer:
    """A Scorer (grid.scores) whose features are the judge's looks, [48] of length 1: alike for one individual."""

    reads_text = False

    def __init__(self, file: Path, device: torch.device | None = None) -> None:
        """Load the judge. Raises GridError when the file is another network's, FilesError when it is damaged."""
        place = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.name = f"{file.stem} {content_hash(file)[:8]}"
        try:
            self._judge = Judge(file, place)
        except RuntimeError as error:  # names or shapes that the network does not have
            raise GridError(f"{file} is not the judge of this version's small base; use the one beside it.") from error

    def picture(self, path: Path) -> Vector:
        """The picture's looks. Raises ImageError, OSError or DiskError when it cannot be read."""
        return self._judge.look([images.decode(path)]).looks[0].tolist()

    def text(self, prompt: str) -> Vector:
        """Never asked for, as it reads no text. Raises GridError."""
        raise GridError("The judge reads no prompts.")
