"""What subjects share: eyes, hats, patterns, feet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image, ImageChops, ImageDraw

from lib_lora_train.demo.world.pen import INK, WHITE, Colour, Pen, Point, curve, darker, lighter, oval
from lib_lora_train.demo.world.subjects import COLOURS, Subject


def eye(pen: Pen, x: float, y: float, size: float, look: float = 0.0) -> None:
    """A white eye with a pupil that looks to one side (`look` -1 … 1)."""
    pen.ellipse(x, y, size, size * 1.08, WHITE)
    dark = replace(pen, line=0.0)
    dark.ellipse(x + look * size * 0.35, y + size * 0.05, size * 0.56, size * 0.62, INK)
    dark.ellipse(x + look * size * 0.35 - size * 0.18, y - size * 0.2, size * 0.17, size * 0.17, WHITE)


def dot_eye(pen: Pen, x: float, y: float, size: float) -> None:
    """A dark bead."""
    dark = replace(pen, line=0.0)
    dark.ellipse(x, y, size, size * 1.1, INK)
    dark.ellipse(x - size * 0.3, y - size * 0.35, size * 0.32, size * 0.32, WHITE)


def smile(pen: Pen, x: float, y: float, width: float, depth: float = 0.5) -> None:
    """A mouth around (x, y)."""
    pen.stroke(curve((x - width, y), (x, y + width * 2 * depth), (x + width, y)), 0.07, INK)


def feet(pen: Pen, y: float, apart: float, colour: Colour, size: float = 0.26) -> None:
    """Two feet on the ground."""
    for side in (-1, 1):
        pen.ellipse(side * apart, y, size, size * 0.6, colour)


def hat(pen: Pen, subject: Subject, x: float, y: float, width: float) -> None:
    """What is worn at (x, y), the middle of the head's upper edge; `width` is half of the head's."""
    colour = COLOURS[subject.hat_colour]
    draw = _HATS.get(subject.hat)
    if draw:
        draw(pen.at(x, y, width), colour)


def _top_hat(pen: Pen, colour: Colour) -> None:
    pen.ellipse(0, 0, 0.95, 0.2, darker(colour, 0.35))
    pen.polygon([(-0.55, 0.0), (-0.62, -1.05), (0.62, -1.05), (0.55, 0.0)], colour)
    replace(pen, line=0.0).polygon([(-0.56, -0.1), (-0.58, -0.36), (0.58, -0.36), (0.56, -0.1)], lighter(colour, 0.6))


def _cap(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.75, 0.08), *curve((-0.75, 0.0), (0.0, -1.25), (0.75, 0.0)), (0.75, 0.08)], colour)
    pen.polygon(oval(0.85, 0.06, 0.6, 0.15), darker(colour))
    replace(pen, line=0.0).ellipse(0, -0.62, 0.12, 0.1, lighter(colour))


def _crown(pen: Pen, colour: Colour) -> None:
    gold = (248, 200, 60)
    pen.polygon([(-0.7, 0.1), (-0.8, -0.75), (-0.38, -0.3), (0, -0.9), (0.38, -0.3), (0.8, -0.75), (0.7, 0.1)], gold)
    for x in (-0.42, 0.0, 0.42):
        replace(pen, line=0.0).ellipse(x, -0.06, 0.11, 0.12, colour)


def _bow(pen: Pen, colour: Colour) -> None:
    for side in (-1, 1):
        pen.polygon([(0, -0.12), (side * 0.8, -0.55), (side * 0.8, 0.32)], colour)
    pen.ellipse(0, -0.12, 0.22, 0.22, darker(colour))


def _goggles(pen: Pen, colour: Colour) -> None:
    pen.stroke([(-0.95, 0.2), (0.95, 0.2)], 0.22, darker(colour, 0.5))
    for side in (-1, 1):
        pen.ellipse(side * 0.42, 0.16, 0.42, 0.4, darker(colour))
        pen.ellipse(side * 0.42, 0.16, 0.28, 0.27, (178, 232, 240))


def _leaf(pen: Pen, colour: Colour) -> None:
    pen.stroke(curve((0, 0.1), (0.02, -0.4), (0.12, -0.55)), 0.12, (70, 110, 50))
    pen.polygon(
        [*curve((0.1, -0.5), (0.35, -1.35), (1.15, -1.05)), *curve((1.15, -1.05), (0.9, -0.4), (0.1, -0.5))], colour
    )


def _propeller(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.6, 0.08), *curve((-0.6, 0.0), (0.0, -0.95), (0.6, 0.0)), (0.6, 0.08)], colour)
    pen.stroke([(0, -0.45), (0, -0.8)], 0.12, darker(colour))
    for side in (-1, 1):
        pen.ellipse(side * 0.5, -0.82, 0.5, 0.14, (250, 214, 80))


_HATS: dict[str, Callable[[Pen, Colour], None]] = {
    "a top hat": _top_hat,
    "a cap": _cap,
    "a crown": _crown,
    "a bow": _bow,
    "goggles": _goggles,
    "a leaf": _leaf,
    "a propeller": _propeller,
}


def coat(pen: Pen, shape: Sequence[Point], subject: Subject) -> None:
    """The body's shape in the subject's colour, with its pattern inside."""
    colour = COLOURS[subject.colour]
    pen.polygon(shape, colour)
    if subject.pattern == "plain":
        return
    layer = Image.new("RGB", pen.image.size, colour)
    _PATTERNS[subject.pattern](replace(pen, image=layer, line=0.0), COLOURS[subject.second])
    mask = Image.new("L", pen.image.size, 0)
    ImageDraw.Draw(mask).polygon(pen.place(shape), fill=255)
    alpha = pen.image.getchannel("A") if pen.image.mode == "RGBA" else mask
    pen.image.paste(layer, (0, 0), ImageChops.multiply(mask, alpha))
    if pen.line:
        placed = pen.place(shape)
        width = max(1, round(pen.line * pen.scale))
        ImageDraw.Draw(pen.image).line([*placed, placed[0], placed[1]], fill=pen.ink, width=width, joint="curve")


def _stripes(pen: Pen, colour: Colour) -> None:
    for row in range(-3, 4):
        pen.box(-3, row * 0.5 - 0.11, 3, row * 0.5 + 0.11, colour)


def _spots(pen: Pen, colour: Colour) -> None:
    for row in range(-4, 5):
        for column in range(-4, 5):
            x = column * 0.55 + (0.27 if row % 2 else 0.0)
            pen.ellipse(x, row * 0.42, 0.15, 0.15, colour)


def _zigzag(pen: Pen, colour: Colour) -> None:
    for row in range(-3, 4):
        points = [(index * 0.3 - 2.4, row * 0.62 + (0.17 if index % 2 else -0.17)) for index in range(17)]
        pen.stroke(points, 0.17, colour)


def _hearts(pen: Pen, colour: Colour) -> None:
    for row in range(-3, 4):
        for column in range(-3, 4):
            heart = pen.at(column * 0.68 + (0.34 if row % 2 else 0.0), row * 0.55, 0.2)
            heart.ellipse(-0.5, -0.3, 0.6, 0.6, colour)
            heart.ellipse(0.5, -0.3, 0.6, 0.6, colour)
            heart.polygon([(-1.05, 0.0), (1.05, 0.0), (0, 1.2)], colour)


def _checks(pen: Pen, colour: Colour) -> None:
    for row in range(-6, 6):
        for column in range(-6, 6):
            if (row + column) % 2:
                pen.box(column * 0.36, row * 0.36, column * 0.36 + 0.36, row * 0.36 + 0.36, colour)


_PATTERNS: dict[str, Callable[[Pen, Colour], None]] = {
    "striped": _stripes,
    "spotted": _spots,
    "zigzag": _zigzag,
    "hearts": _hearts,
    "checkered": _checks,
}


def wheel(pen: Pen, x: float, y: float, size: float) -> None:
    """A tyre with a hub."""
    pen.ellipse(x, y, size, size, (52, 48, 56))
    replace(pen, line=0.0).ellipse(x, y, size * 0.5, size * 0.5, (206, 208, 212))
