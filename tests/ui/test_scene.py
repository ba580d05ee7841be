"""The tab's actions, one after the other as a person does them, and with what a person cannot do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib_lora_train.ui import scene
from lib_lora_train.ui.scene import Scene
from tests.ui.conftest import Folders


def does(**action: Any) -> str:
    return json.dumps(action)


def test_look_open_copy_edit_save_draw_delete_undo(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, does(act="look"))
    scene.act(now, desk, does(act="open", name="hue"))
    page = now.view(desk)
    assert page is not None
    assert page.holders[0].root == "Foreign"
    scene.edit(now, desk)
    assert "copy it first" in now.message
    scene.copy(now, desk)
    assert (now.editing, now.text, now.good) == ("hue", "teal\n3::ochre\n", True)
    scene.draw(now, desk, "red\n")
    assert now.draws == ["red"] * 10
    scene.save(now, desk, "hue", "red\n")
    assert (now.editing, now.good, now.draws) == (None, True, [])
    page = now.view(desk)
    assert page is not None
    assert ([value.text for value in page.values], page.holders[0].own, len(page.holders)) == (["red"], True, 3)
    scene.delete(now, desk)
    page = now.view(desk)
    assert page is not None
    assert page.holders[0].root == "Foreign"
    scene.undo(now, desk)
    assert now.good
    assert desk.store.read("hue")[0] == "red\n"


def test_new_and_another_name(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, does(act="open", name="places/beach"))
    scene.new(now, desk)
    assert (now.editing, now.draft) == ("", "places/")
    scene.save(now, desk, "places/hill", "a hill\n")
    assert (now.name, now.message[:5]) == ("places/hill", "Saved")
    assert "places" in now.opened
    scene.edit(now, desk)
    scene.save(now, desk, "hills/green", "a green hill\n")
    assert [name for name in desk.shelf.names() if "hill" in name] == ["hills/green"]
    assert (folders.own / "hills" / "green.txt").read_text("utf-8") == "a green hill\n"


def test_a_name_that_is_taken_keeps_what_was_typed(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    for name in ("one", "two"):
        scene.new(now, desk)
        scene.save(now, desk, name, name)
    scene.edit(now, desk)
    scene.save(now, desk, "one", "other words")
    assert "there already" in now.message
    assert now.editing == "two"
    assert desk.store.read("one")[0] == "one\n"


def test_pages_turn_within_bounds(folders: Folders) -> None:
    (folders.foreign / "long.txt").write_text("".join(f"v{n}\n" for n in range(250)), "utf-8")
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, does(act="open", name="long", page=2))
    for wanted, shown in ((3, 3), (9, 3), (-4, 1), (float("nan"), 1), (float("inf"), 1), ("2", 1), (None, 1), (2.0, 2)):
        scene.turn(now, desk, wanted)
        page = now.view(desk)
        assert page is not None
        assert page.page == shown


def test_search_in_names_and_values(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, does(act="search", query="bea"))
    assert (now.query, now.hits) == ("bea", None)
    scene.search(now, desk, "dusk", True)
    assert now.hits is not None
    assert now.hits.found[0].name == "places/beach"


@pytest.mark.parametrize(
    "raw",
    [None, 5, b"x", "", "{", "[" * 3000, "x" * 5000, does(act="open", name=5), does(act="open", name="x", page="1"),
     does(act="search", query=7), does(act="search", query="x" * 300)],
)  # fmt: skip
def test_s1_crafted_actions_are_told_off(raw: object, folders: Folders) -> None:
    now = Scene()
    scene.act(now, folders.desk(), raw)
    assert now.message


@pytest.mark.parametrize("raw", ["null", "[]", "5", does(act="rm"), does(), does(act="toggle", name="../..")])
def test_s1_actions_that_mean_nothing_do_nothing(raw: str, folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.act(now, desk, raw)
    assert (now.name, now.message) == ("", "")
    assert desk.shelf.listing(now.opened).total == 3


def test_a_template_fault_in_a_test_is_a_sentence(folders: Folders) -> None:
    desk, now = folders.desk(), Scene()
    scene.new(now, desk)
    scene.draw(now, desk, "{a|b")
    assert "never closed" in now.message
    scene.draw(now, desk, "x" * 2_000_000)
    assert "split it" in now.message
