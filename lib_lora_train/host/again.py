"""The same picture again: from a picture's text to a prompt whose keywords set all that the text says.

WebUIs read a picture's text back themselves, but not all of it: Forge Neo never takes the clip skip, and checkpoint and VAE
only when a setting says so, A1111 the checkpoint neither. A keyword in the prompt is set by the very job that draws.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lib_lora_train.host.infotext import CHOICES
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.catalogue import CHECKPOINT, VAE
from lib_lora_train.keywords.check import Rules, Value, check
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.read import Tag, read
from lib_lora_train.keywords.table import BY_NAME, KEYWORDS, OPTION, OPTIONS_ALLOWED
from lib_lora_train.prompt import POSITIVE, Context, Expander, PromptError, escape

_FIELD = re.compile(r'\s*([\w\s\-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""How the WebUIs read the last line of a picture's text (their `re_param`)."""
_FEWEST_FIELDS = 3
_MOST_CHARACTERS = 1_000_000
_NEGATIVE = "Negative prompt:"
_HIRES = ("Hires upscale", "Hires resize", "Hires upscaler")
_APART = frozenset({"checkpoint", "vae", "clip_skip", "width", "height", "hr_resize_x", "hr_resize_y", "enable_hr"})
"""Keywords that are made from more than the field of their label."""
_FILLS = ("fill", "original", "latent noise", "latent nothing")
_SWITCHES = {"inpaint_full_res": "Only masked"}
"""Switches that are on when their field says this; of others any text but "False" is on."""


@dataclass(frozen=True)
class Said:
    """A picture's text: its prompts, and its fields as they are written."""

    prompt: str = ""
    negative: str = ""
    fields: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())


@dataclass
class Again:
    """What goes into the prompt boxes to draw the picture again, by the boxes' roles.

    `dropped` is what the WebUI has not taken over, in words; `lacking` are sentences about what cannot be set here.
    """

    prompt: str = ""
    negative: str = ""
    hires: str = ""
    hires_negative: str = ""
    dropped: list[str] = field(default_factory=lambda: list[str]())
    lacking: list[str] = field(default_factory=lambda: list[str]())


def parse(text: str) -> Said:
    """The parts of a picture's text, cut as the WebUIs cut it; empty fields where its last line holds none."""
    *lines, last = text[:_MOST_CHARACTERS].strip().split("\n")
    found = _FIELD.findall(last)
    if len(found) < _FEWEST_FIELDS:
        lines, found = [*lines, last], []
    lines = [line.strip() for line in lines]
    cut = next((at for at, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[cut:]).removeprefix(_NEGATIVE).strip()
    return Said("\n".join(lines[:cut]), negative, {key.strip(): _unquoted(value) for key, value in found})


def again(host: WebUI, text: str, parameters: Mapping[str, Any], is_img2img: bool) -> Again | None:
    """What draws the picture of `text` again; None for a text without fields.

    `parameters` is what the WebUI has read out of it, before it fills the page.
    """
    said = parse(text)
    if not said.fields:
        return None
    made = Again(negative=_template(said.negative), dropped=list(_dropped(host, said, parameters)))
    hires = not is_img2img and any(key in said.fields for key in _HIRES)
    mode = "inpaint" if is_img2img else "hires" if hires else "txt2img"
    rules = Rules(host.catalogue(), host.options(), host.missing(SimpleNamespace()), mode, 1)
    tags = [tag for name, value in _wanted(host, said, mode) for tag in _tag(name, value, rules, made.lacking)]
    prompt = str(parameters.get("Prompt", "")) if parameters.get("Styles array") else said.prompt
    made.prompt = "\n".join(filter(None, (" ".join(dict.fromkeys(tags)), _template(prompt))))
    made.hires = _template(said.fields.get("Hires prompt", ""))
    made.hires_negative = _template(said.fields.get("Hires negative prompt", ""))
    made.lacking += host.not_by_keyword(said.fields)
    return made


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


def _template(text: str) -> str:
    """`text` as a template that gives exactly it: as it is, where nothing in it would be drawn."""
    try:
        drawn = Expander(Context()).draw({POSITIVE: text}, 0)
    except PromptError:
        return escape(text)
    return text if drawn.texts[POSITIVE] == text and not drawn.notes else escape(text)


def _wanted(host: WebUI, said: Said, mode: str) -> Iterator[tuple[str, str]]:
    """The keywords that the text asks for, with the values as the text has them, in the table's order."""
    trace = recorded_values(said)
    fields = said.fields
    given = {
        "checkpoint": trace.get("checkpoint") or fields.get("Model", ""),
        "vae": trace.get("vae") or host.vae_said(fields),
        "clip_skip": trace.get("clip_skip") or clip_skip(fields),
        **dict(zip(("width", "height"), fields.get("Size", "").split("x"), strict=False)),
    }
    if mode == "hires":
        given |= _hires(fields)
    elif mode == "txt2img":
        given["enable_hr"] = "off"
    for row in KEYWORDS:
        if row.recipe in ("job", "text") or mode not in row.modes:
            continue
        if row.name in _APART or row.name in given:
            value = given.get(row.name, "")
        elif row.label and row.label in fields:
            value = _value(row.name, fields[row.label])
        else:
            value = trace.get(row.name, "")
        if value:
            yield row.name, value
    yield from _options(host, fields, trace)
    yield from (("n_iter", "1"), ("batch_size", "1"))


def recorded_values(said: Said) -> dict[str, str]:
    """What our own record in the text says was set."""
    try:
        values: Any = json.loads(said.fields.get(CHOICES, "{}"))["set"]
        return {str(name): str(value) for name, value in cast("dict[str, Any]", values).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def clip_skip(fields: Mapping[str, str]) -> str:
    """The clip skip of a text: 1 where a WebUI writes none, which is not so in Neo; it writes none where it has no CLIP."""
    return fields.get("Clip skip", "") or ("" if fields.get("Version", "").startswith("neo") else "1")


def _hires(fields: Mapping[str, str]) -> dict[str, str]:
    """The second pass: where the text says nothing, the first pass's values are used."""
    x, _, y = fields.get("Hires resize", "0x0").partition("x")
    return {
        "enable_hr": "on",
        "hr_resize_x": x,
        "hr_resize_y": y or "0",
        "hr_second_pass_steps": fields.get("Hires steps", "0"),
        "hr_sampler": fields.get("Hires sampler") or fields.get("Sampler", ""),
        "hr_scheduler": fields.get("Hires schedule type") or fields.get("Schedule type", ""),
        "hr_distilled_cfg": fields.get("Hires Distilled CFG Scale") or fields.get("Hires Shift", ""),
    }


def _value(name: str, text: str) -> str:
    row = BY_NAME[name]
    if name == "inpainting_fill":
        return str(_FILLS.index(text)) if text in _FILLS else ""
    if row.kind == "switch":
        return "on" if text == _SWITCHES.get(name, text) and text != "False" else "off"
    return text


def _options(host: WebUI, fields: Mapping[str, str], trace: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The WebUI's own options that the text names and that are different now, then those that were set by keyword."""
    ours = {row.label for row in KEYWORDS}
    for name in sorted(OPTIONS_ALLOWED):
        label = host.label_of(name)
        value = fields.get(label, "") if label and label not in ours else trace.get(f"{OPTION}:{name}", "")
        if value and str(host.option(name)) != value:
            yield f"{OPTION}:{name}", value


def _tag(name: str, value: str, rules: Rules, lacking: list[str]) -> Iterator[str]:
    """The keyword as written, its value checked and in the WebUI's own spelling; what cannot be set is `lacking`."""
    written = f"<{name}:{value}>"
    if name in ("n_iter", "batch_size"):
        yield written
        return
    key, _, option = name.partition(":")
    tag = Tag(key, f"{option}:{value}" if option else value, 0, 0, written)
    try:
        values = check([tag], rules).values
    except KeywordError as error:
        lacking.append(str(error))
        return
    for found, checked in values.items():
        yield _written(found, checked)


def _written(name: str, value: Value) -> str:
    text = (
        ("on" if value else "off") if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
    )
    plain = f"<{name}:{text}>"
    return plain if len(read(plain).tags) == 1 and not read(plain).text else f'<{name}:"{text}">'


def _dropped(host: WebUI, said: Said, parameters: Mapping[str, Any]) -> Iterable[str]:
    """What the text says and the WebUI does not take over into the page."""
    page = SimpleNamespace(override_settings={})
    model = host.catalogue().find(CHECKPOINT, said.fields.get("Model", "")).entry
    if model is not None and model.name != host.checkpoint_of(page) and host.option("disable_weights_auto_swap"):
        yield f"checkpoint {Path(model.name).stem}"
    skip = clip_skip(said.fields)
    if skip and "Clip skip" not in parameters and skip != str(host.option("CLIP_stop_at_last_layers", 1)):
        yield f"clip skip {skip}"
    vae = host.catalogue().find(VAE, host.vae_said(said.fields)).entry
    taken = ("VAE" in parameters or "VAE/TE" in parameters) and not host.option("disable_modules_auto_swap")
    if vae is not None and not taken and not host.has_vae(page, vae.name):
        yield f"VAE {Path(vae.name).stem}"
