"""The small base and its judge, made by `tools/small_base`."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
BASE = _HERE / "small.safetensors"
JUDGE = _HERE / "judge.safetensors"
