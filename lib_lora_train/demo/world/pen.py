"""Drawing in a subject's own coordinates: every shape is a polygon that is turned, scaled and moved."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
INK: Colour = (38, 30, 40)
WHITE: Colour = (252, 250, 246)


@dataclass(frozen=True)
class Pen:
    """Draws on `image`. One unit is `scale` pixels; (x, y) is the origin, y points down; `turn` is in radians.

    `line` is the outline's width in units, 0 for none.
    """

    image: Image.Image
    x: float
    y: float
    scale: float
    turn: float = 0.0
    mirror: bool = False
    line: float = 0.0
    ink: Colour = INK

    def at(self, x: float, y: float, scale: float = 1.0, turn: float = 0.0) -> Pen:
        """A pen for a part whose own origin is at (x, y)."""
        [(left, top)] = self.place([(x, y)])
        turned = self.turn + (-turn if self.mirror else turn)
        return replace(self, x=left, y=top, scale=self.scale * scale, turn=turned, line=self.line / scale)

    def place(self, points: Sequence[Point]) -> list[Point]:
        """Pixels of `points`."""
        sine, cosine = math.sin(self.turn), math.cos(self.turn)
        side = -1 if self.mirror else 1
        return [
            (
                self.x + self.scale * (side * x * cosine - y * sine),
                self.y + self.scale * (side * x * sine + y * cosine),
            )
            for x, y in points
        ]

    def polygon(self, points: Sequence[Point], fill: Colour, outline: bool = True) -> None:
        """A filled shape, with the outline if this pen has one."""
        placed = self.place(points)
        draw = ImageDraw.Draw(self.image)
        draw.polygon(placed, fill=fill)
        if outline and self.line:
            draw.line([*placed, placed[0], placed[1]], fill=self.ink, width=self._width(self.line), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: bool = True) -> None:
        """An ellipse around (x, y)."""
        self.polygon(oval(x, y, rx, ry), fill, outline)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line with round ends, `width` in units."""
        placed = self.place(points)
        pixels = self._width(width)
        draw = ImageDraw.Draw(self.image)
        if self.line and colour != self.ink and width > 2 * self.line:
            self._round(draw, placed, pixels + 2 * self._width(self.line), self.ink)
        self._round(draw, placed, pixels, colour)

    def _round(self, draw: ImageDraw.ImageDraw, placed: list[Point], pixels: int, colour: Colour) -> None:
        draw.line(placed, fill=colour, width=pixels, joint="curve")
        for x, y in (placed[0], placed[-1]):
            draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=colour)

    def _width(self, units: float) -> int:
        return max(1, round(units * self.scale))


def oval(x: float, y: float, rx: float, ry: float, power: float = 2.0, points: int = 36) -> list[Point]:
    """The superellipse |x/rx|^power + |y/ry|^power = 1 around (x, y): 2 is round, larger ones are more square."""
    return [(x + rx * across, y + ry * down) for across, down in _round(power, points)]


@functools.cache
def _round(power: float, points: int) -> tuple[Point, ...]:
    angles = [2 * math.pi * index / points for index in range(points)]
    return tuple((_root(math.cos(angle), power), _root(math.sin(angle), power)) for angle in angles)


def _root(value: float, power: float) -> float:
    return math.copysign(abs(value) ** (2 / power), value)


def curve(*points: Point, steps: int = 10) -> list[Point]:
    """A quadratic Bézier curve through the first and the third of three points."""
    (ax, ay), (bx, by), (cx, cy) = points
    return [
        (
            (1 - t) ** 2 * ax + 2 * (1 - t) * t * bx + t * t * cx,
            (1 - t) ** 2 * ay + 2 * (1 - t) * t * by + t * t * cy,
        )
        for t in (index / steps for index in range(steps + 1))
    ]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` (0 … 1) of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.25) -> Colour:
    """Towards black."""
    return mix(colour, (20, 16, 26), share)


def lighter(colour: Colour, share: float = 0.4) -> Colour:
    """Towards white."""
    return mix(colour, (255, 252, 246), share)
