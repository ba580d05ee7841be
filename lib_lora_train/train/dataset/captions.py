"""What is said of a photo at one time: fallback, prefix and suffix, dropout, templates, shuffle, tag dropout. Pure.

The order is kohya's; each draw is a function of (seed, photo, repeat, epoch) alone. Tags are joined with ", ".
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.randomness import draw, shuffled, uniform
from lib_lora_train.train.sections import DatasetConfig

FREQUENCY_BYTES = 256 * 1024
"""Room for tag counts in a LoRA's metadata: files with megabytes of it cannot be read by the hosts."""

TEMPLATE = re.compile(r"\{[^{}\n]*\|[^{}\n]*\}")


def caption_for(photo: Photo, repeat: int, epoch: int, seed: int, config: DatasetConfig, trigger: str) -> str:
    """The caption of `photo` at its `repeat` (from 0) in `epoch` (from 1)."""
    occasion = (photo.identity, repeat, epoch)
    if _dropped(occasion, seed, config):
        return ""
    lines = lines_of(base_caption(photo, config, trigger))
    text = lines[draw(seed, "caption-line", *occasion) % len(lines)] if config.templates else lines[0]
    text = f"{config.prefix} {text}" if config.prefix else text
    text = f"{text} {config.suffix}" if config.suffix else text
    if config.templates:
        text = expand(text, draw(seed, "caption-template", *occasion))
    if config.shuffle or config.tag_dropout > 0:
        text = _tags(text, occasion, seed, config)
    return text.strip()


def base_caption(photo: Photo, config: DatasetConfig, trigger: str) -> str:
    """The caption file's text, else the fallback: the folder's words too where no trigger is set."""
    if photo.caption is not None:
        return photo.caption
    if config.fallback == "filename":
        return words_of(PurePosixPath(photo.name).stem)
    if config.fallback == "folder":
        return photo.words
    return trigger if trigger and not photo.is_regularisation else photo.words


def lines_of(caption: str) -> list[str]:
    """The lines that say something, stripped; one empty line if none does. Only templates look past the first."""
    return [line.strip() for line in caption.splitlines() if line.strip()] or [""]


def words_of(stem: str) -> str:
    """A file name as words: underscores become blanks, a number at the end goes ("red_car (3)" is "red car")."""
    text = re.sub(r"[_\s]+", " ", stem).strip()
    return re.sub(r"\s*(\(\d+\)|[-\s]\d+)$", "", text).strip() or text


def expand(template: str, seed: int) -> str:
    """One prompt of a template of the prompt language. Raises PromptError, which names the place."""
    return str(_expander().draw(template, seed).text)


@lru_cache(maxsize=1)
def _expander() -> Any:
    """The prompt language is loaded only where captions are templates. Captions have no wildcard files."""
    return importlib.import_module("lib_lora_train.prompt").Expander()


def tag_frequency(photos: Iterable[Photo], config: DatasetConfig, trigger: str) -> dict[str, dict[str, int]]:
    """How many photos of each folder carry each tag, lower case; the most frequent ones that fit `FREQUENCY_BYTES`."""
    counts: dict[str, Counter[str]] = {}
    for photo in photos:
        caption = lines_of(base_caption(photo, config, trigger))[0]
        tags = (tag.strip().lower() for tag in caption.split(config.separator or ","))
        counts.setdefault(photo.folder, Counter()).update(tag for tag in tags if tag)
    ranked = sorted((-count, folder, tag) for folder, tags in counts.items() for tag, count in tags.items())
    kept: dict[str, dict[str, int]] = {folder: {} for folder in counts}
    left = FREQUENCY_BYTES
    for negative, folder, tag in ranked:
        left -= len(json.dumps(json.dumps(tag))) + 12
        if left < 0:
            break
        kept[folder][tag] = -negative
    return kept


def _dropped(occasion: tuple[str, int, int], seed: int, config: DatasetConfig) -> bool:
    every = config.caption_dropout_every
    if every and occasion[2] % every == 0:
        return True
    return config.caption_dropout > 0 and uniform(seed, "caption-dropout", *occasion) < config.caption_dropout


def _tags(text: str, occasion: tuple[str, int, int], seed: int, config: DatasetConfig) -> str:
    tags = [tag for tag in (part.strip() for part in text.split(config.separator or ",")) if tag]
    fixed, free = tags[: config.keep_tags], list(enumerate(tags[config.keep_tags :]))
    if config.shuffle:
        free = shuffled(free, seed, "caption-shuffle", *occasion)
    if config.tag_dropout > 0:
        free = [
            (place, tag) for place, tag in free if uniform(seed, "tag-dropout", *occasion, place) >= config.tag_dropout
        ]
    return ", ".join([*fixed, *(tag for _, tag in free)])
