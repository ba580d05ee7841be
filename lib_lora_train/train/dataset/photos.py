"""The words of the dataset: photo, problem, dataset. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lib_lora_train.train.errors import DatasetError

Level = Literal["error", "warning", "note"]
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Photo:
    """One picture on disk and what is known of it without decoding its pixels."""

    path: Path
    name: str
    """Path relative to the dataset's folder, with forward slashes."""
    width: int
    """Pixels, after the EXIF turn."""
    height: int
    identity: str
    """Stable name for draws: hash of the bytes, and `#2` … for further exact copies."""
    folder: str
    """Name of its concept's folder ("10_ohwx man", "beach")."""
    words: str = ""
    """The folder's words without kohya's number ("ohwx man")."""
    repeats: int = 0
    """Times an epoch; 0 is still to be worked out (see `length`)."""
    caption: str | None = None
    """The caption file's text, or None."""
    caption_file: str = ""
    """Name of the caption's file, relative like `name`; empty when there is none."""
    weight: float = 1.0
    """Factor on its loss, the prior weight of a regularisation photo included."""
    is_regularisation: bool = False
    format: str = ""
    """Pillow's name of the file format ("JPEG")."""
    notes: tuple[str, ...] = ()
    """What was done to it: "turned upright", "transparent: put on white", "animated: first frame"."""

    @property
    def content(self) -> str:
        """Hash of the file's bytes: equal for exact copies."""
        return self.identity.partition("#")[0]

    @property
    def size(self) -> Size:
        return self.width, self.height


@dataclass(frozen=True)
class Problem:
    """Something a person should know before the run."""

    level: Level
    kind: str
    """Short stable word for programs: "broken", "caption-missing", "duplicate" …"""
    message: str
    """One sentence: the thing, the place and the cure."""
    names: tuple[str, ...] = ()
    """Files it is about, relative to the dataset."""


@dataclass(frozen=True)
class Dataset:
    """What a folder was understood to be."""

    photos: tuple[Photo, ...]
    regularisation: tuple[Photo, ...] = ()
    problems: tuple[Problem, ...] = ()
    held_out: tuple[Photo, ...] = ()
    """Photos that are never trained on (see `held_out`)."""
    understood: tuple[str, ...] = ()
    """Sentences for people, the first being the sum: "41 photos in 3 folders, repeats 10/1/1."."""

    def with_problems(self, *more: Problem) -> Dataset:
        """The same dataset with further problems."""
        return replace(self, problems=(*self.problems, *more))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that training cannot start with."""
        return tuple(problem for problem in self.problems if problem.level == "error")

    def require_trainable(self) -> None:
        """Raise DatasetError with all errors, one a line, if there are any or no photo is left."""
        found = [problem.message for problem in self.errors]
        if not found and not self.photos:
            found = ["There is no photo to train on."]
        if found:
            raise DatasetError("\n".join(found))


def listed(names: tuple[str, ...], most: int = 5) -> str:
    """ "a.jpg, b.jpg and 3 more" """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def counted(number: int, one: str, many: str) -> str:
    """ "1 photo is", "3 photos are" """
    return f"{number} {one if number == 1 else many}"
