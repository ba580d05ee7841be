"""Helpers of the prompt tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lib_lora_train.prompt import Context, Expander, Wildcards

LISTS = {
    "hue": ["teal", "ochre", "plum"],
    "bird": ["heron", "wren"],
    "sky": ["clear", "3::cloudy", "0.5::green"],
    "pal": ["{navy|sky}", "__hue__", "white"],
    "t": ["${v:none} frame"],
}


@pytest.fixture
def expander() -> Expander:
    """Draws with a few lists in memory."""
    return Expander(Context(Wildcards(values=LISTS)))


Write = Callable[[str, str | Sequence[str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a wildcard file below `tmp_path`."""

    def file(name: str, content: str | Sequence[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            content if isinstance(content, str) else "\n".join([*content, ""]), encoding="utf-8", newline=""
        )
        return path

    return file
