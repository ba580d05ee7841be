"""The judge on pictures that are drawn anew for the test."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
import torch
from PIL import Image

from lib_lora_train.demo.judge import LOOKS, JudgeNetwork, Opinion, likeness, prepared, shipped_judge
from lib_lora_train.demo.world.characters import CHARACTERS, scenes
from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.labels import LABELS
from lib_lora_train.demo.world.scene import Scene, draw, random_scene
from tools.small_base.pictures import numbers

FRESH = 120
AT_LEAST = {"kind": 0.97, "colour": 0.8, "pattern": 0.9, "hat": 0.9, "place": 0.98, "style": 0.95, "count": 0.98}


@cache
def fresh() -> tuple[list[Scene], Opinion]:
    """Scenes that no training has drawn, and the judge's opinion of them."""
    found = [random_scene(Dice("test of the judge", number)) for number in range(FRESH)]
    return found, shipped_judge().look([draw(scene) for scene in found])


def test_its_answers_have_the_shapes_that_are_promised() -> None:
    scores, looks = JudgeNetwork()(torch.zeros(2, 3, 128, 128))
    assert {name: tuple(found.shape) for name, found in scores.items()} == {
        name: (2, len(values)) for name, values in LABELS.items()
    }
    assert looks.shape == (2, LOOKS)
    _, seen = fresh()
    assert torch.allclose(seen.looks.norm(dim=1), torch.ones(FRESH), atol=1e-4)
    for shares in seen.shares.values():
        assert torch.allclose(shares.sum(dim=1), torch.ones(FRESH), atol=1e-4)


def test_pictures_of_any_size_and_turn_become_upright_squares() -> None:
    turned = Image.new("RGB", (90, 40), "red")
    turned.paste("blue", (0, 0, 45, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.info["exif"] = exif.tobytes()
    assert prepared([Image.new("L", (10, 300)), turned]).shape == (2, 3, 128, 128)


@pytest.mark.parametrize("name", AT_LEAST)
def test_it_names_what_is_in_fresh_pictures(name: str) -> None:
    found, seen = fresh()
    at = list(LABELS).index(name)
    wanted = [LABELS[name][numbers(scene)[at]] for scene in found]
    right = Counter(a == b for a, b in zip(seen.named(name), wanted, strict=True))
    assert right[True] / FRESH >= AT_LEAST[name], name


def test_held_out_characters_are_like_themselves_and_unlike_each_other() -> None:
    looks = {
        who.trigger: shipped_judge().look([draw(scene) for scene in scenes(who, 8)]).looks
        for who in CHARACTERS
        if who.subject
    }
    for name, own in looks.items():
        inside = float(likeness(own[4:], own[:4]).mean())
        for other, others in looks.items():
            if other != name:
                assert inside - float(likeness(others, own[:4]).mean()) > 0.6, (name, other)


def test_held_out_styles_are_known_to_it() -> None:
    for who in CHARACTERS:
        if who.subject is None:
            seen = shipped_judge().look([draw(scene) for scene in scenes(who, 8)])
            assert float(seen.is_("style", who.style).mean()) > 0.8
