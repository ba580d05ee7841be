"""What can be wrong with a keyword: each error is one sentence with the tag, the reason and the cure."""

from __future__ import annotations

from lib_lora_train.errors import LoraLoopError


class KeywordError(LoraLoopError):
    """A keyword's value cannot be used."""
