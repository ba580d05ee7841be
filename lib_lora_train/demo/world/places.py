"""Where a picture is taken. Each place fills the whole picture; the ground's upper edge is where subjects stand."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw

from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.pen import Colour, Pen, Point, curve, darker, lighter, mix, oval


def place(image: Image.Image, name: str, dice: Dice, line: float) -> float:
    """Fill `image` with the place `name`; returns the horizon as a share of the height (0 top … 1 bottom).

    Units inside are shares of the picture's height; `line` is the width of outlines in them, 0 for none.
    """
    return _PLACES[name](image, dice, line)


def _pen(image: Image.Image, line: float) -> Pen:
    return Pen(image, image.width / 2, 0, image.height, line=line)


def _half(image: Image.Image) -> float:
    return image.width / image.height / 2


def _gradient(image: Image.Image, upper: Colour, lower: Colour, top: float, bottom: float) -> None:
    draw = ImageDraw.Draw(image)
    first, last = round(top * image.height), round(bottom * image.height)
    for row in range(first, last):
        draw.line((0, row, image.width, row), fill=mix(upper, lower, (row - first) / max(1, last - first)))


def _tint(dice: Dice, colour: Colour, amount: float = 0.1) -> Colour:
    other = (dice.between(0, 255), dice.between(0, 255), dice.between(0, 255))
    red, green, blue = (round(a + (b - a) * amount) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _ground(image: Image.Image, horizon: float, colour: Colour) -> None:
    _gradient(image, colour, darker(colour, 0.16), horizon, 1.0)


def _sun(pen: Pen, dice: Dice, half: float, colour: Colour = (255, 236, 140)) -> None:
    pen.ellipse(dice.between(-half, half), dice.between(0.08, 0.22), 0.075, 0.075, colour, outline=False)


def _clouds(pen: Pen, dice: Dice, half: float, colour: Colour = (250, 252, 255)) -> None:
    for _ in range(2):
        x, y = dice.between(-half, half), dice.between(0.06, 0.26)
        for shift, size in ((-0.07, 0.035), (0.0, 0.055), (0.07, 0.04)):
            pen.ellipse(x + shift, y, size * 1.5, size * 0.8, colour, outline=False)


def _beach(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    sea = dice.between(0.42, 0.5)
    horizon = sea + dice.between(0.12, 0.17)
    _gradient(image, _tint(dice, (112, 190, 240)), (220, 240, 250), 0, sea)
    _sun(pen, dice, half)
    _gradient(image, (30, 132, 180), (84, 196, 206), sea, horizon)
    _ground(image, horizon, _tint(dice, (244, 216, 150), 0.06))
    pen.stroke([(-half, horizon), (half, horizon)], 0.018, (250, 252, 250))
    x = dice.pick((-1, 1)) * half * dice.between(0.72, 0.92)
    pen.stroke(curve((x, horizon + 0.1), (x * 1.04, 0.45), (x * 0.9, 0.24)), 0.035, (134, 96, 58))
    for dx, dy in ((-0.17, 0.06), (0.17, 0.06), (-0.12, -0.08), (0.12, -0.08)):
        leaf = curve((x * 0.9, 0.24), (x * 0.9 + dx * 0.7, 0.24 + dy - 0.06), (x * 0.9 + dx, 0.24 + dy))
        pen.stroke(leaf, 0.03, (56, 142, 70))
    return horizon


def _forest(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.56, 0.64)
    _gradient(image, _tint(dice, (150, 196, 150)), (206, 226, 180), 0, horizon)
    for depth, count in ((0.3, 8), (0.0, 6)):
        for index in range(count):
            x = -half + 2 * half * (index + dice.between(0.1, 0.9)) / count
            top = dice.between(0.0, 0.2) + depth * 0.3
            green = mix((36, 104, 56), (140, 186, 130), depth * 2)
            pen.stroke([(x, horizon), (x, top + 0.2)], 0.03, mix((92, 66, 46), (150, 150, 120), depth * 2))
            for tier in range(3):
                y, width = top + tier * 0.12, 0.07 + tier * 0.03
                pen.polygon([(x, y), (x - width, y + 0.17), (x + width, y + 0.17)], green)
    _ground(image, horizon, _tint(dice, (98, 140, 70), 0.06))
    return horizon


def _street(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.58, 0.66)
    _gradient(image, _tint(dice, (176, 196, 222)), (236, 228, 222), 0, horizon)
    x = -half - dice.between(0, 0.1)
    while x < half:
        width, top = dice.between(0.16, 0.28), dice.between(0.04, 0.3)
        wall = dice.pick(((196, 120, 96), (206, 180, 140), (150, 160, 176), (178, 150, 168), (222, 206, 180)))
        pen.box(x, top, x + width, horizon, wall)
        for row in range(3):
            for column in range(2):
                left, up = x + width * (0.16 + 0.44 * column), top + 0.05 + row * 0.13
                if up + 0.08 < horizon - 0.02:
                    pen.box(left, up, left + width * 0.24, up + 0.075, (252, 236, 176))
        x += width
    _ground(image, horizon, (118, 118, 126))
    pen.box(-half, horizon, half, horizon + 0.035, (190, 188, 190))
    for index in range(-3, 4):
        pen.box(index * 0.3 - 0.06, 0.9, index * 0.3 + 0.06, 0.925, (240, 236, 220))
    return horizon


def _night(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.6, 0.68)
    _gradient(image, (14, 18, 52), (58, 54, 112), 0, horizon)
    for _ in range(26):
        size = dice.between(0.004, 0.008)
        pen.ellipse(
            dice.between(-half, half), dice.between(0, horizon - 0.1), size, size, (250, 246, 214), outline=False
        )
    x, y = dice.between(-half * 0.8, half * 0.8), dice.between(0.1, 0.2)
    pen.ellipse(x, y, 0.085, 0.085, (248, 244, 214), outline=False)
    pen.ellipse(x + 0.035, y - 0.02, 0.07, 0.07, (24, 26, 66), outline=False)
    for index in range(3):
        pen.ellipse(
            -half + index * half + dice.between(-0.1, 0.1), horizon + 0.1, 0.4, 0.22, (34, 38, 74), outline=False
        )
    _ground(image, horizon, (40, 46, 78))
    return horizon


def _snow(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.58, 0.66)
    _gradient(image, _tint(dice, (168, 190, 214)), (224, 232, 242), 0, horizon)
    for index in range(3):
        x, top = -half + index * half + dice.between(-0.15, 0.15), dice.between(0.18, 0.34)
        pen.polygon([(x, top), (x - 0.42, horizon), (x + 0.42, horizon)], (140, 158, 186))
        pen.polygon([(x, top), (x - 0.13, top + 0.12), (x, top + 0.09), (x + 0.13, top + 0.12)], (250, 252, 255))
    _ground(image, horizon, (246, 248, 252))
    for _ in range(22):
        size = dice.between(0.007, 0.013)
        pen.ellipse(dice.between(-half, half), dice.between(0, 1), size, size, (255, 255, 255), outline=False)
    return horizon


def _desert(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.56, 0.64)
    _gradient(image, _tint(dice, (244, 176, 110)), (254, 228, 170), 0, horizon)
    _sun(pen, dice, half, (255, 250, 214))
    for index in range(3):
        x = -half + index * half + dice.between(-0.2, 0.2)
        pen.polygon(oval(x, horizon + 0.06, 0.5, 0.16), (214, 146, 88), outline=False)
    _ground(image, horizon, (226, 164, 98))
    for side in (-1, 1):
        x = side * half * dice.between(0.66, 0.9)
        pen.stroke([(x, horizon + 0.07), (x, horizon - 0.24)], 0.055, (70, 136, 78))
        pen.stroke([(x, horizon - 0.07), (x + 0.09, horizon - 0.08), (x + 0.09, horizon - 0.17)], 0.035, (70, 136, 78))
    return horizon


def _room(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.62, 0.7)
    wall = dice.pick(((236, 214, 184), (200, 216, 206), (214, 204, 226), (230, 196, 186)))
    _gradient(image, lighter(wall, 0.2), wall, 0, horizon)
    x = dice.pick((-1, 1)) * half * 0.55
    pen.box(x - 0.15, 0.1, x + 0.15, 0.4, (250, 250, 246))
    pen.box(x - 0.125, 0.125, x + 0.125, 0.375, (164, 212, 240))
    pen.box(x - 0.01, 0.12, x + 0.01, 0.38, (250, 250, 246))
    pen.box(-x - 0.1, 0.16, -x + 0.1, 0.34, (146, 104, 66))
    pen.box(-x - 0.075, 0.185, -x + 0.075, 0.315, dice.pick(((220, 120, 90), (110, 150, 190), (240, 210, 120))))
    _ground(image, horizon, (170, 120, 78))
    for row in range(1, 4):
        pen.stroke([(-half, horizon + row * 0.1), (half, horizon + row * 0.1)], 0.007, (140, 96, 62))
    pen.box(-half, horizon - 0.02, half, horizon + 0.01, (240, 234, 224))
    return horizon


def _underwater(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.68, 0.76)
    _gradient(image, (70, 190, 214), (18, 82, 142), 0, horizon)
    _ground(image, horizon, (164, 168, 132))
    for _ in range(4):
        x = dice.pick((-1, 1)) * half * dice.between(0.5, 0.98)
        height = dice.between(0.16, 0.34)
        wave = [(x + 0.025 * (-1) ** step, horizon + 0.06 - height * step / 5) for step in range(6)]
        pen.stroke(wave, 0.028, dice.pick(((44, 140, 90), (190, 80, 110), (90, 160, 70))))
    for _ in range(12):
        size = dice.between(0.008, 0.024)
        pen.ellipse(dice.between(-half, half), dice.between(0.05, 0.7), size, size, (176, 232, 244), outline=False)
    return horizon


def _field(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    horizon = dice.between(0.54, 0.62)
    _gradient(image, _tint(dice, (96, 172, 236)), (208, 234, 250), 0, horizon)
    _clouds(pen, dice, half)
    for index in range(3):
        x = -half + index * half + dice.between(-0.15, 0.15)
        pen.polygon(oval(x, horizon + 0.1, 0.46, 0.22), (120, 186, 92), outline=False)
    _ground(image, horizon, (128, 196, 84))
    for _ in range(14):
        x, y = dice.between(-half, half), dice.between(horizon + 0.05, 0.98)
        pen.ellipse(x, y, 0.014, 0.014, dice.pick(((250, 220, 80), (250, 250, 250), (236, 110, 120))), outline=False)
    return horizon


def _space(image: Image.Image, dice: Dice, line: float) -> float:
    pen, half = _pen(image, line), _half(image)
    _gradient(image, (10, 8, 22), (34, 18, 52), 0, 1)
    for _ in range(40):
        size = dice.between(0.003, 0.008)
        pen.ellipse(dice.between(-half, half), dice.between(0, 1), size, size, (240, 240, 255), outline=False)
    x, y = dice.pick((-1, 1)) * half * dice.between(0.5, 0.8), dice.between(0.14, 0.28)
    planet = dice.pick(((220, 130, 90), (110, 170, 200), (200, 180, 120)))
    pen.ellipse(x, y, 0.11, 0.11, planet, outline=False)
    ring: list[Point] = [(x - 0.19, y + 0.05), (x, y + 0.03), (x + 0.19, y - 0.05)]
    pen.stroke(ring, 0.016, lighter(planet, 0.5))
    horizon = dice.between(0.72, 0.78)
    pen.polygon(oval(0, 1.35, 1.2, 0.62), (150, 150, 160), outline=False)
    for _ in range(5):
        pen.ellipse(dice.between(-half, half), dice.between(0.85, 0.97), 0.05, 0.018, (122, 122, 134), outline=False)
    return horizon


_PLACES: dict[str, Callable[[Image.Image, Dice, float], float]] = {
    "on a beach": _beach,
    "in a forest": _forest,
    "in a street": _street,
    "at night": _night,
    "in the snow": _snow,
    "in a desert": _desert,
    "in a room": _room,
    "underwater": _underwater,
    "in a field": _field,
    "in space": _space,
}
PLACES = tuple(_PLACES)
