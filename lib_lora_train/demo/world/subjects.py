"""Who can be in a picture: what a subject is made of, in the words that captions use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.pen import Colour

COLOURS: dict[str, Colour] = {
    "red": (214, 52, 48),
    "orange": (240, 136, 42),
    "yellow": (246, 208, 64),
    "green": (76, 164, 78),
    "teal": (44, 160, 160),
    "blue": (58, 108, 214),
    "purple": (138, 82, 190),
    "pink": (240, 138, 176),
    "brown": (138, 92, 58),
    "white": (244, 242, 236),
    "grey": (146, 148, 156),
    "black": (58, 54, 64),
}
KINDS = ("creature", "cat", "dog", "rabbit", "bear", "bird", "fish", "robot", "car", "house", "boat", "rocket")
CREATURES = ("creature",)
WITH_EARS = ("creature",)
BODIES = ("round", "tall", "square", "pear-shaped")
EARS = ("no ears", "pointy ears", "long ears", "round ears", "horns", "antennae")
EYES = ("one eye", "two eyes", "three eyes")
PATTERNS = ("plain", "striped", "spotted")
HATS = ("no hat", "a top hat", "a cap", "a crown", "a bow")
# What only the held-out characters have: the base never saw it.
HELD_OUT_PATTERNS = ("zigzag", "hearts", "checkered")
HELD_OUT_HATS = ("goggles", "a leaf", "a propeller")
NAMED = 800
"""So many individuals have a name of their own and look the same wherever they are."""
_SYLLABLES = tuple(first + vowel for first in "bdfgjklmnprstvwxz" for vowel in "aeiou")


@dataclass(frozen=True)
class Subject:
    """One individual. `second` colours the belly, the pattern and the trim; `body`, `ears` and `eyes` are a
    creature's alone; `tips` darkens the ends of its ears, as only held-out characters have it; a `name` is known for
    this individual and no other."""

    kind: str
    colour: str
    second: str
    pattern: str = "plain"
    hat: str = "no hat"
    body: str = "round"
    ears: str = "no ears"
    eyes: str = "two eyes"
    hat_colour: str = "red"
    tips: bool = False
    name: str = ""


def random_subject(dice: Dice, held_out_parts: bool = False) -> Subject:
    """Anybody; with the parts that are kept for held-out characters only where `held_out_parts` asks for them."""
    kind = "creature" if dice.chance(0.3) else dice.pick(KINDS[1:])
    colour = dice.pick(tuple(COLOURS))
    others = tuple(name for name in COLOURS if name != colour)
    pattern = "plain" if dice.chance(0.45) else dice.pick(PATTERNS[1:])
    hat = "no hat" if dice.chance(0.45) else dice.pick(HATS[1:])
    if held_out_parts and dice.chance(0.3):
        pattern = dice.pick(HELD_OUT_PATTERNS)
    if held_out_parts and dice.chance(0.3):
        hat = dice.pick(HELD_OUT_HATS)
    creature = kind == "creature"
    return Subject(
        kind=kind,
        colour=colour,
        second=dice.pick(others),
        pattern=pattern,
        hat=hat,
        body=dice.pick(BODIES) if creature else "round",
        ears=dice.pick(EARS) if creature else "no ears",
        eyes=dice.pick(EYES) if creature else "two eyes",
        hat_colour=dice.pick(others),
        tips=creature and held_out_parts and dice.chance(0.3),
    )


@lru_cache(maxsize=1)
def named() -> tuple[Subject, ...]:
    """Those whom the world knows by name. A model that has met them reads an unknown name as somebody, too."""
    names: dict[str, Subject] = {}
    dice = Dice("named")
    while len(names) < NAMED:
        name = "".join(dice.pick(_SYLLABLES) for _ in range(2 if dice.chance(0.7) else 3))
        names.setdefault(name, replace(random_subject(dice), name=name))
    return tuple(names.values())
