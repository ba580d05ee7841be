"""The contact sheet as HTML: each photo as it will be trained, its verdict and its caption."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image

from lib_lora_train.train.dataset import sheet
from lib_lora_train.train.dataset.photos import Problem
from lib_lora_train.train.dataset.report import PhotoReport, Report
from lib_lora_train.train.sections import DatasetConfig
from lib_lora_train.ui.html import Html, element, joined
from lib_lora_train.ui.words import shown

MOST_PICTURES = 60
MOST_CARDS = 240
MOST_PROBLEMS = 30
MOST_TEXT = 300
SIDE_PX = 192
VERDICTS = {"ok": shown("good"), "note": shown("note"), "warning": shown("look"), "error": shown("not usable")}


def contact_sheet(report: Report, config: DatasetConfig) -> Html:
    """All of it: what was understood, what is wrong, the photos."""
    cells = [*report.photos, *report.held_out, *report.regularisation]
    verdicts = [cell.verdict for cell in cells] + ["error"] * len(report.left_out)
    broken = [_broken(problem) for problem in report.left_out[:MOST_PROBLEMS]]
    return element(
        "div",
        element("p", *(report.understood[:1] or ("",)), class_="lora-loop-understood"),
        element("p", counts(verdicts), class_="lora-loop-counts"),
        problems(report),
        cards(cells, config, MOST_PICTURES, SIDE_PX, broken),
        class_="lora-loop-sheet",
    )


def cards(
    cells: Sequence[PhotoReport], config: DatasetConfig, pictures: int, side: int, before: Sequence[Html] = ()
) -> Html:
    """A card for each photo, the first `pictures` of them with a picture of at most `side` pixels."""
    drawn = [_card(cell, config, side if place < pictures else 0) for place, cell in enumerate(cells[:MOST_CARDS])]
    rest = len(cells) - len(drawn)
    more = element("p", f"{rest:,}", " ", shown("more photos"), class_="lora-loop-hint") if rest else ""
    return joined([element("ul", *before, *drawn, class_="lora-loop-cards"), more])


def counts(verdicts: Sequence[str]) -> Html:
    """ "17 good · 2 look · 1 not usable" """
    return joined(
        element(
            "span",
            element("b", str(verdicts.count(verdict))),
            " ",
            element("span", words),
            class_=f"lora-loop-count lora-loop-is-{verdict}",
        )
        for verdict, words in VERDICTS.items()
        if verdict in verdicts
    )


def problems(report: Report) -> Html:
    """What a person should know, worst first."""
    if not report.problems:
        return Html("")
    rows = [
        element("li", problem.message[: 2 * MOST_TEXT], class_=f"lora-loop-is-{problem.level}")
        for problem in report.problems[:MOST_PROBLEMS]
    ]
    return element("ul", *rows, class_="lora-loop-problems")


def _card(cell: PhotoReport, config: DatasetConfig, side: int) -> Html:
    photo = cell.photo
    picture: object = ""
    if side:
        picture = element(
            "img", src=data_uri(sheet.picture(cell, config), side), alt=photo.name[:MOST_TEXT], loading="lazy"
        )
    unseen = shown("regularisation") if photo.is_regularisation else shown("kept out of training")
    times = f"×{cell.repeats}" if cell.repeats else unseen
    size = f"{photo.width}×{photo.height} → {cell.bucket[0]}×{cell.bucket[1]}"
    return element(
        "li",
        picture,
        _badge(cell.verdict),
        element("b", photo.name[:MOST_TEXT], title=photo.name[:MOST_TEXT]),
        element("small", size, " · ", times),
        element("small", cell.marks, class_="lora-loop-marks") if cell.marks else "",
        element("p", cell.caption[:MOST_TEXT] or shown("(no caption)"), title=cell.caption[:MOST_TEXT]),
        class_=f"lora-loop-card lora-loop-is-{cell.verdict}",
    )


def _broken(problem: Problem) -> Html:
    name = problem.names[0][:MOST_TEXT] if problem.names else ""
    why = problem.message.partition(": ")[2][:MOST_TEXT]
    return element(
        "li",
        _badge("error"),
        element("b", name, title=name),
        element("p", why),
        class_="lora-loop-card lora-loop-is-error",
    )


def _badge(verdict: str) -> Html:
    return element("span", VERDICTS[verdict], class_="lora-loop-badge")


def data_uri(image: Image.Image, side: int, most: int = 26_000) -> str:
    """A picture as a JPEG of at most `side` pixels that stands in the page itself, so that no file of ours is served.

    What has more than `most` characters is made coarser, then smaller.
    """
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    for quality in (80, 65, 50, 35):
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=quality)
        if stream.tell() * 4 // 3 <= most:
            break
    else:
        return data_uri(small, side // 2, most) if side > 64 else ""
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
