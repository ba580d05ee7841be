"""What a grid has done so far, in its folder, so that it goes on where it was and draws only what is new.

`journal.jsonl` gets one line a picture, after the picture itself is on the disk; `manifest.json` and `cells.csv` are
made of it for others to read. A picture is known by its cell's key, never by its place or its file's name alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files import atomic
from lib_lora_train.files.reading import MOST_NOTES, content
from lib_lora_train.grid.plan import CONTROL, Cell, Plan

VERSION = 1
PICTURES = "cells"
_FILE = re.compile(r"cells/[0-9a-f]{32}\.(?:png|jpg|webp)")


@dataclass(frozen=True)
class Done:
    """A cell that was tried: its picture (relative to the grid's folder), or the reason why there is none."""

    key: str
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    finished: float = 0.0
    infotext: str = ""
    error: str = ""


_TYPES: Mapping[str, Callable[[Any], Any]] = {
    "key": str,
    "file": str,
    "bytes": int,
    "sha256": str,
    "seconds": float,
    "finished": float,
    "infotext": str,
    "error": str,
}


@dataclass
class Manifest:
    """The journal of a grid's folder."""

    folder: Path
    done: dict[str, Done] = field(default_factory=lambda: dict[str, Done]())

    @classmethod
    def open(cls, folder: Path) -> Manifest:
        """What was done in `folder` before; pictures that are gone or cut are forgotten. Raises DiskError."""
        with atomic.disk_errors(PICTURES, folder):
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        atomic.sweep(folder / PICTURES)
        found = cls(folder)
        for done in _journal(folder / "journal.jsonl"):
            found.done[done.key] = done
        for key, done in list(found.done.items()):
            if not done.error and not _is_there(folder, done):
                del found.done[key]
        return found

    def waiting(self, plan: Plan) -> list[Cell]:
        """The cells that have no picture yet, failed ones included, in the plan's order."""
        return [cell for cell in plan.cells if cell.key not in self.done or self.done[cell.key].error]

    def record(self, cell: Cell, picture: bytes, infotext: str, seconds: float) -> Done:
        """Keep a cell's PNG. Raises DiskError."""
        name = f"{PICTURES}/{cell.key}.png"
        atomic.write_bytes(self.folder / name, picture)
        digest = hashlib.sha256(picture).hexdigest()
        return self._write(
            Done(cell.key, name, len(picture), digest, round(seconds, 3), round(time.time(), 3), infotext)
        )

    def fail(self, cell: Cell, reason: str) -> Done:
        """Remember why a cell has no picture. Raises DiskError."""
        return self._write(Done(cell.key, finished=round(time.time(), 3), error=reason))

    def picture(self, key: str) -> Path | None:
        """The picture of a cell, if it has one."""
        done = self.done.get(key)
        return self.folder / done.file if done and done.file else None

    def seconds_per_image(self, plan: Plan) -> float | None:
        """The time of the last picture of this grid that was drawn, None before the first."""
        drawn = [done for done in self.done.values() if done.file and done.key in plan.by_key]
        return max(drawn, key=lambda done: done.finished).seconds if drawn else None

    def export(self, plan: Plan, extra: Mapping[str, Any]) -> None:
        """Write `manifest.json` and `cells.csv`. Raises DiskError."""
        rows = rows_of(plan, self)
        atomic.write_json(self.folder / "manifest.json", {"version": VERSION, **extra, "cells": rows})
        atomic.write_text(self.folder / "cells.csv", _csv(rows))

    def _write(self, done: Done) -> Done:
        path = self.folder / "journal.jsonl"
        line = json.dumps(asdict(done), ensure_ascii=False) + "\n"
        with atomic.disk_errors(path.name, self.folder):
            torn = path.exists() and path.stat().st_size > 0 and not _ends_with_newline(path)
            with path.open("ab") as stream:
                stream.write(("\n" * torn + line).encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
        self.done[done.key] = done
        return done


def rows_of(plan: Plan, manifest: Manifest) -> list[dict[str, Any]]:
    """One plain row a place, for JSON and CSV."""
    rows: list[dict[str, Any]] = []
    for place, key in plan.places.items():
        cell, done = plan.by_key[key], manifest.done.get(key)
        epoch = None if place.epoch == CONTROL else plan.request.epochs[place.epoch]
        rows.append(
            {
                "checkpoint": cell.checkpoint.name,
                "epoch": epoch.label if epoch else "no LoRA",
                "lora": epoch.name if epoch else "",
                "weight": cell.weight,
                "prompt_label": plan.request.prompts[place.prompt].label,
                "prompt": cell.prompt,
                "negative_prompt": cell.negative,
                "seed": cell.seed,
                "settings": dict(cell.settings),
                "state": "waiting" if done is None else "failed" if done.error else "done",
                "file": done.file if done else "",
                "sha256": done.sha256 if done else "",
                "seconds": done.seconds if done else None,
                "error": done.error if done else "",
                "key": key,
            }
        )
    return rows


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    names = [name for name in rows[0] if name != "settings"] if rows else []
    settings = sorted({name for row in rows for name in row["settings"]})
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*names, *settings])
    for row in rows:
        values = [row[name] for name in names] + [row["settings"].get(name, "") for name in settings]
        writer.writerow([_harmless(value) for value in values])
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, made a text again."""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _journal(path: Path) -> list[Done]:
    """The journal's lines; torn and foreign ones are left out, and no path leads out of the folder of pictures."""
    try:
        lines = content(path, MOST_NOTES).splitlines()
    except OSError:
        return []
    found: list[Done] = []
    for line in lines:
        try:
            values: Any = json.loads(line)
            done = Done(**{name: _TYPES[name](value) for name, value in cast("dict[str, Any]", values).items()})
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if not done.file or _FILE.fullmatch(done.file):
            found.append(done)
    return found


def _is_there(folder: Path, done: Done) -> bool:
    try:
        return bool(done.file) and (folder / done.file).stat().st_size == done.bytes
    except OSError:
        return False


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
