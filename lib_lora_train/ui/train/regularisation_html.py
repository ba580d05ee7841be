"""The regularisation page as HTML: how many class photos there are, how many are needed, and each one's verdict."""

from __future__ import annotations

from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.photos import counted
from lib_lora_train.train.dataset.report import Report
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.train.photos_html import cards, counts
from lib_lora_train.ui.words import shown

PICTURES = 24
SIDE_PX = 112


def page(report: Report, config: TrainConfig) -> Html:
    """What a person should know of the class photos of a checked run."""
    told = [element("p", sentence(report), class_="lora-loop-understood")]
    if report.regularisation:
        told.append(element("p", counts([cell.verdict for cell in report.regularisation]), class_="lora-loop-counts"))
    return element(
        "div",
        *told,
        cards(report.regularisation, config.dataset, PICTURES, SIDE_PX),
        _how(config),
        class_="lora-loop-sheet",
    )


def sentence(report: Report) -> str:
    """How many there are and how many an epoch takes: as many as photos are seen in it."""
    needed = report.length.repeats
    seen, there = sum(needed), len(report.regularisation)
    photos = counted(len(report.photos), "photo", "photos")
    sums = f"{photos}, seen {seen:,} times an epoch with their repeats"
    if not there:
        return f"There are no class photos. {sums}: so many class photos would each be seen once an epoch."
    have = counted(there, "class photo", "class photos")
    if not seen:
        return f"{have}; there is no photo to train on yet."
    if there >= seen:
        return f"{have} for {sums}: enough, and they take turns from epoch to epoch."
    return (
        f"{have} for {sums}: each is seen {seen / there:.3g} times an epoch; {seen - there:,} more would be one each."
    )


def _how(config: TrainConfig) -> Html:
    """With which prompt to make them, and the button that puts it there."""
    word = config.class_word.strip()
    if not word:
        return element("p", shown("Give a class (what it is): it is the prompt to make class photos with."))
    prompt = f"photo of a {word}"
    side = config.dataset.resolution
    return element(
        "div",
        element("p", shown("Class photos are best made by the base itself, each with a seed of its own. In txt2img:")),
        element(
            "pre", f"{prompt}\n{side}×{side}, seed -1, {config.base.path.replace(chr(92), '/').rpartition('/')[2]}"
        ),
        element(
            "button",
            shown("Put this prompt into txt2img"),
            type="button",
            class_="lora-loop-button",
            data_use=prompt,
            title=prompt,
        ),
        element("p", shown("Then give the folder that they were saved in."), class_="lora-loop-hint"),
        class_="lora-loop-command",
    )
