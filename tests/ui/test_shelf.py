"""Looking through wildcards: tree, pages, odds, search; bounded, and only names that the scan has found."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.ui import wildcards_html
from lib_lora_train.ui.errors import PageError
from lib_lora_train.ui.shelf import MOST_HITS, MOST_ROWS, PAGE_VALUES, Root, Shelf
from tests.ui.conftest import Folders


def test_the_tree_opens_folder_by_folder(folders: Folders) -> None:
    shelf = folders.desk().shelf
    closed = shelf.listing()
    assert [(row.name, row.folder, row.size) for row in closed.rows] == [
        ("places", True, 1),
        ("birds", False, 2),
        ("hue", False, 2),
    ]
    opened = shelf.listing({"places"})
    assert [row.name for row in opened.rows] == ["places", "places/beach", "birds", "hue"]
    assert opened.rows[1].depth == 1
    assert opened.total == 3


def test_names_are_searched_in_any_case(folders: Folders) -> None:
    shelf = folders.desk().shelf
    assert [row.name for row in shelf.listing(query=" BEA ").rows] == ["places/beach"]
    assert [row.name for row in shelf.listing(query="pla each").rows] == ["places/beach"]
    assert shelf.listing(query="nothing").rows == []


def test_values_are_searched_and_point_to_their_place(folders: Folders) -> None:
    found = folders.desk().shelf.search("BEACH dusk")
    assert [(hit.name, hit.number, hit.text) for hit in found.found] == [("places/beach", 2, "a beach at dusk")]
    assert found.complete


def test_an_edit_is_seen_at_once(folders: Folders) -> None:
    shelf = folders.desk().shelf
    assert shelf.page("hue").size == 2
    (folders.foreign / "hue.txt").write_text("one\ntwo\nthree\n", "utf-8")
    (folders.foreign / "new.txt").write_text("x\n", "utf-8")
    assert shelf.page("hue").size == 3
    assert "new" in shelf.names()


@pytest.mark.parametrize(
    "name", ["", "../ours/hue", "nope", "hue.txt", "*", "places", "C:/x", "__hue__", "hue\0", "places//beach"]
)
def test_only_known_names_are_opened(name: str, folders: Folders) -> None:
    with pytest.raises(PageError):
        folders.desk().shelf.page(name)


def test_thousands_of_files_and_a_long_one_are_paged(tmp_path: Path) -> None:
    for number in range(5000):
        folder = tmp_path / f"f{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"n{number}.txt").write_text("apple\n", "utf-8")
    (tmp_path / "big.txt").write_text("".join(f"value {number}\n" for number in range(1_000_000)), "utf-8")
    shelf = Shelf([Root(tmp_path, "Here")])
    assert len(shelf.listing().rows) == 8
    opened = shelf.listing({f"f{number}" for number in range(7)})
    assert (len(opened.rows), opened.left_out, opened.total) == (MOST_ROWS, 5008 - MOST_ROWS, 5001)
    assert len(wildcards_html.tree(opened, "")) < 300_000
    last = shelf.page("big", 10**9)
    assert (last.page, last.pages, last.size) == (1_000_000 // PAGE_VALUES, 1_000_000 // PAGE_VALUES, 1_000_000)
    assert last.values[-1].text == "value 999999"
    hits = shelf.search("apple")
    assert len(hits.found) <= MOST_HITS
    assert not hits.complete


def test_copying_keeps_values_and_weights(folders: Folders) -> None:
    shelf = folders.desk().shelf
    assert shelf.lines("hue", 1000) == "teal\n3::ochre\n"
    assert shelf.lines("birds", 1000) == "wren\n2::heron\n"
    with pytest.raises(PageError, match="too large"):
        shelf.lines("hue", 5)


def test_a_copied_value_means_the_same(folders: Folders, tmp_path: Path) -> None:
    odd = ["# not a comment", "2::not a weight", "a {b|c}", "1.5::x"]
    (folders.foreign / "odd.yaml").write_text(
        "odd:\n" + "".join(f"  - {{text: {value!r}, weight: 2}}\n" for value in odd), "utf-8"
    )
    shelf = folders.desk().shelf
    before = [(value.text, value.odds) for value in shelf.page("odd").values]
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "odd.txt").write_text(shelf.lines("odd", 1000), "utf-8")
    assert [(value.text, value.odds) for value in Shelf([Root(copied, "x")]).page("odd").values] == before


def test_draws_follow_the_file_or_the_text_that_is_edited(folders: Folders) -> None:
    shelf = folders.desk().shelf
    assert set(shelf.draw("hue", range(30))) == {"teal", "ochre"}
    assert set(shelf.draw("hue", range(30), "# x\nred\n\n{blue|navy}\n")) == {"red", "blue", "navy"}
