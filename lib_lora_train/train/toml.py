"""TOML files of settings. Python reads them itself since 3.11; for writing these few kinds no library is needed."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib_lora_train.files.reading import read_text
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.options import is_table


def read(path: Path) -> dict[str, Any]:
    """The nested values of a TOML file. Raises ConfigError with the line when it cannot be read."""
    try:
        return parse(read_text(path, encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"There is no config file {path}.") from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from error


def parse(text: str) -> dict[str, Any]:
    """The nested values of a TOML document. Raises ValueError with the line."""
    library: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return library.loads(text)


def write(values: Mapping[str, Any], prefix: str = "") -> str:
    """A TOML document of nested plain values (texts, numbers, lists, tables)."""
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in values.items() if not is_table(value)]
    for key, value in values.items():
        if is_table(value) and value:
            lines += ["", f"[{prefix}{_key(key)}]", write(value, f"{prefix}{_key(key)}.").rstrip("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        items: Iterable[Any] = value  # type: ignore[reportUnknownVariableType]
        return "[" + ", ".join(_toml(item) for item in items) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
