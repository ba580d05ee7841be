"""Which pictures a grid needs, each once, in the order that costs least."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lib_lora_train.grid.discover import Epoch
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.prompts import Drawn, GridPrompt

CONTROL = -1
"""The epoch and the weight of a place without the LoRA."""
MAX_IMAGES = 100_000
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A base to draw with. `content` is its SHA-256."""

    name: str
    path: Path
    content: str


@dataclass(frozen=True)
class Axis:
    """A further axis: a keyword's name and its values, as texts or numbers."""

    name: str
    values: tuple[Any, ...]


class Place(NamedTuple):
    """Where a picture stands: numbers into the plan's lists. `extra` counts through all further axes together."""

    checkpoint: int
    extra: int
    prompt: int
    seed: int
    weight: int
    epoch: int


@dataclass(frozen=True)
class Cell:
    """One picture. `key` is a hash of all that it depends on; `epoch` is None without the LoRA."""

    key: str
    checkpoint: Checkpoint
    epoch: Epoch | None
    weight: float
    text: str
    negative: str
    seed: int
    settings: Settings

    @property
    def prompt(self) -> str:
        """The prompt as a WebUI takes it, with the LoRA's tag."""
        return f"{self.text} <lora:{self.epoch.name}:{self.weight:g}>".strip() if self.epoch else self.text

    @property
    def lora_set(self) -> tuple[Any, ...]:
        """What has to be the same for two pictures to be drawn in one batch."""
        lora = self.epoch.content if self.epoch else ""
        return self.checkpoint.content, lora, self.weight, tuple(sorted(self.settings.items()))


@dataclass(frozen=True)
class Request:
    """What a grid is asked to compare."""

    run: str
    epochs: tuple[Epoch, ...]
    weights: tuple[float, ...]
    prompts: tuple[GridPrompt, ...]
    seeds: tuple[int, ...]
    checkpoints: tuple[Checkpoint, ...]
    settings: Settings
    drawn: tuple[Drawn, ...]
    axes: tuple[Axis, ...] = ()
    control: bool = True


@dataclass(frozen=True)
class Plan:
    """All places of a grid and the cells behind them; equal cells are one. `cells` is in the order to draw them."""

    request: Request
    weights: tuple[float, ...]
    extras: tuple[tuple[tuple[str, Any], ...], ...]
    cells: tuple[Cell, ...]
    places: Mapping[Place, str]
    notes: tuple[str, ...] = ()
    by_key: Mapping[str, Cell] = field(default_factory=lambda: dict[str, Cell]())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest picture, in pixels."""
        sizes = [(int(cell.settings.get("width", 512)), int(cell.settings.get("height", 512))) for cell in self.cells]
        return max(width for width, _ in sizes), max(height for _, height in sizes)

    def drawn(self, prompt: int, seed: int) -> Drawn:
        """What a prompt was drawn as for a seed."""
        return self.request.drawn[prompt * len(self.request.seeds) + seed]

    def cell(self, place: Place) -> Cell | None:
        """The cell at a place; the control stands at every weight of the epoch CONTROL."""
        key = self.places.get(place)
        return self.by_key[key] if key else None

    def batches(self, waiting: Sequence[Cell], most: int = 8) -> Iterator[list[Cell]]:
        """`waiting` (in plan order) in runs that share checkpoint, LoRA, weight and settings, `most` at a time."""
        for _, cells in itertools.groupby(waiting, key=lambda cell: cell.lora_set):
            group = list(cells)
            for start in range(0, len(group), most):
                yield group[start : start + most]


def make(request: Request) -> Plan:
    """The plan of `request`. Raises GridError when there is nothing to draw, or far too much."""
    weights = tuple(dict.fromkeys(weight for weight in request.weights if weight != 0))
    control = request.control or 0 in request.weights
    extras = tuple(itertools.product(*[[(axis.name, value) for value in axis.values] for axis in request.axes]))
    _require(request, weights, control, len(extras))
    places: dict[Place, str] = {}
    cells: dict[str, Cell] = {}
    # Dearest change outermost: checkpoint, then LoRA, then its weight; what costs nothing to change comes last.
    for checkpoint, epoch, weight in itertools.product(
        range(len(request.checkpoints)), range(CONTROL, len(request.epochs)), range(CONTROL, len(weights))
    ):
        if (epoch == CONTROL) != (weight == CONTROL) or (epoch == CONTROL and not control):
            continue
        for extra, prompt, seed in itertools.product(
            range(len(extras)), range(len(request.prompts)), range(len(request.seeds))
        ):
            place = Place(checkpoint, extra, prompt, seed, weight, epoch)
            cell = _cell(request, place, weights, extras)
            cells.setdefault(cell.key, cell)
            places[place] = cell.key
    notes = dict.fromkeys(note for drawn in request.drawn for note in drawn.notes)
    return Plan(request, weights, extras, tuple(cells.values()), places, tuple(notes), cells)


def cell_key(values: Mapping[str, Any]) -> str:
    """32 hexadecimal digits over all that a picture depends on."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def read_weights(text: str) -> tuple[float, ...]:
    """The weights of `0,0.6,0.8,1` or `0.2-1.0:0.2` (from, to, step). Raises GridError naming the part."""
    found: list[float] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found += _weights(part)
    if not found:
        raise GridError("--weights is empty: give some, such as 0,0.8,1.")
    return tuple(dict.fromkeys(found))


def _weights(part: str) -> list[float]:
    bounds, colon, step_text = part.partition(":")
    low_text, _, high_text = bounds.rpartition("-") if colon else ("", "", bounds)
    try:
        high = float(high_text)
        low, step = (float(low_text), float(step_text)) if colon else (high, 1.0)
    except ValueError:
        raise GridError(f"--weights: {part!r} is no number; write 0.8, or 0.2-1.0:0.2 for from-to:step.") from None
    if not (-10 <= low <= high <= 10) or not 0.001 <= step <= 20:
        raise GridError(
            f"--weights: {part!r} is out of range: use -10 … 10, lowest first, with a step of 0.001 or more."
        )
    return [round(low + number * step, 4) for number in range(int((high - low) / step + 1e-6) + 1)]


def _require(request: Request, weights: tuple[float, ...], control: bool, extras: int) -> None:
    if not request.epochs:
        raise GridError(f"{request.run} has no file that can be used; see the reasons above.")
    if not weights and not control:
        raise GridError("There is no weight to draw with: give some with --weights.")
    if not (request.prompts and request.seeds and request.checkpoints):
        raise GridError("A grid needs at least one prompt, one seed and one checkpoint.")
    each = len(request.prompts) * len(request.seeds) * len(request.checkpoints) * extras
    images = (len(request.epochs) * len(weights) + control) * each
    if images > MAX_IMAGES:
        raise GridError(
            f"That would be {images:,} pictures; choose fewer epochs, weights, prompts or seeds (up to {MAX_IMAGES:,})."
        )


def _cell(
    request: Request, place: Place, weights: Sequence[float], extras: Sequence[tuple[tuple[str, Any], ...]]
) -> Cell:
    drawn = request.drawn[place.prompt * len(request.seeds) + place.seed]
    checkpoint = request.checkpoints[place.checkpoint]
    epoch = None if place.epoch == CONTROL else request.epochs[place.epoch]
    weight = 0.0 if epoch is None else weights[place.weight]
    settings = {**request.settings, **dict(extras[place.extra])}
    key = cell_key(
        {
            "checkpoint": checkpoint.content,
            "lora": epoch.content if epoch else "",
            "weight": weight,
            "prompt": drawn.text,
            "negative": drawn.negative,
            "seed": drawn.seed,
            "settings": settings,
        }
    )
    return Cell(key, checkpoint, epoch, weight, drawn.text, drawn.negative, drawn.seed, settings)
