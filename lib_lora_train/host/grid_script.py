"""The epoch grid inside a WebUI: what its selectable script does."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_lora_train.files import images
from lib_lora_train.files.reading import MOST_NOTES, read_text
from lib_lora_train.files.roots import safe_name
from lib_lora_train.grid import discover, plan, prompts
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.layout import Look
from lib_lora_train.grid.plan import Axis, Plan, Request
from lib_lora_train.grid.prompts import Drawn, GridPrompt
from lib_lora_train.grid.session import Outcome, Session
from lib_lora_train.host import grid_runs, lora_cache, turns
from lib_lora_train.host.drawing import expander, is_list, mode_of
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.finding import find
from lib_lora_train.host.folders import home
from lib_lora_train.host.grid_form import TITLE, GridForm, lines_of
from lib_lora_train.host.grid_jobs import Interrupted, JobRenderer, checkpoint_named, settings_of
from lib_lora_train.host.modules import attribute, needed
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords import read as keyword_tags
from lib_lora_train.keywords.check import Rules, check
from lib_lora_train.keywords.table import BY_NAME

log = logging.getLogger("lora_loop")


def run(p: Any, arguments: Sequence[Any]) -> Any:
    """Make the grid that the form asks for out of the job `p`; returns the WebUI's result. Raises LoraLoopError."""
    host = find()
    beside = turns.take(host)
    form = GridForm.read(arguments)
    names = [name.strip() for name in form.checkpoints.split(",") if name.strip()] or [host.checkpoint_of(p)]
    checkpoints = tuple(checkpoint_named(host, name) for name in names)
    found = grid_runs.named(host, form.run, checkpoints[0].path)
    folder = home(host) / "grids" / safe_name(found.name)
    seed = _seed(host, p, folder)
    made = _plan(host, p, form, found, (seed, checkpoints))
    fonts = attribute("modules.paths_internal", "roboto_ttf_file")
    session = Session(made, found, folder, Look(form.tile, format=form.format, fonts=(str(fonts),) if fonts else ()))
    for note in (*found.notes, *made.notes, session.estimate().sentence, *filter(None, [beside])):
        log.info(note)
        host.say(p, f"{TITLE}: {note}")
    lora_cache.forget(p)
    renderer = JobRenderer(host, p, host.fixed_seed(p.subseed))
    waiting = session.manifest.waiting(made)
    batch = max(1, int(p.batch_size))
    host.shared.state.job_count = sum(1 for _ in made.batches(waiting, batch))
    try:
        session.draw(renderer, _quiet, batch)
    except Interrupted as error:
        host.say(p, f"{TITLE}: {error}")
    log.info("The grid loaded %s.", renderer.loads)
    return _result(p, session.finish(), seed)


def _plan(host: WebUI, p: Any, form: GridForm, found: Run, fixed: tuple[int, tuple[Any, ...]]) -> Plan:
    seed, checkpoints = fixed
    seeds = tuple(range(seed, seed + form.seeds))
    card = _card(host, p, form)
    drawn = prompts.draw_all(card, seeds, expander(host), found.trigger, found.names)
    _require_no_keywords(drawn)
    return plan.make(
        Request(
            run=found.name,
            epochs=discover.choose(found, form.epochs.strip()),
            weights=plan.read_weights(form.weights),
            prompts=card,
            seeds=seeds,
            checkpoints=checkpoints,
            settings=settings_of(host, p),
            drawn=tuple(drawn),
            axes=(_axis(host, p, form.axis),) if form.axis.strip() else (),
            control=form.control,
        )
    )


def _seed(host: WebUI, p: Any, folder: Path) -> int:
    """The page's seed; for -1 the one of the grid that is in the folder already, so that it can go on."""
    given = _first(p.seed)
    if given not in (-1, "-1", "", None):
        return int(given)
    try:
        return int(json.loads(read_text(folder / "manifest.json", MOST_NOTES))["cells"][0]["seed"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return host.fixed_seed(-1)


def _card(host: WebUI, p: Any, form: GridForm) -> tuple[GridPrompt, ...]:
    """The page's prompt and the lines of the form, with the page's styles and negative prompt."""
    styles: Sequence[str] = getattr(p, "styles", None) or ()
    own, negative = str(_first(p.prompt)), str(_first(p.negative_prompt))
    negative = host.styled(negative, styles, True)
    return tuple(
        GridPrompt(
            f"prompt {number}" if trigger else f"prompt {number}, without the trigger",
            host.styled(text, styles, False),
            negative,
            trigger,
        )
        for number, (text, trigger) in enumerate(lines_of(own, form.prompts), 1)
    )


def _first(value: Any) -> Any:
    """A job's prompt or seed, of which a script may have made a list."""
    return value[0] if is_list(value) else value


def _require_no_keywords(drawn: Sequence[Drawn]) -> None:
    for one in drawn:
        tags = keyword_tags.read(one.text).tags
        if tags:
            raise RequestError(
                f"{TITLE}: {tags[0].written} in the prompt would differ from cell to cell; use it as the further axis ({tags[0].name}=…)."
            )


def _axis(host: WebUI, p: Any, text: str) -> Axis:
    """A keyword and its values, each checked as the keyword's own value would be."""
    name, equals, values = text.partition("=")
    row = BY_NAME.get(name.strip())
    parts = [part.strip() for part in values.split(",") if part.strip()]
    if row is None or not equals or not parts:
        raise RequestError(f"{TITLE}: further axis {text!r}: write a keyword and values, such as cfg_scale=4,7.")
    rules = Rules(host.catalogue(), host.options(), host.missing(p), mode_of(p), host.size_step)
    found: list[Any] = []
    for part in parts:
        values = check(keyword_tags.read(f"<{row.name}:{part}>").tags, rules).values
        if values.keys() != {row.name}:
            raise RequestError(f"{TITLE}: further axis {part!r} means {' and '.join(values)}; vary one of them.")
        found.append(values[row.name])
    return Axis(row.name, tuple(found))


def _quiet(*_: object) -> None:
    """The WebUI itself shows how far its jobs are."""


def _sheet(path: Path) -> Any:
    """A sheet as the page shows it: from its file, for the WebUI would write it once more, into a folder that need not be
    there."""
    picture: Any = images.decode(path)
    picture.already_saved_as = str(path)
    return picture


def _result(p: Any, outcome: Outcome, seed: int) -> Any:
    """The sheets as the WebUI's result, with where the page is."""
    processing = needed("modules.processing")
    pictures = [_sheet(path) for path in outcome.sheets]
    recommended = outcome.findings.recommendation
    said: list[str] = []
    if outcome.failures:
        said.append(f"{TITLE}: {outcome.failures} pictures are missing or failed; the page says why.")
    if recommended.epoch is not None:
        said.append(recommended.sentence)
    info = f"{TITLE}: the page is {outcome.page}"
    result = processing.Processed(p, pictures, seed=seed, info=info, index_of_first_image=0)
    result.infotexts = [info] * len(pictures)
    result.comments = "".join(f"{text}\n" for text in (*getattr(p, "comments", {}), *said))
    return result
