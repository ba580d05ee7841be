"""How like the training set a picture is and how well it follows its prompt, by a model of image features.

Measures of the DreamBooth paper (Ruiz et al. 2022, arXiv 2208.12242, section 4.2): likeness is the mean cosine between
the picture's features and those of every training photo (CLIP-I, DINO); obedience is the cosine between the picture's
and the prompt's features (CLIP-T). They compare pictures of one grid with each other; their size says nothing alone.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lib_lora_train.grid.plan import CONTROL, Place, Plan

Vector = Sequence[float]


class Scorer(Protocol):
    """A model that turns pictures, and prompts if it reads text, into vectors of one length."""

    @property
    def name(self) -> str:
        """Which model; part of what a kept score depends on."""
        ...

    @property
    def reads_text(self) -> bool:
        """Whether `text` gives a vector, so that obedience can be measured."""
        ...

    def picture(self, path: Path) -> Vector:
        """The features of a picture. Raises LoraLoopError when it cannot be read."""
        ...

    def text(self, prompt: str) -> Vector:
        """The features of a prompt."""
        ...


@dataclass(frozen=True)
class Score:
    """A picture's likeness to the training set, and its obedience to the prompt (None without a text model)."""

    likeness: float | None
    obedience: float | None


@dataclass(frozen=True)
class Spread:
    """A mean, its standard deviation over the pictures, and how many they were."""

    mean: float
    deviation: float
    count: int


@dataclass(frozen=True)
class Standing:
    """What the numbers say of one epoch at one weight. `drift` is the likeness of prompts without the trigger, less the
    control's: what leaks into other prompts."""

    epoch: int
    weight: float
    likeness: Spread | None = None
    obedience: Spread | None = None
    drift: Spread | None = None


def kind_of_folder(folder: Path) -> str:
    """`clip` or `dino` for a folder with such a model (config.json and safetensors weights), else empty."""
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    kind = config.get("model_type") if isinstance(config, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not any(folder.glob("*.safetensors")):
        return ""
    return {"clip": "clip", "dinov2": "dino", "vit": "dino", "dinov3_vit": "dino"}.get(str(kind), "")  # pyright: ignore[reportUnknownArgumentType]


def cosine(one: Vector, other: Vector) -> float:
    """The cosine of two vectors; 0 when one of them is nothing."""
    length = math.sqrt(_dot(one, one) * _dot(other, other))
    return _dot(one, other) / length if length else 0.0


def score(picture: Vector, photos: Sequence[Vector], prompt: Vector | None) -> Score:
    """The score of a picture from its features, the photos' and the prompt's."""
    likeness = statistics.fmean(cosine(picture, photo) for photo in photos) if photos else None
    return Score(likeness, None if prompt is None else cosine(picture, prompt))


def standings(plan: Plan, scores: Mapping[str, Score]) -> list[Standing]:
    """The means and spreads of every epoch and weight over prompts, seeds and checkpoints; the control comes first."""
    groups: defaultdict[tuple[int, int], list[Place]] = defaultdict(list)
    for place, key in plan.places.items():
        if key in scores:
            groups[place.epoch, place.weight].append(place)
    return [_standing(plan, scores, epoch, weight, places) for (epoch, weight), places in sorted(groups.items())]


def _standing(plan: Plan, scores: Mapping[str, Score], epoch: int, weight: int, places: Iterable[Place]) -> Standing:
    here = list(places)
    with_trigger = [scores[plan.places[place]] for place in here if plan.request.prompts[place.prompt].trigger]
    drift: list[float] = []
    for place in here:
        control = plan.places.get(place._replace(weight=CONTROL, epoch=CONTROL))
        if plan.request.prompts[place.prompt].trigger or control is None or control not in scores:
            continue
        now, before = scores[plan.places[place]].likeness, scores[control].likeness
        if now is not None and before is not None:
            drift.append(now - before)
    return Standing(
        epoch,
        0.0 if weight == CONTROL else plan.weights[weight],
        spread(found.likeness for found in with_trigger),
        spread(scores[plan.places[place]].obedience for place in here),
        spread(drift),
    )


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and standard deviation of those that are known; None without any."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else 0.0, len(known))


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
