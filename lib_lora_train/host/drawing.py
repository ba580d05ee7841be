"""From a job of the WebUI and the form to shots: how many images, with which seeds, drawn in which mode."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

from lib_lora_train.host import settings
from lib_lora_train.host.checkpoints import refuse_misfits
from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.folders import wildcard_roots
from lib_lora_train.host.infotext import recorded
from lib_lora_train.host.request import Request
from lib_lora_train.host.session import SESSION, Session
from lib_lora_train.host.shots import HIRES, HIRES_NEGATIVE, Shot, Texts, read_texts
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.catalogue import LORA
from lib_lora_train.keywords.check import Rules, check
from lib_lora_train.keywords.read import networks, read
from lib_lora_train.keywords.table import BY_NAME, LARGEST_SEED
from lib_lora_train.prompt import (
    NEGATIVE,
    POSITIVE,
    Context,
    Expander,
    NotCountable,
    Prompt,
    Wildcards,
    escape,
    seed_of,
)
from lib_lora_train.prompt.choose import CYCLE, RANDOM
from lib_lora_train.prompt.template import Missing

HIRES_WORDS = ("<hires", "<enable_hr", "<enable-hr")
COMBINATIONS = "!"
LARGEST_DRAWN = 2**32 - 1
_LEFT = re.compile(r"__[~@!]?(.+?)__")
"""A wildcard that stayed as text because it has no values."""


@dataclass
class Job:
    """What a job shall make. `notes` are for the person; `touched` says whether anything was drawn or set at all.

    A job of a video has one shot, whose text is that of all its frames.
    """

    shots: list[Shot]
    batch_size: int
    notes: list[str] = field(default_factory=lambda: list[str]())
    touched: bool = False
    is_video: bool = False


@dataclass
class Drawing:
    """One job being drawn: the WebUI, its job `p`, the form's fields, and what all images share.

    `picture` counts the pictures of a folder, which all have one seed: each has its own prompt nevertheless.
    """

    host: WebUI
    p: Any
    request: Request
    expander: Expander
    picture: int = 0
    session: Session = field(default_factory=lambda: SESSION)
    notes: dict[str, None] = field(default_factory=lambda: dict[str, None]())
    total: int = 0
    batch_size: int = 1
    touched: bool = False
    refreshed: bool = False

    def __post_init__(self) -> None:
        self.rules = Rules(
            self.host.catalogue(),
            self.host.options(),
            self.host.missing(self.p),
            mode_of(self.p),
            self.host.size_step,
        )
        self.page = (self.host.checkpoint_of(self.p), str(getattr(self.p, "hr_upscaler", None) or ""))
        self.foreign = self.host.foreign_tags()
        self.random_seed = str(self.p.seed).strip() in ("None", "", "-1", "-1.0")
        self.batch_size = int(self.p.batch_size)
        self.total = len(self.p.prompt) if is_list(self.p.prompt) else self.batch_size * int(self.p.n_iter)
        self.is_video = self.host.is_video(self.p)
        if self.is_video:
            self.total = 1

    def job(self) -> Job:
        """All shots. Raises PromptError, KeywordError and RequestError before anything is made."""
        seeds, subseeds = self._seeds(self.p.seed), self._seeds(self.p.subseed)
        again = self._repeated()
        draws = self._draws(seeds) if again is None else iter([again])
        shots: list[Shot] = []
        for number, (drawn, mode, templates) in enumerate(draws):
            require_values(drawn)
            texts = read_texts(drawn.texts, self.rules, self.foreign)
            if "styles" in texts.settings.values:
                drawn, texts = self._styled(drawn, templates, texts, mode)
            refuse_misfits(texts.settings.values, self.page[0], self.page[1], self.rules.catalogue)
            if number == 0:
                self._job_wide(texts.settings.values)
            self.notes.update(dict.fromkeys((*drawn.notes, *texts.notes, *self._absent(texts))))
            shots.append(self._shot(number, drawn, texts, templates, mode, (seeds, subseeds)))
            if number + 1 >= self.total:
                break
        self.touched = self.touched or any(self._changed(shot) for shot in shots)
        if self.is_video:
            return self._video(shots[:1])
        return Job(shots, self.batch_size, list(self.notes), self.touched)

    def _video(self, shots: list[Shot]) -> Job:
        """One text for all frames. Raises RequestError for keywords, which would cut the video into jobs."""
        if shots[0].values:
            named = ", ".join(f"<{name}:…>" for name in shots[0].values)
            raise RequestError(
                f"{named}: this preset makes videos, whose frames are one job of the WebUI; set it in the page instead."
            )
        return Job(shots, 1, list(self.notes), self.touched, is_video=True)

    def _shot(
        self, number: int, drawn: Prompt, texts: Texts, templates: Mapping[str, str], mode: str, seeds: Any
    ) -> Shot:
        values = texts.settings.values
        seed = self._own(values, "seed", self._image_seed(seeds[0], number))
        listed = is_list(seeds[1])
        subseed = self._own(values, "subseed", int(seeds[1][number] if listed else seeds[1] + number))
        return Shot(number, seed, subseed, texts.texts, values, drawn, templates, mode)

    def _changed(self, shot: Shot) -> bool:
        return bool(shot.values) or any(shot.texts[role] != text for role, text in shot.templates.items() if text)

    def _absent(self, texts: Texts) -> Iterator[str]:
        """LoRAs that are not there: A1111 leaves them out, Forge leaves out all of the batch; neither says so."""
        known = {word for entry in self.rules.catalogue.entries.get(LORA, ()) for word in (entry.name, *entry.aliases)}
        for tag in networks(f"{texts.texts[POSITIVE]} {texts.texts[HIRES]}"):
            kind, _, rest = tag[1:-1].partition(":")
            name = rest.partition(":")[0]
            if kind == "lora" and known and name not in known and not self._appeared(name):
                near = self.rules.catalogue.find(LORA, name)
                words = ", ".join((near.entry.name,) if near.entry else near.candidates)
                yield f"{tag}: there is no LoRA {name!r}" + (f"; the nearest: {words}." if words else ".")

    def _appeared(self, name: str) -> bool:
        """Whether a LoRA is there after all: the WebUI's list is older than a file that was trained or copied since."""
        if not self.refreshed:
            self.refreshed = True
            self.host.refresh_loras()
            self.rules = replace(self.rules, catalogue=self.host.catalogue())
        return any(name in (entry.name, *entry.aliases) for entry in self.rules.catalogue.entries.get(LORA, ()))

    # Seeds ----------------------------------------------------------------------------------------------------------

    def _seeds(self, given: Any) -> Any:
        """The job's seed as the WebUI would take it: one number, or the list that a script has made."""
        if is_list(given):
            return [self.host.fixed_seed(one) for one in given]
        return self.host.fixed_seed(given)

    def _image_seed(self, seeds: Any, number: int) -> int:
        if is_list(seeds):
            return int(seeds[number % len(seeds)])
        still = self.request.fixed_seed or self.p.subseed_strength != 0
        return int(seeds) if still else int(seeds) + number

    def _prompt_seed(self, seeds: Any, number: int) -> int:
        if self.request.unlinked_seed:
            return random.SystemRandom().randint(0, LARGEST_DRAWN)
        seed = self._image_seed(seeds, number)
        if self.request.fixed_seed and not is_list(seeds):
            seed += number  # the pictures share a seed, the prompts do not
        return seed_of("picture", seed, self.picture) if self.picture else seed

    def _own(self, values: dict[str, Any], name: str, otherwise: int) -> int:
        """An image's own seed by keyword; -1 is drawn now, so that the picture can say which."""
        if values.get(name) == -1:
            values[name] = random.SystemRandom().randint(0, LARGEST_DRAWN)
        return int(values.get(name, otherwise)) & LARGEST_SEED

    # Templates ------------------------------------------------------------------------------------------------------

    def _templates(self, number: int) -> dict[str, str]:
        """The texts of the page for one image, with the page's styles. Hires texts only where there are any."""
        p = self.p
        given = {POSITIVE: p.prompt, NEGATIVE: p.negative_prompt}
        positive = p.prompt[0] if is_list(p.prompt) else p.prompt
        if getattr(p, "enable_hr", False) or any(word in positive.lower() for word in HIRES_WORDS):
            for role, name, base in ((HIRES, "hr_prompt", POSITIVE), (HIRES_NEGATIVE, "hr_negative_prompt", NEGATIVE)):
                text = getattr(p, name, "")
                given[role] = text if text and text != given[base] else ""
        found: dict[str, str] = {}
        for role, text in given.items():
            one = str(text[number] if is_list(text) else text or "").replace("\r\n", "\n")
            negative = role in (NEGATIVE, HIRES_NEGATIVE)
            styled = self.host.styled(one, p.styles or [], negative)
            found[role] = styled if one or role in (POSITIVE, NEGATIVE) else ""
        return found

    def _draws(self, seeds: Any) -> Iterator[tuple[Prompt, str, Mapping[str, str]]]:
        if self.request.mode == "combinatorial" and not is_list(self.p.prompt):
            yield from self._combinations(seeds)
        elif self.request.mode == "cyclical":
            yield from self._cycle(seeds)
        else:
            yield from self._random(seeds)

    def _random(self, seeds: Any) -> Iterator[tuple[Prompt, str, Mapping[str, str]]]:
        limits = (
            int(self.host.option(settings.KEEP_IMAGES.name, 0)),
            float(self.host.option(settings.KEEP_MINUTES.name, 0)),
        )
        keeping = self.random_seed and (limits[0] > 1 or limits[1] > 0) and not is_list(self.p.prompt)
        number = 0
        while number < self.total:
            templates, seed = self._templates(number), self._prompt_seed(seeds, number)
            draw = self._drawer(templates, seed, number)
            drawn = self.session.keep(draw(0), self._checkpoint, draw, limits) if keeping else draw(0)
            yield drawn, RANDOM, templates
            number += 1

    def _drawer(self, templates: Mapping[str, str], seed: int, number: int) -> Callable[[int], Prompt]:
        return lambda attempt: self.expander.draw(
            templates, seed_of("kept", seed, attempt) if attempt else seed, number
        )

    def _checkpoint(self, drawn: Prompt) -> str:
        """The checkpoint that a drawn prompt asks for, "" for none."""
        require_values(drawn)
        tags = [tag for role in (NEGATIVE, POSITIVE) for tag in read(drawn.texts.get(role, "")).tags]
        asked = [tag for tag in tags if tag.name in BY_NAME and BY_NAME[tag.name].recipe == "checkpoint"]
        return str(check(asked, self.rules).values.get("checkpoint", ""))

    def _cycle(self, seeds: Any) -> Iterator[tuple[Prompt, str, Mapping[str, str]]]:
        first = self.session.take(tuple(self._templates(0).values()), self.total)
        number = 0
        while number < self.total:
            templates = self._templates(number)
            place = first + number
            yield self.expander.draw(templates, self._prompt_seed(seeds, number), place, mode=CYCLE), CYCLE, templates
            number += 1

    def _combinations(self, seeds: Any) -> Iterator[tuple[Prompt, str, Mapping[str, str]]]:
        templates, repeats = self._templates(0), self.request.repeats
        wanted, most = self.request.limit, int(self.host.option(settings.MOST.name, 1000))
        if not wanted:
            try:
                wanted = self.expander.count(templates)
            except NotCountable as error:
                raise RequestError(f"{error} Say in 'Most images' how many you want.") from error
            if wanted * repeats > most:
                raise RequestError(
                    f"The template has {wanted:,} combinations, {wanted * repeats:,} images; say in 'Most images' how many you want."
                )
        self.touched = True
        base = self._prompt_seed(seeds, 0)
        found = islice(self.expander.combinations(templates, base), wanted)
        prompts = [prompt for prompt in found for _ in range(repeats)]
        self.total = len(prompts)
        for prompt in prompts:
            yield prompt, COMBINATIONS, templates

    def _repeated(self) -> tuple[Prompt, str, Mapping[str, str]] | None:
        """The prompt of the picture that the gallery's Upscale button enlarges, when that was drawn from this template."""
        picture = getattr(self.p, "firstpass_image", None)
        if not getattr(self.p, "txt2img_upscale", False) or picture is None:
            return None
        record = recorded(str(getattr(picture, "info", {}).get("parameters", "")))
        templates = self._templates(0)
        if not record or (record["template"] or templates[POSITIVE]) != templates[POSITIVE]:
            return None
        self.total = self.batch_size = 1
        seed = record.get("seed")
        seed = seed if isinstance(seed, int) else self.host.fixed_seed(self.p.seed)
        place = record.get("place", 0)
        place = (
            place
            if isinstance(place, int) and 0 <= place <= int(self.host.option(settings.MOST.name, 1000)) * 1000
            else 0
        )
        mode = record.get("mode", RANDOM)
        if mode == COMBINATIONS:
            found = next(islice(self.expander.combinations(templates, seed), place, None), None)
            return None if found is None else (found, COMBINATIONS, templates)
        return self.expander.draw(templates, seed, place, mode=CYCLE if mode == CYCLE else RANDOM), mode, templates

    # Keywords that are more than a setting --------------------------------------------------------------------------

    def _styled(self, drawn: Prompt, templates: Mapping[str, str], texts: Texts, mode: str) -> tuple[Prompt, Texts]:
        """The texts with the styles of `<styles:…>`, whose own choices are drawn with the image's seed."""
        chosen = str(texts.settings.values.pop("styles")).split("\n")
        put: dict[str, str] = {}
        for role, text in texts.texts.items():
            if role in (POSITIVE, NEGATIVE) or drawn.texts.get(role):
                put[role] = self.host.styled(escape(text), chosen, role in (NEGATIVE, HIRES_NEGATIVE))
        again = self.expander.draw(
            put, seed_of("styles", drawn.seed), drawn.position, mode=CYCLE if mode == CYCLE else RANDOM
        )
        styled = read_texts(again.texts, self.rules, self.foreign)
        styled.settings.values.pop("styles", None)
        styled.settings.values = {**styled.settings.values, **texts.settings.values}
        styled.notes = [*texts.notes, *styled.notes]
        return drawn, styled

    def _job_wide(self, values: Mapping[str, Any]) -> None:
        """Batch count and size by keyword: the first image's count for the job."""
        if is_list(self.p.prompt) or not {"n_iter", "batch_size"} & set(values):
            return
        self.batch_size = int(values.get("batch_size", self.batch_size))
        if self.request.mode == "combinatorial":
            self.notes[
                "In combinatorial mode the combinations say how many images there are; <n_iter:…> has no effect."
            ] = None
            return
        self.total = self.batch_size * int(values.get("n_iter", self.p.n_iter))


def require_values(drawn: Prompt) -> None:
    """Raise RequestError for a keyword whose value is a wildcard that gave nothing, with the wildcard's own reason."""
    for text in drawn.texts.values():
        for tag in read(text).tags:
            for name in _LEFT.findall(tag.value):
                reason = next((note for note in drawn.notes if f"'{name}'" in note), "")
                if reason:
                    raise RequestError(f"{tag.written}: {reason}")


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a script has given one text or seed for each image."""
    return isinstance(value, list)


def texts_of(p: Any) -> list[str]:
    """All texts of a job, as they were typed."""
    names = ("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt")
    texts: list[Any] = [getattr(p, name, "") or "" for name in names]
    return [str(line) for text in texts for line in (text if is_list(text) else [text])]


def mode_of(p: Any) -> str:
    """What kind of job this is, in the table's words."""
    if hasattr(p, "init_images"):
        return "inpaint" if getattr(p, "image_mask", None) is not None else "img2img"
    return "hires" if getattr(p, "enable_hr", False) else "txt2img"


def expander(host: WebUI) -> Expander:
    """Draws with this WebUI's wildcard folders and our settings; the same one as long as they stay the same."""
    missing = str(host.option(settings.MISSING.name, "literal"))
    return _expander(tuple(wildcard_roots(host)), bool(host.option(settings.LENIENT.name, False)), missing)


@lru_cache(maxsize=2)
def _expander(roots: Sequence[Path], lenient: bool, missing: str) -> Expander:
    kind: Missing = missing if missing in ("literal", "error", "empty") else "literal"
    return Expander(Context(Wildcards(roots), lenient=lenient, missing=kind))
