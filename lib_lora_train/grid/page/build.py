"""Put a grid's page together: the data as JSON, escaped so that no text of it can become markup, and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.files import atomic
from lib_lora_train.grid.fonts import clean
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.numbers import Losses
from lib_lora_train.grid.plan import CONTROL, Plan
from lib_lora_train.grid.recommend import Recommendation
from lib_lora_train.grid.scores import Spread, Standing

_HERE = Path(__file__).parent
NAME = "index.html"


@dataclass(frozen=True)
class Findings:
    """The numbers of a grid and what they speak for. `scorer` names the model that scored."""

    losses: Mapping[str, Losses] = field(default_factory=lambda: dict[str, Losses]())
    standings: Sequence[Standing] = ()
    recommendation: Recommendation = field(default_factory=lambda: Recommendation(None, None, ()))
    scorer: str = ""


def write(plan: Plan, manifest: Manifest, findings: Findings, subtitle: str) -> Path:
    """Write `index.html` into the grid's folder. Raises DiskError."""
    path = manifest.folder / NAME
    atomic.write_text(path, document(values(plan, manifest, findings, subtitle)))
    return path


def document(data: Mapping[str, Any]) -> str:
    """The whole page."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )
    filled = {
        "policy": policy,
        "title": html.escape(clean(str(data["title"]))),
        "style": style,
        "script": script,
        "data": _json(data),
    }
    # In one pass, so that a mark in the data stays a text.
    return re.sub(r"@@(\w+)@@", lambda match: filled[match.group(1)], _part("page.html"))


def values(plan: Plan, manifest: Manifest, findings: Findings, subtitle: str) -> dict[str, Any]:
    """The data of the page, plain."""
    request = plan.request
    numbers = {cell.key: number for number, cell in enumerate(plan.cells)}
    done = [manifest.done.get(cell.key) for cell in plan.cells]
    control = any(place.epoch == CONTROL for place in plan.places)
    figures = figures_of(plan, findings)
    return {
        "id": hashlib.sha256(f"{request.run}\n{manifest.folder}".encode("utf-8", "replace")).hexdigest()[:16],
        "title": request.run,
        "run": "".join(letter for letter in clean(request.run) if letter not in '"`$\\'),
        "subtitle": subtitle,
        "size": list(plan.size),
        "control": control,
        "progress": {
            "done": sum(1 for one in done if one and one.file),
            "failed": sum(1 for one in done if one and one.error),
            "total": len(plan.cells),
        },
        "epochs": [
            {
                "label": epoch.label,
                "name": epoch.name,
                "also": list(epoch.also),
                "figures": list(figures.get(number, ())),
            }
            for number, epoch in enumerate(request.epochs)
        ],
        "weights": list(plan.weights),
        "prompts": [
            {"label": prompt.label, "template": prompt.text, "trigger": prompt.trigger} for prompt in request.prompts
        ],
        "texts": [drawn.text for drawn in request.drawn],
        "seeds": list(request.seeds),
        "checkpoints": [checkpoint.name for checkpoint in request.checkpoints],
        "extras": [", ".join(f"{name} {value}" for name, value in extra) for extra in plan.extras],
        "cells": [
            {
                "key": cell.key,
                "file": one.file if one else "",
                "infotext": one.infotext if one else "",
                "error": one.error if one else "",
            }
            for cell, one in zip(plan.cells, done, strict=True)
        ],
        "places": {",".join(map(str, place)): numbers[key] for place, key in plan.places.items()},
        "curves": curves(plan, findings),
        "recommendation": _recommended(plan, findings.recommendation),
    }


def figures_of(plan: Plan, findings: Findings) -> dict[int, list[str]]:
    """The lines under each epoch's heading, the same on the sheets and on the page: steps, losses, scores."""
    lines: dict[int, list[str]] = {}
    for number, epoch in enumerate(plan.request.epochs):
        found = findings.losses.get(epoch.name, Losses())
        here = [f"{epoch.step:,} steps"] if epoch.step is not None and not epoch.label.startswith("step") else []
        here += [f"loss {found.training:.4f}"] if found.training is not None else []
        here += [f"held out {found.held_out:.4f}"] if found.held_out is not None else []
        best = _best(findings.standings, number)
        if best and best.likeness:
            here.append(f"likeness {best.likeness.mean:.3f} at {best.weight:g}")
        if best and best.obedience:
            here.append(f"obedience {best.obedience.mean:.3f} at {best.weight:g}")
        lines[number] = here
    return lines


def curves(plan: Plan, findings: Findings) -> list[dict[str, Any]]:
    """The charts: each a name, a note and lines of [epoch, mean, spread]."""
    charts: list[dict[str, Any]] = []
    found = [findings.losses.get(epoch.name, Losses()) for epoch in plan.request.epochs]
    training = [[number, one.training, 0.0] for number, one in enumerate(found) if one.training is not None]
    held_out = [[number, one.held_out, 0.0] for number, one in enumerate(found) if one.held_out is not None]
    lines = [
        {"name": name, "points": points}
        for name, points in (("training", training), ("held out", held_out))
        if len(points) > 1
    ]
    if lines:
        note = "Falling training loss is no proof of quality; held-out loss that rises is a sign of over-training."
        charts.append({"name": "Loss", "note": note, "lines": lines})
    measures = (
        (
            "Likeness to the training photos",
            "likeness",
            "Higher is more alike; the band is the spread over prompts and seeds.",
        ),
        ("Obedience to the prompt", "obedience", "Higher follows the prompt better."),
        (
            "Leak into prompts without the trigger",
            "drift",
            "Above 0, pictures that should not change come to look like the training photos.",
        ),
    )
    for title, field_name, note in measures:
        chart = [
            {"name": f"weight {weight:g}", "points": _points(findings.standings, weight, field_name)}
            for weight in plan.weights
        ]
        if any(line["points"] for line in chart):
            charts.append({"name": title, "note": note, "lines": [line for line in chart if line["points"]]})
    return charts


def _points(standings: Sequence[Standing], weight: float, name: str) -> list[list[float]]:
    points: list[list[float]] = []
    for standing in standings:
        spread: Spread | None = getattr(standing, name)
        if standing.epoch != CONTROL and standing.weight == weight and spread is not None:
            points.append([standing.epoch, spread.mean, spread.deviation])
    return points


def _best(standings: Sequence[Standing], epoch: int) -> Standing | None:
    here = [one for one in standings if one.epoch == epoch and one.likeness]
    return max(here, key=lambda one: one.likeness.mean if one.likeness else 0.0, default=None)


def _recommended(plan: Plan, found: Recommendation) -> dict[str, Any]:
    weight = plan.weights.index(found.weight) if found.weight in plan.weights else None
    return {"epoch": found.epoch, "weight": weight, "sentence": found.sentence}


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() + "'"


def _json(data: Mapping[str, Any]) -> str:
    """JSON that ends no script element and opens no comment, whatever is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
