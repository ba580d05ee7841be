"""The training pictures: scenes drawn by many processes, with captions and what is in them as numbers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib_lora_train.demo.world.captions import caption
from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.labels import LABELS
from lib_lora_train.demo.world.scene import Scene, draw, random_scene
from lib_lora_train.demo.world.styles import HELD_OUT_STYLES, STYLES
from lib_lora_train.demo.world.subjects import random_subject

Array = Any  # numpy's arrays
CAPTIONS = 4
SHAPES = ((128, 128), (112, 144), (144, 112))
SHARES = (0.7, 0.15, 0.15)
_CHUNK = 250


@dataclass
class Pictures:
    """`pixels` uint8 [n, h, w, 3]; `captions` n × 4 texts; `labels` int64 [n, len(LABELS)]; `who` int64 [n]."""

    pixels: Array
    captions: list[list[str]]
    labels: Array
    who: Array


def for_base(count: int, seed: int, processes: int) -> Iterator[Pictures]:
    """What the base learns from: one part for each of SHAPES, `count` pictures in all."""
    for number, (shape, share) in enumerate(zip(SHAPES, SHARES, strict=True)):
        yield _all("base", round(count * share), (seed, number, shape), processes)


def for_judge(individuals: int, seed: int, processes: int) -> Pictures:
    """Four pictures of each of many individuals, also with parts and styles that the base never sees."""
    return _all("judge", individuals * 4, (seed, 9, SHAPES[0]), processes)


def _all(kind: str, count: int, key: tuple[int, int, tuple[int, int]], processes: int) -> Pictures:
    tasks = [(kind, key, start, min(_CHUNK, count - start)) for start in range(0, count, _CHUNK)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.map(_some, tasks, chunksize=1)
    return Pictures(
        np.concatenate([part.pixels for part in parts]),
        [texts for part in parts for texts in part.captions],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.who for part in parts]),
    )


def _some(task: tuple[str, tuple[int, int, tuple[int, int]], int, int]) -> Pictures:
    kind, (seed, number, (width, height)), start, count = task
    pixels = np.empty((count, height, width, 3), dtype=np.uint8)
    captions: list[list[str]] = []
    labels = np.empty((count, len(LABELS)), dtype=np.int64)
    who = np.empty(count, dtype=np.int64)
    for place in range(count):
        index = start + place
        dice = Dice(kind, seed, number, index)
        scene = _judged(dice, seed, index) if kind == "judge" else random_scene(dice)
        who[place] = index // 4
        pixels[place] = np.asarray(draw(scene, width, height))
        captions.append([caption(scene, dice) for _ in range(CAPTIONS)])
        labels[place] = numbers(scene)
    return Pictures(pixels, captions, labels, who)


def _judged(dice: Dice, seed: int, index: int) -> Scene:
    subject = random_subject(Dice("individual", seed, index // 4), held_out_parts=True)
    scene = random_scene(dice, subject)
    style = "photo" if dice.chance(0.5) else dice.pick((*STYLES, *HELD_OUT_STYLES))
    return Scene(subject, scene.place, style, scene.count, scene.size, scene.position, scene.seed)


def numbers(scene: Scene) -> list[int]:
    """What is in a scene, as LABELS count it."""
    subject = scene.subject
    values = {
        "kind": subject.kind,
        "colour": subject.colour,
        "pattern": subject.pattern,
        "hat": subject.hat,
        "place": scene.place,
        "style": scene.style,
        "count": scene.count,
    }
    return [LABELS[name].index(values[name]) for name in LABELS]
