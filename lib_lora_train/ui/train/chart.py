"""Curves as inline SVG: the mean as a line, the range that it was drawn from as a band, the ends of epochs as marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib_lora_train.jobs.curves import Point
from lib_lora_train.ui.html import Html, element

WIDTH, HEIGHT = 440, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 22
MOST_MARKS = 60
MOST_LABELS = 12


def chart(name: str, lines: Mapping[str, Sequence[Point]], ends: Sequence[tuple[int, int]]) -> Html:
    """One drawing of the curves `lines` (by name) over the steps; `ends` are (epoch, its last step)."""
    drawn = {label: points for label, points in lines.items() if points}
    if not drawn:
        return Html("")
    steps = [point.step for points in drawn.values() for point in points]
    low = min(point.low for points in drawn.values() for point in points)
    high = max(point.high for points in drawn.values() for point in points)
    frame = _Frame(min(steps), max(max(steps), min(steps) + 1), low, high if high > low else low + (abs(low) or 1.0))
    parts = [*_grid(frame), *_marks(frame, ends)]
    for number, points in enumerate(drawn.values()):
        parts += _line(frame, points, number % 2)
    newest = ", ".join(f"{label} {points[-1].mean:.4g}" for label, points in drawn.items())
    picture = element(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{name}: {newest} at step {max(steps)}",
        xmlns="http://www.w3.org/2000/svg",
    )
    keys = [
        element(
            "span", label, element("b", f"{points[-1].mean:.4g}"), class_=f"lora-loop-key lora-loop-line{number % 2}"
        )
        for number, (label, points) in enumerate(drawn.items())
    ]
    return element("figure", element("figcaption", element("strong", name), *keys), picture, class_="lora-loop-chart")


class _Frame:
    """From steps and values to places in the picture."""

    def __init__(self, first: int, last: int, low: float, high: float) -> None:
        self.first, self.last, self.low, self.high = first, last, low, high

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


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
    found: list[Html] = []
    for place, (epoch, step) in enumerate(shown):
        x = frame.x(step)
        found.append(element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="lora-loop-epoch"))
        if place % every == 0 and LEFT + 30 < x < WIDTH - RIGHT - 30:
            found.append(element("text", f"E{epoch}", x=x, y=HEIGHT - 6, text_anchor="middle"))
    return found


def _line(frame: _Frame, points: Sequence[Point], number: int) -> list[Html]:
    over = " ".join(f"{frame.x(point.step)},{frame.y(point.high)}" for point in points)
    under = " ".join(f"{frame.x(point.step)},{frame.y(point.low)}" for point in reversed(points))
    mean = " ".join(f"{frame.x(point.step)},{frame.y(point.mean)}" for point in points)
    last = points[-1]
    return [
        element("polygon", points=f"{over} {under}", class_=f"lora-loop-band lora-loop-line{number}"),
        element("polyline", points=mean, class_=f"lora-loop-curve lora-loop-line{number}"),
        element(
            "circle", cx=frame.x(last.step), cy=frame.y(last.mean), r=3, class_=f"lora-loop-dot lora-loop-line{number}"
        ),
    ]
