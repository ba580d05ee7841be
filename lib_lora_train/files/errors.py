"""The errors of paths and bytes."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class FilesError(LoraLoopError):
    """A path or file that cannot be used, with the reason and the cure."""


class OutsideRoot(FilesError):
    """A name that would lead out of the folder it must stay in. The name is not echoed as a path."""


class DiskError(FilesError):
    """The disk is full, read-only or gone."""

    exit_code = 7
