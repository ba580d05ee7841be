"""Curves as inline SVG: a smooth line, each step's own values and their range behind it, the ends of epochs as marks.

The numbers are in `data-curves` too, for the page's script, which reads them out and zooms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lib_lora_train.jobs.curves import Point
from lib_lora_train.ui.html import Html, element
from lib_lora_train.ui.words import shown

WIDTH, HEIGHT = 440, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 22
MOST_MARKS = 60
MOST_LABELS = 12
HINT = shown("Drag over a range, or use + and -, to zoom; arrows move, 0 or a double click shows all.")
Lines = Mapping[str, Sequence[Point]]


def chart(
    name: str, lines: Lines, ends: Sequence[tuple[int, int]], raw: Lines | None = None, total: tuple[int, int] = (0, 0)
) -> Html:
    """One drawing of the curves `lines` (by name) over the steps; `ends` are (epoch, its last step).

    All lines have the same steps. `raw` are each step's own values where `lines` are smooth. `total` is the first and last step that there is, when
    only some are shown.
    """
    drawn = {label: points for label, points in lines.items() if points}
    behind = {label: points for label, points in (raw or {}).items() if points}
    if not drawn:
        return Html("")
    everything = [*drawn.values(), *behind.values()]
    steps = [point.step for points in everything for point in points]
    frame = _frame(everything, min(steps), max(steps), bool(behind))
    parts = [*_grid(frame), *_marks(frame, ends)]
    for number, points in enumerate(behind.values()):
        parts += [_band(frame, points, number % 2), _curve(frame, points, number % 2, "lora-loop-raw")]
    for number, points in enumerate(drawn.values()):
        parts += [] if behind else [_band(frame, points, number % 2)]
        parts += [_curve(frame, points, number % 2, "lora-loop-curve"), _dot(frame, points[-1], number % 2)]
    newest = ", ".join(f"{label} {points[-1].mean:.4g}" for label, points in drawn.items())
    picture = element(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_label=f"{name}: {newest} at step {max(steps)}",
        aria_keyshortcuts="+ - 0 ArrowLeft ArrowRight",
        xmlns="http://www.w3.org/2000/svg",
    )
    keys = [_key(label, points[-1], f"lora-loop-line{number % 2}") for number, (label, points) in enumerate(drawn.items())]  # fmt: skip
    keys += [_key(label, points[-1], "lora-loop-key-raw") for label, points in behind.items()]
    whole = total if total[1] else (frame.first, frame.last)
    is_part = _is_part(frame, next(iter(drawn.values())), whole)
    everything_button = element(
        "button", shown("Show all"), type="button", class_="lora-loop-button", data_act="zoom", title=HINT
    )
    return element(
        "figure",
        element("figcaption", element("strong", name), *keys, everything_button if is_part else ""),
        picture,
        element("output", class_="lora-loop-readout", aria_live="polite"),
        element("small", HINT, class_="lora-loop-hint"),
        class_="lora-loop-chart",
        data_chart=name,
        data_curves=_numbers(frame, {**drawn, **behind}, ends, whole),
        data_zoomed=is_part,
    )


def _is_part(frame: _Frame, points: Sequence[Point], whole: tuple[int, int]) -> bool:
    """Whether there are more steps than are shown; a point stands at the end of its stretch, so the first one is late."""
    stretch = points[1].step - points[0].step if len(points) > 1 else 0
    return frame.first > whole[0] + stretch or frame.last < whole[1]


def _key(label: str, newest: Point, kind: str) -> Html:
    return element("span", label, element("b", f"{newest.mean:.4g}"), class_=f"lora-loop-key {kind}")


def _numbers(frame: _Frame, lines: Lines, ends: Sequence[tuple[int, int]], whole: tuple[int, int]) -> str:
    """What the script needs: the places in the picture, the range, the steps and each line's value at them."""
    told = {
        "frame": [LEFT, WIDTH - RIGHT, WIDTH, TOP, HEIGHT - BOTTOM],
        "shown": [frame.first, frame.last],
        "whole": whole,
        "ends": ends,
        "steps": [point.step for point in next(iter(lines.values()))],
        "lines": [[label, *(float(f"{point.mean:.4g}") for point in points)] for label, points in lines.items()],
    }
    return json.dumps(told, separators=(",", ":"))


class _Frame:
    """From steps and values to places in the picture."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self.first, self.last, self.low, self.high = first, last, low, high

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _frame(lines: Sequence[Sequence[Point]], first: int, last: int, cut: bool) -> _Frame:
    """The frame that holds all lines, and their ranges too unless they are to be `cut`: single peaks make a curve flat."""
    low = min(point.mean if cut else point.low for points in lines for point in points)
    high = max(point.mean if cut else point.high for points in lines for point in points)
    return _Frame(first, max(last, first + 1), low, high if high > low else low + (abs(low) or 1.0))


def _grid(frame: _Frame) -> list[Html]:
    found: list[Html] = []
    for share in (0.0, 0.5, 1.0):
        value = frame.low + share * (frame.high - frame.low)
        y = frame.y(value)
        found.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="lora-loop-rule"))
        found.append(element("text", f"{value:.3g}", x=LEFT - 6, y=y + 4, text_anchor="end"))
    found.append(element("text", f"{frame.first:,}", x=LEFT, y=HEIGHT - 6))
    found.append(element("text", f"{frame.last:,}", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end"))
    return found


def _marks(frame: _Frame, ends: Sequence[tuple[int, int]]) -> list[Html]:
    """Epochs' ends, as many as can be told apart."""
    shown = [one for one in ends if frame.first <= one[1] <= frame.last]
    shown = shown[:: -(-len(shown) // MOST_MARKS) or 1]
    every = -(-len(shown) // MOST_LABELS) or 1
    if not shown:
        return []
    lines = "".join(f"M{frame.x(step)},{TOP}V{HEIGHT - BOTTOM}" for _, step in shown)
    found = [element("path", d=lines, class_="lora-loop-epoch")]
    for place, (epoch, step) in enumerate(shown):
        x = frame.x(step)
        if place % every == 0 and LEFT + 30 < x < WIDTH - RIGHT - 30:
            found.append(element("text", f"E{epoch}", x=x, y=HEIGHT - 6, text_anchor="middle"))
    return found


def _band(frame: _Frame, points: Sequence[Point], number: int) -> Html:
    over = " ".join(f"{frame.x(point.step):.0f},{frame.y(point.high):.0f}" for point in points)
    under = " ".join(f"{frame.x(point.step):.0f},{frame.y(point.low):.0f}" for point in reversed(points))
    return element("polygon", points=f"{over} {under}", class_=f"lora-loop-band lora-loop-line{number}")


def _curve(frame: _Frame, points: Sequence[Point], number: int, kind: str) -> Html:
    mean = " ".join(f"{frame.x(point.step)},{frame.y(point.mean)}" for point in points)
    return element("polyline", points=mean, class_=f"{kind} lora-loop-line{number}")


def _dot(frame: _Frame, last: Point, number: int) -> Html:
    return element(
        "circle", cx=frame.x(last.step), cy=frame.y(last.mean), r=3, class_=f"lora-loop-dot lora-loop-line{number}"
    )
