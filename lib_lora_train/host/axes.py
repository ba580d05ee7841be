"""Axes of the WebUI's own X/Y/Z plot: the epochs of a LoRA, its weight, and each keyword. Added once, also after a reload."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lib_lora_train.grid.discover import Run, choose, find
from lib_lora_train.grid.errors import RunNotFound
from lib_lora_train.grid.names import natural, take_apart
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.modules import needed, optional
from lib_lora_train.keywords.table import KEYWORDS

EPOCH, WEIGHT = "[LoRA Loop] LoRA epoch", "[LoRA Loop] LoRA weight"
NONE = "None"
LOADING = 0.7
"""How dear a change of LoRA is to the plot's order: less than a checkpoint, more than anything else."""
_TAG = re.compile(r"<lora:([^:>]+)(:[^>]*)?>")


def add() -> None:
    """Append our axes to the X/Y/Z plot, if it is there and has not got them; to be called before the page is built."""
    plot = _plot()
    if plot is None:
        return
    known = {option.label for option in plot.axis_options}
    if EPOCH in known:
        return
    kind: Any = plot.AxisOption
    plot.axis_options.append(
        kind(EPOCH, str, _epoch, format_value=_shown, confirm=_confirm, cost=LOADING, choices=_names)
    )
    plot.axis_options.append(kind(WEIGHT, float, _weight))
    for row in KEYWORDS:
        if row.recipe not in ("job", "text"):
            plot.axis_options.append(kind(f"[LoRA Loop] {row.name}", str, _keyword(row.name)))


def _plot() -> Any:
    """The module of the X/Y/Z plot, which the WebUI runs without giving it a name."""
    for one in getattr(needed("modules.scripts"), "scripts_data", ()):
        if one.script_class.__module__ in ("xyz_grid.py", "xy_grid.py"):
            return one.module
    return None


def _available() -> dict[str, Path]:
    """The WebUI's LoRA files by name."""
    known: dict[str, Any] = getattr(optional("networks"), "available_networks", {})
    return {name: Path(entry.filename) for name, entry in known.items()}


def _names() -> list[str]:
    """What the list offers: no LoRA, then the files of every run with several epochs in their order, then the others."""
    names = sorted(_available(), key=natural)
    runs: dict[str, int] = {}
    for name in names:
        base = take_apart(name).base
        runs[base] = runs.get(base, 0) + 1
    return [NONE, *sorted(names, key=lambda name: runs[take_apart(name).base] < 2)]


def _run_of(name: str) -> Run:
    path = _available().get(name)
    if path is None:
        raise RequestError(f"{EPOCH}: there is no LoRA {name!r}; refresh the list of LoRAs.")
    return find(str(path))


def _epoch(p: Any, name: str, names: Iterable[str]) -> None:
    """Put this epoch in the place of whatever file of its run the prompt names, with its weight; None takes it out."""
    every = [one for one in names if one != NONE]
    known = {name for one in dict.fromkeys(every) for name in _run_of(one).names}
    weight = getattr(p, "lora_loop_weight", None)
    found = next((match for match in _TAG.finditer(p.prompt) if match[1].casefold() in known), None)
    rest = (found[2] if found and found[2] else ":1") if weight is None else f":{weight:g}"
    tag = "" if name == NONE else f"<lora:{name}{rest}>"
    p.lora_loop_epoch = name
    if found:
        p.prompt = p.prompt[: found.start()] + tag + p.prompt[found.end() :]
    elif tag:
        p.prompt = f"{p.prompt} {tag}"


def _weight(p: Any, weight: float, _: Iterable[float]) -> None:
    """Set the weight of the prompt's LoRA: of the epoch axis's, else of the first; 0 takes it out."""
    p.lora_loop_weight = weight
    wanted = getattr(p, "lora_loop_epoch", "")
    if wanted == NONE:
        return
    for match in _TAG.finditer(p.prompt):
        if not wanted or match[1] == wanted:
            tag = f"<lora:{match[1]}:{weight:g}>" if weight else ""
            p.prompt = p.prompt[: match.start()] + tag + p.prompt[match.end() :]
            return


def _confirm(p: Any, values: list[str]) -> None:
    """Put the files' names in the place of what was typed, in the plot's own list, before it counts its pictures.

    A value is None, a file's name, or what the epoch grid takes as epochs, of the LoRA that the prompt names:
    "1-4", "final", "last:3" … Raises RequestError naming what there is.
    """
    found: list[str] = []
    for value in values:
        found += _meant(str(getattr(p, "prompt", "") or ""), value.strip())
    values[:] = list(dict.fromkeys(found))


def _meant(prompt: str, value: str) -> list[str]:
    if value.casefold() == NONE.casefold():
        return [NONE]
    known = _available()
    if value in known:
        return [value]
    names = [match[1].strip() for match in _TAG.finditer(prompt)]
    runs = [find(str(known[name])) for name in names if name in known]
    if not runs:
        there = ", ".join(_names()[1:9]) or "none yet"
        raise RequestError(
            f"{EPOCH}: {value!r} is no LoRA file that the WebUI knows. For epochs such as 1-4,final the prompt must name "
            f"the LoRA, as in <lora:NAME:1>; there are {there}."
        )
    run = next((one for one in runs if len(one.usable) > 1), runs[0])
    try:
        return [epoch.name for epoch in choose(run, value)]
    except RunNotFound as error:
        raise RequestError(f"{EPOCH}: {error}") from error


def _shown(_: Any, __: Any, name: str) -> str:
    return "without the LoRA" if name == NONE else name


def _keyword(name: str) -> Callable[[Any, str, Iterable[str]], None]:
    """Sets a keyword by its tag, which our prompt script checks and takes out again."""

    def apply(p: Any, value: str, _: Iterable[str]) -> None:
        p.prompt = f"{p.prompt} <{name}:{value}>"

    return apply
