"""The errors of the page."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class PageError(LoraLoopError):
    """Something that a person did in the page cannot be done, with the reason and the cure."""


class NotAllowed(PageError):
    """The page is shared, so what would change files is refused."""
