"""What is trained beside the frozen base. One method is one module; `METHODS` names them."""

from __future__ import annotations

from lib_lora_train.train.adapters.adapter import Adapter, Part
from lib_lora_train.train.adapters.lora import attach_lora

METHODS = {"lora": attach_lora}

__all__ = ["METHODS", "Adapter", "Part"]
