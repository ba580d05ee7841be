"""What can be wrong with a request, or with the WebUI around us. Each is one sentence with its cure."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class HostError(LoraLoopError):
    """There is no WebUI here, or it lacks what a feature needs."""


class RequestError(LoraLoopError):
    """The form's or the API's fields are wrong."""
