"""The errors of the epoch grid."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class GridError(LoraLoopError):
    """A grid that cannot be made as it was asked for, with the cure."""


class RunNotFound(GridError):
    """No LoRA files under that name, or files of several runs."""

    exit_code = 3
