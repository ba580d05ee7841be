"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

_NAMES = ("likeness", "leak", "obedience")
_HEAD = """# What a LoRA learns on the small base

Made by `python -m tools.small_base.compare`. 16 photos each beside 32 class photos (others of the same kind; of anything, for
a style), 128 × 128 pixels, batches of 4, {steps} steps, AdamW's rate {rate:g}; alpha is the rank. Scores are the judge's, over
{pictures} pictures with fixed seeds of six places, three of which no photo of the character shows.

- *likeness*: pictures asked for by the trigger: 0 is the base's answer to the same prompts, 1 what the photos reach among
  themselves (each against the others). For a style: how sure the judge is of it, from 0 to 1.
- *leak*: the same for pictures asked for without the trigger; 0 is the best, below 0 is further from the character than
  the base's own.
- *obedience*: share of pictures by the trigger in which the judge finds the place that was asked for (for a style: the
  place and the kind of thing).

Trained on {devices}.
"""


def write_report(everything: dict[str, Any], path: Path) -> None:
    """The base, everybody by epoch with class photos and without, settings compared."""
    runs: list[dict[str, Any]] = everything["runs"]
    beside, alone = _first(run for run in runs if run["others"]), _first(run for run in runs if not run["others"])
    devices = list(dict.fromkeys(run["device"] for run in runs))
    marks = dict(zip(devices, ("", " \\*", " †", " ‡"), strict=False))
    told = "; ".join(f"{name}{marks[name] and ', where marked' + marks[name]}" for name in devices)
    lines = [_HEAD.format(**everything, devices=told), "## The base's own obedience", "", _base(everything["base"])]
    for title, chosen in (("By epoch", beside), ("The same without class photos", alone)):
        if chosen:
            lines += ["", f"## {title}", "", chosen[0]["setting"] + ". Likeness / leak / obedience.", ""]
            lines += _by_epoch(chosen)
    lines += [
        "",
        "## Settings compared",
        "",
        "After the last epoch, and the epoch with the most likeness above its leak.",
        "",
    ]
    lines += ["| | setting | likeness | leak | obedience | best epoch: likeness / leak |", "|---|---|---|---|---|---|"]
    for run in runs:
        last = run["epochs"][-1]
        best = max(run["epochs"][1:], key=lambda one: one["likeness"] - max(0.0, one["leak"]))
        numbers = " | ".join(_number(last[name]) for name in _NAMES)
        found = f"{best['epoch']}: {_number(best['likeness'])} / {_number(best['leak'])}"
        lines.append(f"| {run['trigger']} | {run['setting']}{marks[run['device']]} | {numbers} | {found} |")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _first(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of each trigger: the default setting."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        found.setdefault(run["trigger"], run)
    return list(found.values())


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def _base(shares: dict[str, float]) -> str:
    found = {name: value for name, value in shares.items() if name != "prompts"}
    words = ", ".join(f"{name} {value:.0%}" for name, value in found.items())
    return f"Of {shares['prompts']:.0f} fixed prompts, half of them for two or three things, the judge finds right: {words}."


def _by_epoch(runs: list[dict[str, Any]]) -> list[str]:
    count = max(len(run["epochs"]) for run in runs)
    head = ["base", *(f"epoch {number}" for number in range(1, count))]
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---|" * count]
    for run in runs:
        cells = [" / ".join(_number(one[name]) for name in _NAMES) for one in run["epochs"]]
        lines.append(f"| {run['trigger']} | " + " | ".join(cells) + " |")
    return lines
