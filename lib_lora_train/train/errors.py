"""The errors of training, each with the exit code that the command line gives for it."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class TrainError(LoraLoopError):
    """Training cannot start or go on, with the reason and the cure."""


class ConfigError(TrainError):
    """A setting that cannot be used; the text names the field, the value and the range."""

    exit_code = 2


class DatasetError(TrainError):
    """The photos or captions cannot be used."""

    exit_code = 3


class BaseError(TrainError):
    """The base checkpoint, VAE or starting LoRA cannot be used."""

    exit_code = 3


class StateError(TrainError):
    """A saved state cannot be resumed from."""

    exit_code = 3


class OutOfMemory(TrainError):
    """The device or the machine has too little memory; the text lists cures in order."""

    exit_code = 4


class CardLost(TrainError):
    """The card or its driver gave up in the middle of the run."""

    exit_code = 1


class NotFinite(TrainError):
    """The loss or a gradient is not finite. The weights were not touched by it."""

    exit_code = 5


class Stopped(TrainError):
    """The person stopped or paused the run (`status`); everything is saved."""

    exit_code = 6

    def __init__(self, message: str, status: str = "stopped") -> None:
        super().__init__(message)
        self.status = status
