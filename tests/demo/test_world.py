"""The drawn world: the same twice, captions that name what is there, sets with what photographs have."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from lib_lora_train.demo.world.captions import caption, describe
from lib_lora_train.demo.world.characters import (
    CHARACTERS,
    COUNT,
    FAMILIAR_PLACES,
    Character,
    scenes,
    write_others,
    write_set,
)
from lib_lora_train.demo.world.dice import Dice
from lib_lora_train.demo.world.labels import LABELS
from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.demo.world.scene import Scene, draw, random_scene
from lib_lora_train.demo.world.styles import HELD_OUT_STYLES, STYLES
from lib_lora_train.demo.world.subjects import (
    COLOURS,
    HATS,
    HELD_OUT_HATS,
    HELD_OUT_PATTERNS,
    KINDS,
    NAMED,
    Subject,
    named,
    random_subject,
)

ORIENTATION = 0x0112
CHANCES = [0.97186, 0.408955, 0.942798]
BY_NAME = [pytest.param(who, id=who.trigger) for who in CHARACTERS]


def bytes_in(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_set_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_set(CHARACTERS[0], tmp_path / name, 6)
    write_set(CHARACTERS[0], tmp_path / "other", 6, seed=2)
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    assert bytes_in(tmp_path / "one") != bytes_in(tmp_path / "other")


def test_chances_are_the_same_on_every_computer() -> None:
    dice = Dice("a", 1)
    assert [round(dice.between(0, 1), 6) for _ in range(3)] == CHANCES
    assert Dice("words", 3).order("abcdef") == Dice("words", 3).order("abcdef") != Dice("words", 4).order("abcdef")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_colour_changes_the_picture(kind: str) -> None:
    drawn = [draw(Scene(Subject(kind, colour, "white"), "in a room", "photo"), 48, 48).tobytes() for colour in COLOURS]
    assert len(set(drawn)) == len(COLOURS)


@pytest.mark.parametrize("style", [*STYLES, *HELD_OUT_STYLES])
def test_every_style_can_draw_every_place(style: str) -> None:
    drawn = {draw(Scene(Subject("cat", "red", "blue"), place, style), 40, 40).tobytes() for place in PLACES}
    assert len(drawn) == len(PLACES)


def test_counts_sizes_and_positions_change_the_picture() -> None:
    who = Subject("fish", "blue", "red")
    scenes_ = [Scene(who, "underwater", "photo", count) for count in LABELS["count"]]
    scenes_ += [Scene(who, "underwater", "photo", size=size) for size in ("small", "big")]
    scenes_ += [Scene(who, "underwater", "photo", position=at) for at in ("on the left", "on the right")]
    assert len({draw(scene, 48, 48).tobytes() for scene in scenes_}) == len(scenes_)


def test_captions_say_only_what_is_there() -> None:
    """A colour, place, style or kind that a caption names is the scene's."""
    for number in range(600):
        dice = Dice("captions", number)
        scene = random_scene(dice)
        text = caption(scene, dice)
        subject = scene.subject
        for place in PLACES:
            assert place not in text or place == scene.place, text
        for style in STYLES:
            assert style not in text or style == scene.style, text
        words = text.replace(",", " ").split()
        kinds = [kind for kind in KINDS if {kind, f"{kind}s"} & set(words)]
        assert kinds == [subject.kind], text
        colours = {colour for colour in COLOURS if colour in words}
        assert colours <= {subject.colour, subject.second, subject.hat_colour}, text
        hats = [hat for hat in HATS[1:] if f" {hat.split(maxsplit=1)[1]} " in f" {text.replace(',', ' ')} "]
        assert set(hats) <= {subject.hat}, text
        for count in ("two", "three"):
            assert f"{count} " not in f"{text} ".replace(f"{count} eyes", "") or scene.count == count, text


def test_most_captions_name_kind_colour_place_and_style() -> None:
    named: Counter[str] = Counter()
    for number in range(600):
        dice = Dice("captions", number)
        scene = random_scene(dice)
        text = caption(scene, dice)
        named["place"] += scene.place in text
        named["style"] += scene.style in text
        named["colour"] += scene.subject.colour in text
        named["kind"] += scene.subject.kind in text
    assert all(count > 480 for count in named.values()), named
    assert named["kind"] == 600 and named["place"] < 600, "some words are left out, so that each is learned by itself"


def test_a_whole_description_leaves_nothing_out() -> None:
    who = Subject("creature", "orange", "yellow", "striped", "a cap", "tall", "horns", "three eyes", "blue")
    assert describe(who, Dice(1), whole=True) in (
        "a tall striped orange creature with horns, three eyes, a blue cap and yellow parts",
        "tall striped orange creature with horns, three eyes, a blue cap and yellow parts",
    )


def test_who_has_a_name_looks_the_same_everywhere_and_is_called_by_it_alone() -> None:
    everybody = named()
    assert len({one.name for one in everybody}) == NAMED == 800
    assert not {one.name for one in everybody} & {one.trigger for one in CHARACTERS}
    called: Counter[bool] = Counter()
    for number in range(800):
        dice = Dice("names", number)
        scene = random_scene(dice)
        text = caption(scene, dice)
        known = [one for one in everybody if one.name in text.replace(",", " ").split()]
        assert not known or known == [scene.subject], text
        called[bool(known)] += 1
    assert 60 < called[True] < 160


def test_what_is_held_out_is_never_drawn_for_the_base() -> None:
    found = [random_subject(Dice(number)) for number in range(2000)]
    assert not {one.pattern for one in found} & set(HELD_OUT_PATTERNS)
    assert not {one.hat for one in found} & set(HELD_OUT_HATS)
    assert not any(one.tips for one in found)
    styles = {random_scene(Dice(number)).style for number in range(500)}
    assert styles == set(STYLES)


@pytest.mark.parametrize("who", BY_NAME)
def test_a_set_has_what_photographs_have(who: Character, tmp_path: Path) -> None:
    write_set(who, tmp_path)
    photos = sorted(tmp_path.glob("*.jpg"))
    assert len(photos) == COUNT == 16
    sizes: set[tuple[int, int]] = set()
    turned = 0
    for path in photos:
        with Image.open(path) as image:
            assert image.format == "JPEG"
            sizes.add(image.size)
            turned += image.getexif().get(ORIENTATION, 1) != 1
        text = path.with_suffix(".txt").read_text("utf-8")
        assert who.prompt in text and text.endswith("\n")
    assert len(sizes) >= 4, "different sizes and shapes"
    assert len({width > height for width, height in sizes}) == 2
    assert 2 <= turned <= COUNT - 2, "some are turned by EXIF alone"
    places = {scene.place for scene in scenes(who)}
    assert places == set(FAMILIAR_PLACES if who.subject else PLACES)
    assert len({path.read_bytes() for path in photos}) == COUNT


def test_who_is_held_out() -> None:
    assert sum(who.subject is not None for who in CHARACTERS) >= 4
    assert {who.style for who in CHARACTERS if who.subject is None} == set(HELD_OUT_STYLES)
    for who in CHARACTERS:
        if who.subject:
            new = {who.subject.pattern, who.subject.hat} & {*HELD_OUT_PATTERNS, *HELD_OUT_HATS}
            assert new or who.subject.tips, "each has a part that the base has never seen"


@pytest.mark.parametrize("who", BY_NAME)
def test_class_photos_name_nobody_and_are_the_same_bytes(who: Character, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_others(who, tmp_path / name, count=6)
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two and len(one) == 12
    captions = [data.decode() for name, data in one.items() if name.endswith(".txt")]
    assert all(who.trigger not in text for text in captions)
    if who.subject:
        assert all(text.startswith(f"a photo of a {who.class_word}, ") for text in captions)
