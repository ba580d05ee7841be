"""The job's diary: `events.jsonl`, append only, one JSON object a line. The page and the terminal only read it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files.reading import NotPlainFile, opened
from lib_lora_train.train.options import is_table

KINDS = ("state", "progress", "step", "sample", "saved", "warning", "error")
"""`state` the run's status; `progress` of caching and checking; `step` numbers of training; the rest as they say."""

ROOM_BYTES = 128 * 1024
"""Enough for the last events, the log's last lines and `job.json` beside its successor."""


@dataclass
class EventLog:
    """Appends events. A line is written in one call, so that a kill leaves at most one torn line, at the end.

    A disk that is full or gone loses events, never the run. For its end there is room that is held back: `free_room`.
    """

    path: Path
    after: Callable[[], None] = lambda: None
    """Called after each event: a sign of life."""
    _descriptor: int = field(default=-1, init=False)
    _torn: bool = field(default=False, init=False)

    def open(self) -> EventLog:
        self._torn = self.path.exists() and self.path.stat().st_size > 0 and not self.path.read_bytes().endswith(b"\n")
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return self

    @property
    def _reserve(self) -> Path:
        return self.path.with_name(".room")

    def hold_room(self) -> None:
        """Hold back a little of the disk, so that the end and its reason can be written down when it is full."""
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(os.urandom(ROOM_BYTES))  # no file system can shorten these

    def free_room(self) -> None:
        """Give back what `hold_room` took."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event; `time` is the wall clock in seconds. Numbers that are not finite become texts."""
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **_plain(fields)}, ensure_ascii=False) + "\n"
        data = ("\n" * self._torn + line).encode("utf-8")
        written = 0
        with contextlib.suppress(OSError):
            written = os.write(self._descriptor, data)
        self._torn = self._torn if written == 0 else written < len(data)
        self.after()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _plain(value: Any) -> Any:
    if is_table(value):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("Iterable[Any]", value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, (int, str, bool)) or value is None else str(value)


def read_events(path: Path, offset: int = 0, most: int = -1) -> tuple[list[dict[str, Any]], int]:
    """The whole events after byte `offset`, and the offset to go on from. Torn and foreign lines are left out.

    No more than `most` bytes are read where it is given; a line that is longer than that is passed over.
    """
    if not path.exists():
        return [], offset
    try:
        with opened(path) as stream:
            stream.seek(offset)
            data = stream.read(most)
    except NotPlainFile:
        return [], offset
    end = data.rfind(b"\n") + 1
    if not end and len(data) == most:
        return [], offset + most
    events: list[dict[str, Any]] = []
    for line in data[:end].splitlines():
        try:
            event: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if is_table(event) and event.get("kind") in KINDS:
            events.append(event)
    return events, offset + end
