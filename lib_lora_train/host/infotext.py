"""What a picture's text says of us: the template and the choices, beside the resolved prompt; and reading it back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from lib_lora_train.host.shots import HIRES, HIRES_NEGATIVE, ROLES, Shot
from lib_lora_train.host.webui import WebUI
from lib_lora_train.prompt import NEGATIVE, POSITIVE
from lib_lora_train.prompt.choose import RANDOM

TEMPLATE = "Prompt template"
NEGATIVE_TEMPLATE = "Negative template"
HIRES_TEMPLATE = "Hires template"
CHOICES = "Prompt choices"
FIELDS = {POSITIVE: TEMPLATE, NEGATIVE: NEGATIVE_TEMPLATE, HIRES: HIRES_TEMPLATE}
PASTED = {TEMPLATE: "Prompt", NEGATIVE_TEMPLATE: "Negative prompt", HIRES_TEMPLATE: "Hires prompt"}
MOST_CHARACTERS = 6000
_FLUX = re.compile(r"(fl)(u)(x)", re.IGNORECASE)


def quoted(text: str) -> str:
    """`text` so that the WebUI's own quoting and unquoting give exactly `text` back.

    The WebUI quotes only what holds a comma, colon or line end, but unquotes whatever begins and ends with a quote.
    """
    if _FLUX.search(text):
        return _hidden(json.dumps(text, ensure_ascii=False), {",": "\\u002c", ":": "\\u003a"})
    kept = any(mark in text for mark in ",:\n") or (text == text.strip() and not text.startswith('"'))
    return text if kept else json.dumps(text, ensure_ascii=False)


def _hidden(quoted_json: str, marks: Mapping[str, str] = MappingProxyType({})) -> str:
    """JSON that says the same without the word "flux": Forge Neo takes that word anywhere in a picture's text for a mark
    of Flux models, and sets the CFG scale to 1. Each of `marks` is replaced too."""
    for mark, written in marks.items():
        quoted_json = quoted_json.replace(mark, written)
    return _FLUX.sub(lambda match: f"{match[1]}\\u{ord(match[2]):04x}{match[3]}", quoted_json)


def fields(shots: Sequence[Shot], plan: str) -> dict[str, Any]:
    """Our entries of `extra_generation_params`: texts where all images have the same, else called for each image."""
    entries: dict[str, Any] = {}
    for role, key in FIELDS.items():
        templates = [shot.templates.get(role, "") for shot in shots]
        shown = [
            quoted(template) if template and template != shot.texts[role] else None
            for template, shot in zip(templates, shots, strict=True)
        ]
        if any(shown):
            entries[key] = shown[0] if len(set(shown)) == 1 else by_image(shown)
    traces = [choices(shot, plan) for shot in shots]
    entries[CHOICES] = traces[0] if len(shots) == 1 else by_image(traces)
    return entries


def at_image(fields: Mapping[str, Any], p: Any, place: int) -> dict[str, Any]:
    """`fields` with their functions called for the image `place` of the job."""
    called = {key: value(p, place, p.all_prompts) if callable(value) else value for key, value in fields.items()}
    return {key: value for key, value in called.items() if value is not None}


def write(host: WebUI, p: Any, fields: Mapping[str, Any], place: int) -> None:
    """Put `fields` into what the job's images say: for all at once where the WebUI calls functions, else for the image
    `place` of the job."""
    if host.calls_functions:
        p.extra_generation_params = {**p.extra_generation_params, **fields}
        return
    rest = {key: value for key, value in p.extra_generation_params.items() if key not in fields}
    p.extra_generation_params = {**rest, **at_image(fields, p, place)}


def hires_fields(shots: Sequence[Shot]) -> dict[str, Callable[..., str | None]]:
    """The WebUI's own record of hires prompts, right for every batch: itself it gives all of them the first batch's."""
    kinds = (("Hires prompt", HIRES, POSITIVE), ("Hires negative prompt", HIRES_NEGATIVE, NEGATIVE))
    return {
        key: by_image([shot.texts[role] if shot.texts[role] != shot.texts[base] else None for shot in shots])
        for key, role, base in kinds
    }


def by_image(values: Sequence[str | None]) -> Callable[..., str | None]:
    """One value an image of the job. The WebUI calls with the place in the batch, or in the job, and does not say which;
    it gives the list it looks in."""

    def value(p: Any, index: int = 0, all_prompts: Any = None, use_main_prompt: bool = False, **_: Any) -> str | None:
        place = index if use_main_prompt or all_prompts is p.all_prompts else index + p.iteration * p.batch_size
        return values[place] if 0 <= place < len(values) else None

    return value


def choices(shot: Shot, plan: str) -> str:
    """The trace as JSON: the draw (seed, place and mode where they are not the image's own), what was drawn, what was
    set, and the plan."""
    placed = shot.mode != RANDOM or any("@" in template for template in shot.templates.values())
    drawn = {role: {c.path: ", ".join(c.texts) for c in shot.drawn.traces.get(role, ())} for role in ROLES}
    record: dict[str, Any] = {
        "seed": shot.drawn.seed if shot.drawn.seed != shot.seed else None,
        "place": shot.drawn.position if placed else None,
        "mode": shot.mode if shot.mode != RANDOM else None,
        "drawn": {role: found for role, found in drawn.items() if found},
        "set": shot.values,
        "plan": plan,
    }
    text = json.dumps({key: value for key, value in record.items() if value not in (None, {}, "")}, ensure_ascii=False)
    if len(text) > MOST_CHARACTERS:
        record["drawn"] = {}
        text = json.dumps({k: v for k, v in record.items() if v not in (None, {}, "")}, ensure_ascii=False)
    return quoted(_hidden(text))


def recorded(infotext: str) -> dict[str, Any]:
    """Our fields of a picture's text: `template` and what `choices` wrote; empty when it has none."""
    line = infotext.strip().rpartition("\n")[2]
    found: dict[str, Any] = {}
    for key, name in ((TEMPLATE, "template"), (CHOICES, "choices")):
        match = re.search(rf'(?:^|, ){key}: ("(?:\\.|[^\\"])*"|[^,]*)', line)
        if match is None:
            continue
        text = match[1]
        try:
            text = str(json.loads(text)) if text.startswith('"') else text
            found[name] = json.loads(text) if name == "choices" else text
        except ValueError:
            continue
    given = found.get("choices")
    return {**(cast("dict[str, Any]", given) if isinstance(given, dict) else {}), "template": found.get("template", "")}


def paste(parameters: MutableMapping[str, Any], restore: str) -> None:
    """Change what the WebUI read out of a picture, so that the page gets the template when `restore` says so."""
    if restore != "template":
        return
    for ours, theirs in PASTED.items():
        text = parameters.get(ours)
        if isinstance(text, str) and text:
            parameters[theirs] = text
