"""Keep one epoch of a run under a clean name, with its weight and picture on the card, and put the others away. Undo."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.files import atomic, card
from lib_lora_train.files.reading import MOST_NOTES, read_text
from lib_lora_train.files.roots import safe_name
from lib_lora_train.grid.discover import SUFFIX, Epoch, Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.manifest import Manifest

UNDO, PREVIEW = "undo.json", "preview-before.png"
VERSION = 1


@dataclass(frozen=True)
class Kept:
    """What was kept, what was put away, and what to say about it."""

    path: Path
    archive: Path
    moved: tuple[str, ...]
    notes: tuple[str, ...]


def keep(run: Run, epoch: Epoch, weight: float, archive: Path, name: str = "", preview: Path | None = None) -> Kept:
    """Make `epoch` the LoRA called `name` (the run's own without one) and move the run's other files to `archive`.

    No file is replaced: where the run's name is in use by other content, the kept file gets a new one, which also
    makes a host read it that keeps LoRAs in memory by name. Raises GridError when a chosen `name` is taken or
    `archive` holds an earlier choice; DiskError.
    """
    if (archive / UNDO).exists():
        raise GridError(f"{archive} holds what an earlier choice put away; undo that first, or choose another archive.")
    target, notes = _target(run, epoch, name)
    moves = [(path, archive / path.name) for other in run.epochs for path in _with_companions(other, epoch)]
    moves += _doubles(run, epoch, archive)
    if target != epoch.path:
        moves += [
            (path, target.with_name(target.stem + path.name[len(epoch.path.stem) :])) for path in _family(epoch.path)
        ]
    _require_free(moves)
    before = card.read(epoch.path)
    picture = preview.read_bytes() if preview else b""
    with atomic.disk_errors(UNDO, archive):
        archive.mkdir(parents=True, exist_ok=True)
    undo = {
        "version": VERSION,
        "moves": [[str(source), str(goal)] for source, goal in moves],
        "card": before,
        "kept": str(target),
    }
    undo["preview"] = bool(picture)
    if picture and epoch.path.with_suffix(".png").exists():  # the card's own picture comes back with an undo
        atomic.write_bytes(archive / PREVIEW, epoch.path.with_suffix(".png").read_bytes())
    atomic.write_json(archive / UNDO, undo)  # first, so that a kill in the middle can be undone too
    for source, goal in moves:
        _move(source, goal)
    fields = card.fields(epoch.file.family, run.trigger or epoch.file.trigger, weight)
    atomic.write_json(target.with_suffix(".json"), {**fields, **before, "preferred weight": weight})
    if picture:
        atomic.write_bytes(target.with_suffix(".png"), picture)
    return Kept(target, archive, tuple(source.name for source, goal in moves if goal.parent == archive), tuple(notes))


def undo(archive: Path) -> list[Path]:
    """Put back what `keep` moved; returns the files that are back. Raises GridError when a place is taken by now."""
    path = archive / UNDO
    try:
        values: Any = json.loads(read_text(path))
        moves = [(Path(source), Path(goal)) for source, goal in values["moves"]]
        kept, before, drawn = Path(values["kept"]), values["card"], bool(values["preview"])
    except FileNotFoundError:
        raise GridError(f"{archive} holds nothing to undo.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise GridError(f"{path} cannot be read ({error}); move the files of {archive} back by hand.") from error
    waiting = [(now, home) for home, now in moves if now.exists()]
    leaving = {now for now, _ in waiting}
    taken = next((home for _, home in waiting if home.exists() and home not in leaving), None)
    if taken:
        raise GridError(f"{taken} is there again, so nothing is put back; move it away first.")
    if before:
        atomic.write_json(kept.with_suffix(".json"), before)
    else:
        kept.with_suffix(".json").unlink(missing_ok=True)
    picture = archive / PREVIEW
    if picture.exists():
        atomic.write_bytes(kept.with_suffix(".png"), picture.read_bytes())
        picture.unlink()
    elif drawn:
        kept.with_suffix(".png").unlink(missing_ok=True)
    for now, home in reversed(waiting):
        _move(now, home)
    path.unlink()
    return [home for _, home in waiting]


def picture_of(folder: Path, epoch: Epoch, weight: float) -> Path | None:
    """The first picture of that epoch and weight in the grid that lies in `folder`; None without one."""
    try:
        rows: Any = json.loads(read_text(folder / "manifest.json", MOST_NOTES))["cells"]
        keys = [str(row["key"]) for row in rows if row["lora"] == epoch.name and row["weight"] == weight]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    pictures = Manifest.open(folder)
    return next((path for path in map(pictures.picture, keys) if path), None)


def _target(run: Run, epoch: Epoch, name: str) -> tuple[Path, list[str]]:
    """Where the kept file goes."""
    folder = epoch.path.parent
    if name:
        target = folder / (safe_name(name.removesuffix(SUFFIX)) + SUFFIX)
        if target.exists() and target != epoch.path:
            raise GridError(f"{target.name} is there already; choose another name.")
        return target, []
    target = folder / (safe_name(run.name) + SUFFIX)
    if target == epoch.path or not target.exists():
        return target, []
    if run.name in epoch.also:  # the same content lies there under the clean name
        return target, []
    number = 1
    while (free := folder / f"{target.stem}-kept{'' if number == 1 else f'-{number}'}{SUFFIX}").exists():
        number += 1
    why = "another file has that name, and a WebUI that has read it would go on using it"
    return free, [f"It is called {free.stem}, not {target.stem}: {why}."]


def _family(path: Path) -> list[Path]:
    return [path, *card.companions(path)]


def _with_companions(other: Epoch, kept: Epoch) -> Sequence[Path]:
    return [] if other.path == kept.path else [path for path in _family(other.path) if path.exists()]


def _doubles(run: Run, epoch: Epoch, archive: Path) -> list[tuple[Path, Path]]:
    """Files of equal content under other names go away with the rest."""
    paths = [one.path.with_name(name + SUFFIX) for one in run.epochs for name in one.also]
    return [
        (path, archive / path.name)
        for double in paths
        if double != epoch.path
        for path in _family(double)
        if path.exists()
    ]


def _require_free(moves: Sequence[tuple[Path, Path]]) -> None:
    sources = {source for source, _ in moves}
    taken = next((goal for _, goal in moves if goal.exists() and goal not in sources), None)
    if taken:
        raise GridError(f"{taken} is there already, and nothing is replaced; move it away or choose another archive.")


def _move(source: Path, goal: Path) -> None:
    """Rename, or copy and remove where the archive lies on another disk."""
    with atomic.disk_errors(goal.name, goal.parent):
        try:
            source.rename(goal)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    with source.open("rb") as stream, atomic.replacing(goal) as copy:
        shutil.copyfileobj(stream, copy)
    source.unlink()
