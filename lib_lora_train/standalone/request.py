"""What the command `grid` asks for, made of its options: the run, the checkpoints, the prompts, the plan."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_lora_train.grid import discover, plan, prompts
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.plan import Axis, Checkpoint, Plan, Request
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.jobs import store
from lib_lora_train.prompt import Context, Expander, Wildcards
from lib_lora_train.train import toml
from lib_lora_train.train.errors import StateError
from lib_lora_train.train.job import Job


def job_of(options: argparse.Namespace) -> Job | None:
    """The job that --run names, if it is one."""
    path = Path(options.run)
    if path.exists() and not (path / "job.json").is_file():
        return None
    try:
        return store.find(options.run, options.home)
    except StateError:
        return None


def find_run(options: argparse.Namespace, job: Job | None) -> Run:
    """The run that --run names, wherever LoRA files lie. Raises RunNotFound."""
    base = _bases(options, job)
    folders = [*options.lora_dir, options.home.parent / "models" / "Lora", Path.cwd()]
    text = str(job.folder) if job else options.run
    return discover.find(text, [folder for folder in folders if folder.is_dir()], base[0] if base else None)


def _bases(options: argparse.Namespace, job: Job | None) -> list[Path]:
    return list(options.base) or ([Path(job.config().base.path)] if job else [])


def plan_of(options: argparse.Namespace, found: Run, job: Job | None) -> Plan:
    """The plan of everything that the options name. Raises GridError, PromptError or BaseError, with the cure."""
    from lib_lora_train.standalone.renderer import problem_of

    bases = _bases(options, job)
    if not bases:
        raise GridError("Say with --base which checkpoint to draw with.")
    settings = _settings(options, found)
    axes = tuple(_axis(text) for text in options.axis)
    for name, value in [*settings.items(), *((axis.name, value) for axis in axes for value in axis.values)]:
        problem = problem_of({name: value})
        if problem:
            raise GridError(problem)
    card = _card(options, found)
    seeds = _seeds(options.seeds)
    folders = [folder for folder in (*options.wildcards, options.home / "wildcards") if folder.is_dir()]
    drawn = prompts.draw_all(card, seeds, Expander(Context(Wildcards(folders))), found.trigger, found.names)
    others = sorted({name for one in drawn for name in prompts.other_loras(one.text)})
    if others:
        raise GridError(
            f"<lora:{others[0]}:…> is another LoRA than this run's, and only a WebUI draws with several; take it out."
        )
    return plan.make(
        Request(
            run=found.name,
            epochs=discover.choose(found, options.epochs),
            weights=plan.read_weights(options.weights),
            prompts=card,
            seeds=seeds,
            checkpoints=tuple(_checkpoint(path) for path in bases),
            settings=settings,
            drawn=tuple(drawn),
            axes=axes,
            control=not options.no_control,
        )
    )


def _checkpoint(path: Path) -> Checkpoint:
    """A base that can be drawn with, read in full once for its hash. Raises BaseError with the cure."""
    from lib_lora_train.train.base.detect import inspect
    from lib_lora_train.train.base.fingerprint import fingerprint

    inspect(path)
    return Checkpoint(path.name, path.resolve(), fingerprint(path).sha256)


def _settings(options: argparse.Namespace, found: Run) -> dict[str, Any]:
    metadata: Mapping[str, str] = found.usable[-1].file.metadata if found.usable else {}
    width, height = _size(options.size or metadata.get("modelspec.resolution") or "512x512", bool(options.size))
    trained = metadata.get("ss_clip_skip", "")
    return {
        "width": width,
        "height": height,
        "steps": options.steps,
        "cfg_scale": options.cfg,
        "sampler_name": options.sampler,
        "clip_skip": options.clip_skip or (int(trained) if trained.isdecimal() else 1),
    }


def _size(text: str, is_asked: bool) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if width.isdecimal() and height.isdecimal():
        return int(width), int(height)
    if is_asked:
        raise GridError(f"--size {text!r} is no size: write it as 512x768.")
    return 512, 512


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) < 2**32 for part in parts):
        raise GridError(f"--seeds {text!r}: give whole numbers from 0 to 4294967295, such as 1,2,3.")
    return tuple(dict.fromkeys(int(part) for part in parts))


def _axis(text: str) -> Axis:
    name, equals, values = text.partition("=")
    found = tuple(_value(part.strip()) for part in values.split(",") if part.strip())
    if not equals or not found:
        raise GridError(f"--axis {text!r}: write NAME=VALUE,VALUE, such as cfg_scale=4,7.")
    return Axis({"cfg": "cfg_scale", "sampler": "sampler_name"}.get(name.strip(), name.strip()), found)


def _value(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number == int(number) and "." not in text else number


def _card(options: argparse.Namespace, found: Run) -> tuple[GridPrompt, ...]:
    """The prompts that were given, else a test card for the run's trigger."""
    card = _card_file(options.card, options.negative) if options.card else []
    card += [GridPrompt(f"prompt {number}", text, options.negative) for number, text in enumerate(options.prompt, 1)]
    card += [
        GridPrompt(f"without trigger {number}", text, options.negative, trigger=False)
        for number, text in enumerate(options.without_trigger, 1)
    ]
    given = card or [
        GridPrompt(one.label, one.text, options.negative, one.trigger) for one in prompts.test_card(found.trigger)
    ]
    return tuple(given)


def _card_file(path: Path, negative: str) -> list[GridPrompt]:
    entries: Any = toml.read(path).get("prompt")
    kinds: dict[str, type] = {"label": str, "text": str, "negative": str, "trigger": bool}
    if not isinstance(entries, list) or not entries:
        raise GridError(
            f"{path.name} has no [[prompt]] tables; see docs/epoch_grid.md for what a test card looks like."
        )
    card: list[GridPrompt] = []
    for number, entry in enumerate(entries, 1):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        fields: dict[str, Any] = {"label": f"prompt {number}", "negative": negative, **entry}
        wrong = next((key for key in fields if key not in kinds or not isinstance(fields[key], kinds[key])), None)
        if wrong or "text" not in fields:
            raise GridError(
                f"{path.name}, prompt {number}: {wrong or 'text'} is missing or wrong; there are {', '.join(kinds)}."
            )
        card.append(GridPrompt(**fields))
    return card
