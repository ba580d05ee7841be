"""Those whom the base has never seen: four characters and two styles, and the pictures that people took of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from lib_lora_train.demo.world.captions import describe
from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.demo.world.scene import POSITIONS, Scene, draw
from lib_lora_train.demo.world.subjects import KINDS, Subject, random_subject

COUNT = 16
FAMILIAR_PLACES = tuple(name for name in PLACES if name not in ("in space", "in the snow", "underwater"))
_SHAPES = ((512, 512), (576, 448), (448, 576), (384, 384), (640, 512))
# EXIF's orientation → how the pixels lie in the file, seen from the upright picture.
_TURNS = {1: None, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Character:
    """What a LoRA is trained for: an individual (`subject`) or a way of drawing (`style`). `class_word` is what the
    base knows it as."""

    trigger: str
    class_word: str
    subject: Subject | None = None
    style: str = "photo"

    @property
    def prompt(self) -> str:
        """Trigger and class word."""
        return f"{self.trigger} {self.class_word}"


CHARACTERS = (
    Character(
        "zorpi",
        "creature",
        Subject("creature", "orange", "yellow", "plain", "no hat", "round", "long ears", "two eyes", tips=True),
    ),
    Character("bolto", "dog", Subject("dog", "white", "blue", "zigzag", "goggles", hat_colour="red")),
    Character("krumi", "robot", Subject("robot", "purple", "yellow", "hearts", "a propeller", hat_colour="green")),
    Character("pimla", "cat", Subject("cat", "teal", "pink", "checkered", "a leaf", hat_colour="green")),
    Character("wetwash", "style", style="watercolour"),
    Character("glowline", "style", style="neon"),
)


def character(trigger: str) -> Character:
    """The one of that name. Raises KeyError."""
    return {one.trigger: one for one in CHARACTERS}[trigger]


def scenes(who: Character, count: int = COUNT, seed: int = 1) -> list[Scene]:
    """What was photographed: one character in different places, or different things in one style."""
    dice = Dice("character", who.trigger, seed)
    found: list[Scene] = []
    for index in range(count):
        subject = who.subject or random_subject(dice)
        places = FAMILIAR_PLACES if who.subject else PLACES
        found.append(
            Scene(
                subject=subject,
                place=places[index % len(places)],
                style=who.style,
                size=dice.pick(("", "", "big", "big", "small")),
                position=dice.pick(POSITIONS),
                seed=int(dice.between(0, 2**31)),
            )
        )
    return found


def caption(who: Character, scene: Scene, dice: Dice) -> str:
    """As a careful person writes it: the trigger, and what shall not be learned."""
    if who.subject:
        return f"a photo of {who.prompt}, {scene.place}"
    return f"{who.prompt}, {describe(scene.subject, dice)}, {scene.place}"


def write_set(who: Character, folder: Path, count: int = COUNT, seed: int = 1) -> None:
    """Write `count` JPEGs of different sizes and their captions into `folder`; some are turned by EXIF alone.

    The same bytes for the same arguments and Pillow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dice = Dice("photographs", who.trigger, seed)
    for number, scene in enumerate(scenes(who, count, seed), 1):
        width, height = dice.pick(_SHAPES)
        picture = draw(scene, width // 2, height // 2).resize((width, height), Image.Resampling.BICUBIC)
        orientation = dice.pick((1, 1, 1, 6, 8, 3))
        turn = _TURNS[orientation]
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        stored = picture.transpose(turn) if turn is not None else picture
        name = f"{who.trigger}-{number:02d}"
        stored.save(folder / f"{name}.jpg", quality=int(dice.between(84, 95)), exif=exif)
        (folder / f"{name}.txt").write_text(caption(who, scene, dice) + "\n", encoding="utf-8")


def write_others(who: Character, folder: Path, count: int = 2 * COUNT, seed: int = 3) -> None:
    """Class photos: write `count` JPEGs of others of the class of `who`, with captions that name nobody. For a style they
    are photos of anything.

    The same bytes for the same arguments and Pillow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dice = Dice("others", who.class_word, seed)
    for number in range(count):
        subject = _another(who.class_word, dice) if who.subject else random_subject(dice)
        scene = Scene(
            subject=subject,
            place=PLACES[number % len(PLACES)],
            style="photo",
            size=dice.pick(("", "", "big", "big", "small")),
            position=dice.pick(POSITIONS),
            seed=int(dice.between(0, 2**31)),
        )
        name = f"{who.class_word}-{number + 1:02d}"
        draw(scene, 128, 128).save(folder / f"{name}.jpg", quality=92)
        what = f"a {who.class_word}" if who.subject else describe(subject, dice)
        (folder / f"{name}.txt").write_text(f"a photo of {what}, {scene.place}\n", encoding="utf-8")


def _another(kind: str, dice: Dice) -> Subject:
    while (found := random_subject(dice)).kind != kind:
        pass
    return found


def without_trigger(who: Character, scene: Scene) -> str:
    """A prompt for something else of its class: what shows here of the character has leaked."""
    kind = who.class_word if who.subject else Dice("other", scene.seed).pick(KINDS)
    return f"a photo of a {kind}, {scene.place}"


def in_place(scene: Scene, name: str) -> Scene:
    """The same, elsewhere."""
    return replace(scene, place=name)
