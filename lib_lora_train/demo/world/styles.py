"""How a picture is made: from drawn layers to a photo, a drawing, a sketch, pixels; and two styles kept for training."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from lib_lora_train.demo.world.dice import Dice

STYLES = ("photo", "flat drawing", "outlined cartoon", "pencil sketch", "pixel art")
HELD_OUT_STYLES = ("watercolour", "neon")
# Outlines in units of a subject; the place behind it has them thinner.
LINES = {"outlined cartoon": 0.085, "pencil sketch": 0.07, "pixel art": 0.1}

Layers = tuple[Image.Image, Image.Image]


def finish(style: str, layers: Layers, dice: Dice) -> Image.Image:
    """The picture (RGB) of `layers`: the place (RGB) and the subjects (RGBA), both larger than it will be shown."""
    return _FINISHES[style](layers, dice)


def _photo(layers: Layers, dice: Dice) -> Image.Image:
    """Light from one side, a soft shadow on the ground, a background out of focus."""
    place, subjects = layers
    width, height = place.size
    place = place.filter(ImageFilter.GaussianBlur(height / 110))
    alpha = subjects.getchannel("A")
    box = alpha.getbbox() or (0, 0, width, height)
    flat = alpha.crop(box).resize((box[2] - box[0], max(1, (box[3] - box[1]) // 7)))
    shadow = Image.new("L", (width, height), 0)
    side = dice.pick((-1, 1))
    shadow.paste(flat, (box[0] - side * width // 30, box[3] - flat.height * 2 // 3))
    shadow = shadow.filter(ImageFilter.GaussianBlur(height / 60)).point([value * 2 // 5 for value in range(256)])
    place.paste((24, 18, 30), (0, 0), shadow)
    light = _light(box, (width, height), side)
    shaded = ImageChops.multiply(subjects.convert("RGB"), Image.merge("RGB", [light] * 3))
    place.paste(shaded, (0, 0), alpha)
    tone = ImageEnhance.Brightness(place).enhance(dice.between(0.9, 1.08))
    return ImageEnhance.Color(tone).enhance(dice.between(0.9, 1.1))


def _light(box: tuple[int, int, int, int], size: tuple[int, int], side: int) -> Image.Image:
    """How bright each point is, 0 … 255: a soft ball of light over `box`, from the upper left or right."""
    wide, high = max(1, round(1.7 * (box[2] - box[0]))), max(1, round(1.7 * (box[3] - box[1])))
    ball = ImageOps.invert(Image.radial_gradient("L").resize((wide, high)))
    ball = ball.point([min(255, round(118 + value * 0.72)) for value in range(256)])
    light = Image.new("L", size, 118)
    middle = ((box[0] + box[2]) / 2 - side * 0.2 * (box[2] - box[0]), (box[1] + box[3]) / 2 - 0.25 * (box[3] - box[1]))
    light.paste(ball, (round(middle[0] - wide / 2), round(middle[1] - high / 2)))
    return light


def _together(layers: Layers) -> Image.Image:
    place, subjects = layers
    place.paste(subjects.convert("RGB"), (0, 0), subjects.getchannel("A"))
    return place


def _flat(layers: Layers, dice: Dice) -> Image.Image:
    return _together(layers)


def _sketch(layers: Layers, dice: Dice) -> Image.Image:
    """Grey on paper: pale tones, dark lines, hatching where it is dark."""
    picture = ImageOps.grayscale(_together(layers))
    width, height = picture.size
    tones = picture.point(
        [round(132 + value * 0.47) if value > 62 else round(30 + value * 1.2) for value in range(256)]
    )
    hatch = Image.linear_gradient("L").resize((width * 2, max(2, height // 40))).rotate(0)
    lines = Image.new("L", (width * 2, height * 2), 255)
    for top in range(0, height * 2, hatch.height):
        lines.paste(hatch.point([210 if value < 90 else 255 for value in range(256)]), (0, top))
    turned = lines.rotate(35).crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    dark = picture.point([255 if 62 < value < 150 else 0 for value in range(256)])
    tones.paste(ImageChops.multiply(tones, turned), (0, 0), dark)
    return ImageOps.colorize(tones, (44, 42, 52), (250, 246, 236))


def _pixels(layers: Layers, dice: Dice) -> Image.Image:
    """A few large squares of few colours."""
    picture = _together(layers)
    short = 42
    share = short / min(picture.size)
    small = picture.resize((round(picture.width * share), round(picture.height * share)), Image.Resampling.BOX)
    small = small.point([min(255, (value + 16) // 32 * 32) for value in range(256)] * 3)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _watercolour(layers: Layers, dice: Dice) -> Image.Image:
    """Pale washes with darker rims and soft borders, on grainy paper."""
    picture = _together(layers)
    height = picture.height
    wet = picture.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(height / 260))
    washed = Image.blend(wet, Image.new("RGB", picture.size, (255, 252, 244)), 0.3)
    rims = ImageOps.grayscale(wet.filter(ImageFilter.FIND_EDGES)).filter(ImageFilter.GaussianBlur(height / 180))
    rims = ImageOps.invert(rims.point([min(90, value * 2) for value in range(256)]))
    washed = ImageChops.multiply(washed, Image.merge("RGB", [rims] * 3))
    for cells, depth in ((7, 0.12), (64, 0.07)):
        grain = _grain(dice, cells).resize(picture.size, Image.Resampling.BICUBIC)
        grain = grain.point([round(255 - depth * value) for value in range(256)])
        washed = ImageChops.multiply(washed, Image.merge("RGB", [grain] * 3))
    return washed


def _grain(dice: Dice, cells: int) -> Image.Image:
    """A square of random greys."""
    return Image.frombytes("L", (cells, cells), bytes(int(dice.between(0, 256)) for _ in range(cells * cells)))


def _neon(layers: Layers, dice: Dice) -> Image.Image:
    """Glowing tubes along every edge, in the dark."""
    place, subjects = layers
    dim = ImageEnhance.Brightness(place).enhance(0.55)
    picture = _together((dim, subjects))
    width, height = picture.size
    grown = picture.filter(ImageFilter.MaxFilter(3))
    shrunk = picture.filter(ImageFilter.MinFilter(3))
    edges = ImageChops.subtract(grown, shrunk).point([min(255, value * 3) for value in range(256)] * 3)
    glow = edges.filter(ImageFilter.GaussianBlur(height / 40)).point([min(255, value * 2) for value in range(256)] * 3)
    night = Image.blend(
        ImageEnhance.Brightness(picture).enhance(0.16), Image.new("RGB", (width, height), (16, 8, 34)), 0.5
    )
    return ImageChops.add(ImageChops.add(night, glow), edges)


_FINISHES: dict[str, Callable[[Layers, Dice], Image.Image]] = {
    "photo": _photo,
    "flat drawing": _flat,
    "outlined cartoon": _flat,
    "pencil sketch": _sketch,
    "pixel art": _pixels,
    "watercolour": _watercolour,
    "neon": _neon,
}
