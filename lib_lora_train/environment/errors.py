"""The errors of the trainer's environment."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class TrainerEnvironmentError(LoraLoopError):
    """The trainer's packages are missing, cannot be built or do not work; the sentence says which and the cure."""

    exit_code = 8


class IndexUnreachable(TrainerEnvironmentError):
    """The package index gave no answer."""
