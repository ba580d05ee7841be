"""One picture of the world: who, where, how many, how large, in which style."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.figures import GROUND, Pose, figure
from lib_lora_train.demo.world.pen import Pen
from lib_lora_train.demo.world.places import PLACES, place
from lib_lora_train.demo.world.styles import LINES, STYLES, finish
from lib_lora_train.demo.world.subjects import Subject, named, random_subject

COUNTS = ("one", "two", "three")
SIZES = ("small", "", "big")
POSITIONS = ("on the left", "in the middle", "on the right")
_SCALES = {"small": (0.125, 0.15), "": (0.185, 0.22), "big": (0.255, 0.285)}
_SPREAD = {"one": 1.0, "two": 0.78, "three": 0.6}


@dataclass(frozen=True)
class Scene:
    """What is in a picture. `seed` draws what words do not say: the pose, the light, the clouds."""

    subject: Subject
    place: str
    style: str
    count: str = "one"
    size: str = ""
    position: str = "in the middle"
    seed: int = 0


def random_scene(dice: Dice, subject: Subject | None = None, held_out_parts: bool = False) -> Scene:
    """Any picture; of `subject` if it is given, of one of those with a name in a fifth of the others."""
    who = subject or (dice.pick(named()) if dice.chance(0.2) else random_subject(dice, held_out_parts))
    count = "one" if dice.chance(0.82) else dice.pick(COUNTS[1:])
    alone = count == "one"
    return Scene(
        subject=who,
        place=dice.pick(PLACES),
        style="photo" if dice.chance(0.4) else dice.pick(STYLES[1:]),
        count=count,
        size=dice.pick(("", *SIZES)) if alone else dice.pick(("", "small")),
        position=dice.pick(POSITIONS) if alone and dice.chance(0.5) else "in the middle",
        seed=int(dice.between(0, 2**31)),
    )


def draw(scene: Scene, width: int = 128, height: int = 128) -> Image.Image:
    """The picture, RGB, `width` × `height` pixels; the same for the same scene, size and Pillow."""
    dice = Dice("scene", scene.seed)
    finer = 2
    size = (width * finer, height * finer)
    line = LINES.get(scene.style, 0.0)
    back = Image.new("RGB", size)
    horizon = place(back, scene.place, dice, line * 0.1)
    front = Image.new("RGBA", size, (0, 0, 0, 0))
    _subjects(front, scene, dice, (horizon, line))
    picture = finish(scene.style, (back, front), dice)
    filtering = Image.Resampling.NEAREST if scene.style == "pixel art" else Image.Resampling.LANCZOS
    return picture.resize((width, height), filtering)


def _subjects(front: Image.Image, scene: Scene, dice: Dice, where: tuple[float, float]) -> None:
    """Draw the subjects on a clear layer; `where` is the horizon and the outline's width."""
    horizon, line = where
    short = min(front.size)
    count = COUNTS.index(scene.count) + 1
    scale = short * dice.between(*_SCALES[scene.size]) * _SPREAD[scene.count]
    shift = {"on the left": -0.26, "in the middle": 0.0, "on the right": 0.26}[scene.position]
    half = 1.45 * scale / front.width
    for index in range(count):
        step = 0.0 if count == 1 else (index - (count - 1) / 2) * (0.46 if count == 2 else 0.31)
        x = 0.5 + shift + step + dice.between(-0.035, 0.035)
        x = min(max(x, half), 1 - half)
        feet = (horizon + dice.between(0.1, 0.2)) * front.height
        y = min(feet, front.height * 0.965) - GROUND * scale
        y = max(y, 1.75 * scale)
        pen = Pen(front, x * front.width, y, scale, dice.between(-0.09, 0.09), dice.chance(0.5), line)
        figure(pen, scene.subject, Pose(dice.between(-1, 1), dice.between(-1, 1)))
