"""The results as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_NAMES = ("likeness", "leak", "obedience")
_HEAD = """# What a LoRA learns on the small base

Made by `python -m tools.small_base.compare`. 16 photos each, 128 × 128 pixels, batches of 4, {steps} steps, AdamW's rate
{rate:g}; alpha is the rank. Scores are the judge's, over pictures with fixed seeds of six places, three of which no photo shows.

- *likeness*: pictures asked for by the trigger: 0 is the base's answer to the same prompts, 1 what the photos reach among
  themselves (each against the others). For a style: how sure the judge is of it, from 0 to 1.
- *leak*: the same for pictures asked for without the trigger; 0 is the best.
- *obedience*: share of pictures by the trigger in which the judge finds the place that was asked for (for a style: the
  place and the kind of thing).
"""


def write_report(everything: dict[str, Any], path: Path) -> None:
    """Three tables: the base, everybody by epoch, settings compared."""
    runs: list[dict[str, Any]] = everything["runs"]
    first: dict[str, dict[str, Any]] = {}
    for run in runs:
        first.setdefault(run["trigger"], run)
    lines = [_HEAD.format(**everything), "## The base's own obedience", "", _base(everything["base"]), ""]
    lines += ["## By epoch", "", next(iter(first.values()))["setting"] + ". Likeness / leak / obedience.", ""]
    lines += _by_epoch(list(first.values()))
    lines += ["", "## Settings compared", "", "After the last epoch, and the best likeness of all epochs.", ""]
    lines += ["| | setting | likeness | leak | obedience | best likeness |", "|---|---|---|---|---|---|"]
    for run in runs:
        last = run["epochs"][-1]
        best = max(run["epochs"][1:], key=lambda one: one["likeness"])
        numbers = " | ".join(f"{last[name]:.2f}" for name in _NAMES)
        lines.append(
            f"| {run['trigger']} | {run['setting']} | {numbers} | {best['likeness']:.2f} (epoch {best['epoch']}) |"
        )
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _base(shares: dict[str, float]) -> str:
    found = {name: value for name, value in shares.items() if name != "prompts"}
    words = ", ".join(f"{name} {value:.0%}" for name, value in found.items())
    return f"Of {shares['prompts']:.0f} fixed prompts, half of them for two or three things, the judge finds right: {words}."


def _by_epoch(runs: list[dict[str, Any]]) -> list[str]:
    count = max(len(run["epochs"]) for run in runs)
    head = ["base", *(f"epoch {number}" for number in range(1, count))]
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---|" * count]
    for run in runs:
        cells = [" / ".join(f"{one[name]:.2f}" for name in _NAMES) for one in run["epochs"]]
        lines.append(f"| {run['trigger']} | " + " | ".join(cells) + " |")
    return lines
