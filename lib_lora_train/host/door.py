"""The hooks of the WebUI, in the order in which it calls them. The script in `scripts/` only forwards to here."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_lora_train.environment import locate
from lib_lora_train.host import (
    drawing,
    dynamic_prompts,
    infotext,
    lora_cache,
    other_extensions,
    parts,
    settings,
    turns,
)
from lib_lora_train.host.errors import HostError
from lib_lora_train.host.finding import find
from lib_lora_train.host.folders import home
from lib_lora_train.host.modules import attribute
from lib_lora_train.host.request import Request
from lib_lora_train.host.session import SESSION, Session
from lib_lora_train.host.webui import WebUI
from lib_lora_train.prompt import NEGATIVE, POSITIVE
from lib_lora_train.prompt.syntax import DEFAULT_SYNTAX, is_plain

log = logging.getLogger("lora_loop")
NOTES = "LoRA Loop notes"
PICTURE = "LoRA Loop picture"
"""What a pasted text is called among the WebUI's parameters."""
HIRES_METHODS = {"Hires prompt": "get_hr_prompt", "Hires negative prompt": "get_hr_negative_prompt"}
OURS = "LoRA Loop: "


class Refusal(dict[str, Any]):
    """Overrides that stop the job. Hooks cannot: the WebUI prints their exceptions and goes on with the raw prompt. But
    the first thing that it does after `before_process`, outside of any hook, is to look through the overrides."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def keys(self) -> Any:
        """Raises the error, which the WebUI then shows in the page and answers to the API."""
        raise self.error

    items = values = copy = __iter__ = keys


def before_process(p: Any, arguments: Sequence[Any]) -> None:
    """Draw the whole job, and make it in parts where images need different settings."""
    mine = parts.own_of(p)
    if mine is not None and mine.part:
        _guard(find(), p, mine)
        return
    if mine is not None:
        _undo(p, mine)
    copied = isinstance(getattr(p, "lora_loop", None), parts.Own)
    if copied:
        for method in HIRES_METHODS.values():
            p.__dict__.pop(method, None)
    other_extensions.leave(p)
    p.lora_loop = parts.Own(id(p))
    try:
        picture = parts.picture_number(p)
        _turn(p)
        request = Request.read(arguments)
        if request.enabled and not (_is_plain(p) and request.mode != "combinatorial" and not request.fixed_seed):
            session = (
                copy.deepcopy(SESSION) if copied else SESSION
            )  # a copy of a running job may be made for its hooks only
            _prepare(find(), p, request, picture, session)
    except Exception as error:
        _keep(p, p.lora_loop, "override_settings", "n_iter")
        p.override_settings, p.n_iter = Refusal(error), 0


def works_here() -> bool:
    """Whether this is a WebUI that LoRA Loop works in; where it is not, the log says so once."""
    try:
        find()
    except HostError as error:
        if not _told:
            _told.append(str(error))
            log.warning(error)
        return False
    return True


_told: list[str] = []


def loading() -> None:
    """The WebUI loads its scripts, and will load a model next."""
    with contextlib.suppress(HostError):
        turns.spare_the_start(find())


def lend() -> None:
    """Tell the trainer's environment on which Python this WebUI runs, wherever that lies: its torch is to be reused."""
    with contextlib.suppress(HostError):
        webui = attribute("modules.paths", "script_path") or Path.cwd()
        locate.lend(home(find()), Path(webui))


def started() -> None:
    """The WebUI answers, with a page or without."""
    with contextlib.suppress(HostError):
        turns.register(find())


def _turn(p: Any) -> None:
    """The card is this job's, or the job goes on beside a training. Raises CardBusy."""
    try:
        host = find()
    except HostError:  # an unknown WebUI draws as ever
        return
    beside = turns.take(host)
    if beside:
        _say(host, p, beside)


def _is_plain(p: Any) -> bool:
    """Whether nothing in the job's texts can be ours, so that even an unknown WebUI has nothing to lose."""
    return not p.styles and all(is_plain(line, DEFAULT_SYNTAX) for line in drawing.texts_of(p))


def _prepare(host: WebUI, p: Any, request: Request, picture: int, session: Session) -> None:
    beside = dynamic_prompts.active(p)
    agreed, word = dynamic_prompts.agree(host, beside, request, p) if beside else (request, "")
    if agreed is None:
        p.lora_loop.notes = [word] if word else []
        for note in p.lora_loop.notes:
            _say(host, p, note)
        return
    request = agreed
    job = drawing.Drawing(host, p, request, drawing.expander(host), picture, session).job()
    made = parts.planned(host, p, job.shots, job.batch_size)
    ours = job.touched or request.fixed_seed
    notes = [note for note in (*job.notes, made.words() if job.touched else "", word if ours else "") if note]
    for note in notes:
        _say(host, p, note)
    if not ours:
        p.lora_loop.notes = notes
        return
    finished = parts.own(host, p, job.shots, made.words())
    finished.notes = notes
    if job.is_video:
        _keep(p, finished, "prompt", "negative_prompt", "styles")
        p.prompt, p.negative_prompt, p.styles = job.shots[0].texts[POSITIVE], job.shots[0].texts[NEGATIVE], []
        finished.whole = True
    elif host.calls_functions and made.is_simple and not any(shot.batch_values for shot in job.shots):
        _keep(p, finished, "n_iter", "batch_size", "seed", "subseed")
        p.batch_size, p.n_iter = made.parts[0].batch_size, made.parts[0].batches
    else:
        finished.results = parts.make(host, p, job.shots, made)
        for note in finished.results.notes:
            host.say(p, note)
            if note.startswith(OURS):
                finished.notes.append(note.removeprefix(OURS))
        _keep(p, finished, "n_iter", "seed", "subseed", "do_not_save_grid", "override_settings", "txt2img_upscale")
        p.override_settings = dict(p.override_settings)
        host.keep_loaded(p)
    p.lora_loop = finished
    if not job.is_video:
        p.seed, p.subseed = job.shots[0].seed, job.shots[0].subseed
        _guard(host, p, finished)


def _guard(host: WebUI, p: Any, mine: parts.Own) -> None:
    """Have the job's texts filled in, and kept from being drawn by somebody else as well."""

    def say(text: str) -> None:
        mine.notes.append(text)
        _say(host, p, text)

    other_extensions.stand_guard(host, p, mine, say)


def process(p: Any) -> None:
    """Fill the WebUI's lists: what each image is made of, apart from its texts. A job whose parts are made makes nothing
    more."""
    mine = parts.own_of(p)
    if mine is not None:
        _fill(p, mine)
    if p.n_iter:
        lora_cache.forget_changed(p)


def _fill(p: Any, mine: parts.Own) -> None:
    if mine.whole:
        p.extra_generation_params = {**p.extra_generation_params, **mine.fields}
        return
    if mine.guard is None:
        _settle(p, p.all_seeds)
        return
    mine.guard.fill_seeds()
    if mine.results is not None:
        p.do_not_save_grid = True
    else:
        mine.each = dict(mine.fields)
        infotext.write(find(), p, mine.each, 0)
        _settle(p, p.all_seeds)


def before_process_batch(p: Any) -> None:
    """Mend the WebUI's record of hires prompts, which is that of the first batch for all; watch what others do to it."""
    mine = parts.own_of(p)
    if mine is None or mine.guard is None or mine.results is not None:
        return
    if getattr(p, "enable_hr", False):
        record = infotext.hires_fields(mine.shots)
        mine.each = {**mine.each, **record}
        for key, method in HIRES_METHODS.items():
            if hasattr(p, method):  # Neo writes its method into the record later, in the hires pass
                _keep(p, mine, method)
                setattr(p, method, record[key])
        infotext.write(find(), p, mine.each, p.iteration * p.batch_size)
    mine.guard.each_batch()


def postprocess_image(p: Any) -> None:
    """Write this image's fields where the WebUI calls no functions: the next thing that it makes is the image's text."""
    mine = parts.own_of(p)
    if mine is not None and mine.each and not find().calls_functions:
        infotext.write(find(), p, mine.each, p.iteration * p.batch_size + getattr(p, "batch_index", 0))


def postprocess(p: Any, processed: Any) -> None:
    """Hand over what the parts made, and leave the job as it was given to us."""
    mine = parts.own_of(p)
    if mine is None:
        return
    if mine.each:  # Forge Classic writes its answer as JSON, which has no functions
        said = processed.extra_generation_params
        processed.extra_generation_params = {key: value for key, value in said.items() if not callable(value)}
    if mine.guard is not None:
        mine.guard.close()
    if mine.part:
        return
    if mine.results is not None:
        p.do_not_save_grid = mine.before["do_not_save_grid"]
        parts.hand_over(find(), p, processed, mine)
    if mine.notes:  # the API's answer has no other place for them
        processed.extra_generation_params = {**processed.extra_generation_params, NOTES: mine.notes}
    _undo(p, mine)


def pasted(text: str, parameters: dict[str, Any]) -> None:
    """A picture's settings are put back into the page. Our own fields of the page get its text as it is."""
    parameters[PICTURE] = {"text": text, "read": dict(parameters)}
    infotext.paste(parameters, str(find().option(settings.PASTE.name, "resolved")))


def _settle(p: Any, seeds: Sequence[int]) -> None:
    """Where pictures shall be made again bit for bit, the noise with which the WebUI reads a given picture follows the
    seed, and not whatever was drawn before."""
    if hasattr(p, "init_images") and find().option(settings.EXACT.name, False):
        find().seed_everything(int(seeds[0]))


def _say(host: WebUI, p: Any, text: str) -> None:
    log.info(text)
    host.say(p, f"{OURS}{text}")


_ABSENT = object()


def _keep(p: Any, mine: parts.Own, *names: str) -> None:
    """Remember attributes of the job."""
    for name in names:
        mine.before.setdefault(name, p.__dict__.get(name, _ABSENT))


def _undo(p: Any, mine: parts.Own) -> None:
    """Give the job back what `_keep` remembered."""
    if mine.guard is not None:
        mine.guard.close()
    for name, value in mine.before.items():
        if value is _ABSENT:
            p.__dict__.pop(name, None)
        else:
            setattr(p, name, value)
    del p.lora_loop
