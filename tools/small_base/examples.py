"""The sheet of 64 examples in the docs: `python -m tools.small_base.examples docs/world.jpg`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.demo.world.scene import draw, random_scene
from lib_lora_train.demo.world.styles import STYLES

ACROSS, TILE, GAP = 8, 128, 4


def sheet() -> Image.Image:
    """Rows share a style where they can; columns go through the places."""
    side = ACROSS * (TILE + GAP) + GAP
    image = Image.new("RGB", (side, side), "white")
    for number in range(ACROSS * ACROSS):
        row, column = divmod(number, ACROSS)
        scene = random_scene(Dice("examples", number))
        scene = replace(scene, style=STYLES[max(0, row - 3)], place=PLACES[(number + row) % len(PLACES)])
        image.paste(draw(scene, TILE, TILE), (GAP + column * (TILE + GAP), GAP + row * (TILE + GAP)))
    return image


if __name__ == "__main__":
    sheet().save(Path(sys.argv[1]), quality=72, optimize=True)
