"""A small set of pictures of one mascot in different places, with captions, as a person would collect them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from lib_lora_train.train.randomness import uniform

TRIGGER, CLASS = "zorpi", "creature"
SIZES = ((512, 512), (576, 448), (448, 576))
FUR, BELLY, INK = (232, 112, 52), (250, 214, 165), (45, 32, 40)
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Where the mascot stands: sky from top to bottom, ground, and whether there are hills, trees or stars."""

    words: str
    sky: tuple[Colour, Colour]
    ground: Colour
    prop: str


PLACES = (
    Place("on a beach", ((126, 200, 240), (214, 238, 250)), (240, 214, 150), "sun"),
    Place("in a forest", ((170, 214, 190), (220, 240, 214)), (92, 140, 72), "trees"),
    Place("at night", ((18, 22, 60), (52, 46, 104)), (44, 48, 70), "stars"),
    Place("in the snow", ((190, 210, 228), (236, 242, 248)), (246, 248, 252), "hills"),
    Place("in a city street", ((196, 188, 200), (236, 224, 220)), (120, 118, 124), "houses"),
)


def draw_photographs(folder: Path, count: int = 10, seed: int = 7) -> None:
    """Write `count` JPEGs with captions into `folder`; the same bytes for the same seed and Pillow."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        place = PLACES[number % len(PLACES)]
        _photograph(place, number, seed).save(folder / f"{TRIGGER}-{number + 1:02d}.jpg", quality=92)
        caption = f"{TRIGGER} {CLASS}, {place.words}"
        (folder / f"{TRIGGER}-{number + 1:02d}.txt").write_text(caption + "\n", encoding="utf-8")


def _photograph(place: Place, number: int, seed: int) -> Image.Image:
    def vary(what: str, low: float, high: float) -> float:
        return low + (high - low) * uniform(seed, what, number)

    width, height = SIZES[number % len(SIZES)]
    image = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(image)
    horizon = round(height * vary("horizon", 0.58, 0.72))
    for row in range(horizon):
        share = row / horizon
        pen.line((0, row, width, row), fill=_mix(*place.sky, share))
    pen.rectangle((0, horizon, width, height), fill=place.ground)
    _props(pen, place.prop, (width, horizon), number, seed)
    size = height * vary("size", 0.20, 0.30)
    _mascot(pen, width * vary("x", 0.34, 0.66), horizon + size * 0.15, size, vary("tilt", -0.15, 0.15))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _props(pen: ImageDraw.ImageDraw, prop: str, ground: tuple[int, int], number: int, seed: int) -> None:
    """What stands behind the mascot; `ground` is the width and the horizon's row."""
    width, horizon = ground
    for index in range(7):
        x, y = uniform(seed, prop, number, index, "x") * width, uniform(seed, prop, number, index, "y")
        if prop == "sun" and index == 0:
            pen.ellipse((x - 34, 40, x + 34, 108), fill=(255, 226, 120))
        elif prop == "stars":
            for twin in (0, 1):
                at = (x * (1 - 0.5 * twin), y * horizon * 0.8)
                pen.ellipse((at[0] - 2, at[1] - 2, at[0] + 2, at[1] + 2), fill=(250, 246, 220))
        elif prop == "trees":
            top = horizon - 110 - 90 * y
            pen.rectangle((x - 6, horizon - 40, x + 6, horizon + 6), fill=(96, 70, 50))
            pen.polygon((x, top, x - 44, horizon - 24, x + 44, horizon - 24), fill=(52, round(96 + 40 * y), 60))
        elif prop == "hills":
            pen.ellipse((x - 120, horizon - 40 - 40 * y, x + 120, horizon + 80), fill=(224, 232, 242))
        elif prop == "houses":
            top = horizon - 120 - 130 * y
            pen.rectangle((x - 42, top, x + 42, horizon), fill=(round(150 + 60 * y), 140, 136))
            for row in range(int(top) + 16, horizon - 18, 34):
                pen.rectangle((x - 24, row, x - 8, row + 16), fill=(250, 232, 170))
                pen.rectangle((x + 8, row, x + 24, row + 16), fill=(250, 232, 170))


def _mascot(pen: ImageDraw.ImageDraw, x: float, y: float, size: float, tilt: float) -> None:
    """A round orange creature with two long ears, big eyes and a pale belly; (x, y) is the middle of its body."""
    for side in (-1, 1):
        lean = side * 0.35 + tilt
        tip = (x + math.sin(lean) * size * 1.75, y - math.cos(lean) * size * 1.75)
        root = (x + side * size * 0.42, y - size * 0.72)
        pen.line((*root, *tip), fill=FUR, width=round(size * 0.34))
        pen.ellipse(_disc(*tip, size * 0.2), fill=INK)
        pen.ellipse(
            (x + side * size * 0.5 - size * 0.28, y + size * 0.78, x + side * size * 0.5 + size * 0.28, y + size * 1.1),
            fill=INK,
        )
    pen.ellipse(_disc(x, y, size), fill=FUR)
    pen.ellipse(_disc(x, y + size * 0.38, size * 0.55), fill=BELLY)
    for side in (-1, 1):
        eye = (x + side * size * 0.36, y - size * 0.3)
        pen.ellipse(_disc(*eye, size * 0.27), fill=(255, 255, 255))
        pen.ellipse(_disc(eye[0] + tilt * size * 0.6, eye[1] + size * 0.05, size * 0.14), fill=INK)
    pen.arc(_disc(x, y + size * 0.02, size * 0.34), 25, 155, fill=INK, width=max(2, round(size * 0.06)))


def _disc(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius
