"""The WebUI's own modules, by name, when they are there. Nothing else in the project imports them."""

from __future__ import annotations

import importlib
from typing import Any

from lib_lora_train.host.errors import HostError


def optional(name: str) -> Any:
    """A module of the WebUI, or None where this WebUI has none of that name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def needed(name: str) -> Any:
    """A module of the WebUI. Raises HostError where there is none."""
    found = optional(name)
    if found is None:
        raise HostError(f"This is not inside a WebUI that LoRA Loop knows: it has no module {name}.")
    return found


def attribute(name: str, path: str, default: Any = None) -> Any:
    """`a.b.c` of a module, or `default` as soon as something on the way is missing."""
    found = optional(name)
    for part in path.split("."):
        found = getattr(found, part, None)
        if found is None:
            return default
    return found
