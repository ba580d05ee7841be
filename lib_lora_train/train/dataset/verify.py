"""Decoding every photo once before the run, in child processes: a damaged file is found now, and cannot take us along.

Plain children with pipes, not `multiprocessing`: that would import the WebUI's main module again in each of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora_train.files.errors import DiskError
from lib_lora_train.train.dataset.photos import Dataset, Level, Photo, Problem, counted, listed
from lib_lora_train.train.dataset.scan import Progress
from lib_lora_train.train.sections import DatasetConfig

MAX_WORKERS = 8
HEAVY_PIXELS = 40_000_000
"""Photos with more are decoded one at a time: one of the largest takes 0.9 GB of memory."""
TIMEOUT_S = 120.0
"""For one photo; a decoder that takes longer hangs."""
ALIKE_BITS = 6
"""Hashes (128 bits) that differ in no more are of near duplicates."""
BLURRED = 0.06
"""Sharp photos measure 0.2 to 1, the same ones blurred by 2 px (of 512) 0.03 to 0.08."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Examined:
    """What decoding one photo told. `error` is empty when it is sound."""

    error: str = ""
    hash: int | None = None
    sharpness: float = 1.0


def verify(dataset: Dataset, config: DatasetConfig, progress: Progress | None = None, *, workers: int = 0) -> Dataset:
    """The dataset without the photos that do not decode, and with problems "broken", "near-duplicate" and "blurred".

    `workers` 0 is one a core, at most 8. An exception from `progress` cancels. With `config.skip_broken` off, broken
    photos are errors (see `Dataset.require_trainable`). Raises DiskError when the drive goes away.
    """
    photos = (*dataset.photos, *dataset.regularisation)
    found: dict[Path, Examined] = {}
    for done, (photo, examined) in enumerate(examine(photos, config.background, workers), 1):
        found[photo.path] = examined
        if progress:
            progress(done, len(photos), "checking photos")
    level: Level = "warning" if config.skip_broken else "error"
    broken = [
        Problem(level, "broken", f"{photo.name} is left out: {found[photo.path].error}", (photo.name,))
        for photo in photos
        if found[photo.path].error
    ]
    sound = [
        tuple(photo for photo in some if not found[photo.path].error)
        for some in (dataset.photos, dataset.regularisation)
    ]
    understood = dataset.understood
    if broken:
        left = f"{counted(len(broken), 'photo does', 'photos do')} not decode and {'is' if len(broken) == 1 else 'are'} left out"
        understood = (*understood, f"{left}: {counted(len(sound[0]), 'photo remains', 'photos remain')}.")
    checked = replace(dataset, photos=sound[0], regularisation=sound[1], understood=understood)
    if dataset.photos and not sound[0]:
        broken.append(Problem("error", "empty", "Not one photo can be read; give pictures that open in a viewer."))
    return checked.with_problems(*broken, *_near(sound[0], found), *_blurred(sound[0], found))


def examine(photos: Sequence[Photo], background: str, workers: int = 0) -> Iterator[tuple[Photo, Examined]]:
    """Each photo with what its child says, in order."""
    count = min(workers or min(os.cpu_count() or 1, MAX_WORKERS), max(len(photos), 1))
    idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
    children = [_Child() for _ in range(count)]
    for child in children:
        idle.put(child)

    heavy = threading.Lock()

    def ask(photo: Photo) -> Examined:
        with heavy if photo.width * photo.height > HEAVY_PIXELS else contextlib.nullcontext():
            child = idle.get()
            try:
                return child.ask(photo, background)
            finally:
                idle.put(child)

    pool = ThreadPoolExecutor(count, thread_name_prefix="verify")
    try:
        yield from zip(photos, pool.map(ask, photos), strict=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.kill()
        pool.shutdown(wait=True)
        for child in children:  # a task that was already under way may have started its child again
            child.close()


class _Child:
    """One decoding process, started when first asked and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, photo: Photo, background: str) -> Examined:
        process = self._process or self._start()
        late = threading.Timer(TIMEOUT_S, process.kill)
        late.start()
        try:
            answer = _exchange(process, json.dumps({"path": str(photo.path), "background": background}))
        finally:
            late.cancel()
        if answer is None:
            self.close()
            return Examined("it makes the picture decoder crash or hang; save it again with another program.")
        if answer.get("gone"):
            raise DiskError(str(answer["error"]))
        bits = answer.get("hash")
        return Examined(
            str(answer.get("error", "")), int(bits, 16) if bits else None, float(answer.get("sharpness", 1.0))
        )

    def kill(self) -> None:
        """End the process; whoever waits for its answer then gets none."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and release its pipes; nobody may be waiting for it."""
        self.kill()
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # an unsent question to the dead
                        pipe.close()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lib_lora_train.train.dataset.check_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_PACKAGE_ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            encoding="ascii",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return self._process


def _exchange(process: subprocess.Popen[str], question: str) -> dict[str, Any] | None:
    """The answer, or None if the child died over it."""
    if process.stdin is None or process.stdout is None:
        return None
    try:
        process.stdin.write(question + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):
        return None
    return json.loads(line) if line.endswith("\n") else None


def _near(photos: Sequence[Photo], found: dict[Path, Examined]) -> Iterator[Problem]:
    """Groups of photos that look alike and are not exact copies (those are told of already)."""
    firsts = {photo.content: photo for photo in reversed(photos)}
    names = {photo.name: found[photo.path].hash for photo in firsts.values()}
    groups = alike({name: bits for name, bits in names.items() if bits is not None})
    if groups:
        extra = tuple(name for group in groups for name in group[1:])
        shown = "; ".join(" ~ ".join(group[:4]) for group in groups[:5])
        yield Problem(
            "note",
            "near-duplicate",
            f"{counted(len(extra), 'photo looks', 'photos look')} almost like another ({shown}); the more alike, the less they teach.",
            extra,
        )


def alike(hashes: dict[str, int]) -> list[tuple[str, ...]]:
    """Groups of names whose hashes differ in at most `ALIKE_BITS` bits, directly or through others; sorted.

    Two such hashes agree in at least one of `ALIKE_BITS` + 1 bands, so only those that share a band are compared.
    """
    same: dict[int, list[str]] = {}
    for name, bits in sorted(hashes.items()):
        same.setdefault(bits, []).append(name)
    leader = {bits: bits for bits in same}

    def find(bits: int) -> int:
        while leader[bits] != bits:
            bits = leader[bits] = leader[leader[bits]]
        return bits

    width = -(-128 // (ALIKE_BITS + 1))
    for shift in range(0, 128, width):
        bands: dict[int, list[int]] = {}
        for bits in same:
            bands.setdefault(bits >> shift & ((1 << width) - 1), []).append(bits)
        for one, other in _pairs(bands.values()):
            if bin(one ^ other).count("1") <= ALIKE_BITS:
                leader[find(one)] = find(other)
    groups: dict[int, list[str]] = {}
    for bits, names in same.items():
        groups.setdefault(find(bits), []).extend(names)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _pairs(bands: Iterable[list[int]]) -> Iterator[tuple[int, int]]:
    for members in bands:
        for place, one in enumerate(members):
            for other in members[place + 1 :]:
                yield one, other


def _blurred(photos: Sequence[Photo], found: dict[Path, Examined]) -> Iterator[Problem]:
    names = tuple(photo.name for photo in photos if found[photo.path].sharpness < BLURRED)
    if names:
        yield Problem(
            "note",
            "blurred",
            f"{counted(len(names), 'photo seems', 'photos seem')} blurred: {listed(names)}; look whether that shall be learned.",
            names,
        )
