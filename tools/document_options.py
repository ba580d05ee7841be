"""Writes docs/options.md from the declarations in lib_lora_train/train/sections.py: `python tools/document_options.py`."""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib_lora_train.train import config, options  # noqa: E402
from lib_lora_train.train.options import Declared  # noqa: E402

TARGET = ROOT / "docs" / "options.md"
HEAD = """# Training options

Every option of a run, as a config file and `--set SECTION.KEY=VALUE` take them. This page is made from the declarations
by `python tools/document_options.py`. *Resume* marks what may be changed when a run is resumed.
"""


def document() -> str:
    """The page."""
    lines = [HEAD]
    section = None
    for name, entry in config.known().items():
        here, _, key = name.rpartition(".")
        if here != section:
            section = here
            lines += ["", f"## {f'[{here}]' if here else 'Top of the file'}", ""]
            lines += ["| option | type | default | range | meaning | resume |", "|---|---|---|---|---|---|"]
        lines.append(_row(key, entry))
    return "\n".join(lines) + "\n"


def _row(key: str, entry: Declared) -> str:
    spec = entry.option
    cells = (
        f"`{key}`",
        _type(entry.type),
        f"`{options_text(entry.default)}`",
        _range(spec),
        spec.help.replace("|", "\\|"),
        "yes" if spec.on_resume else "",
    )
    return f"| {' | '.join(cells)} |"


def options_text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def _range(spec: options.Option) -> str:
    if spec.choices:
        return ", ".join(f"`{choice}`" for choice in spec.choices)
    if spec.low is None and spec.high is None:
        return ""
    return (
        f"{spec.low:g} … {spec.high:g} {spec.unit}".strip()
        if spec.high is not None
        else f"from {spec.low:g} {spec.unit}"
    )


def _type(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join("none" if part is type(None) else _type(part) for part in typing.get_args(kind))
    words = {bool: "true/false", int: "whole number", float: "number", str: "text"}
    return words.get(kind) or ("list of texts" if typing.get_origin(kind) is list else "table")


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
