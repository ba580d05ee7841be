"""Score a grid's pictures with a scorer, remembering features so that a second run scores only what is new."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic, images
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.plan import Plan
from lib_lora_train.grid.scores import Score, Scorer, Vector, score

MAX_PHOTOS = 200
"""Training photos compared with: more make no difference to a mean."""


def photos_in(folder: Path) -> list[Path]:
    """The photos of a training set, at most MAX_PHOTOS, evenly chosen."""
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".")
    )
    every = -(-len(found) // MAX_PHOTOS) or 1
    return found[::every]


def score_all(
    plan: Plan, manifest: Manifest, scorer: Scorer, photos: Iterable[Path], told: Callable[[int, int], None]
) -> dict[str, Score]:
    """The score of every picture that is there, by key. Photos that cannot be read are left out. Raises DiskError."""
    kept = manifest.folder / "scores.json"
    known = _known(kept, scorer.name)
    training: list[Vector] = []
    for photo in photos:
        try:
            training.append(scorer.picture(photo))
        except (LoraLoopError, OSError):
            continue
    found: dict[str, Score] = {}
    texts: dict[str, Vector] = {}
    cells = [cell for cell in plan.cells if manifest.picture(cell.key)]
    for number, cell in enumerate(cells, 1):
        path = manifest.picture(cell.key)
        assert path
        sha = manifest.done[cell.key].sha256
        try:
            vector = known.get(sha) or list(scorer.picture(path))
        except (LoraLoopError, OSError):
            continue
        known[sha] = vector
        if scorer.reads_text and cell.text not in texts:
            texts[cell.text] = scorer.text(cell.text)
        found[cell.key] = score(vector, training, texts.get(cell.text))
        told(number, len(cells))
    atomic.write_text(kept, json.dumps({"scorer": scorer.name, "features": known}))
    return found


def _known(path: Path, scorer: str) -> dict[str, list[float]]:
    """Features of an earlier run by a picture's hash; those of another model or a broken file count as none."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if values["scorer"] != scorer:
            return {}
        features = cast("dict[str, list[float]]", values["features"])
        return {str(sha): [float(number) for number in vector] for sha, vector in features.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
