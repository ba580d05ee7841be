"""Changing, choosing and counting captions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.train.dataset.caption_edit import MOST_CAPTION, Choice, Edit, checked, frequency, tags_of
from lib_lora_train.train.errors import DatasetError

CAPTION = "ohwx man, red hat,  Beach , red hat band"


@pytest.mark.parametrize(
    ("edit", "becomes"),
    [
        (Edit("replace", "red", "blue"), "ohwx man, blue hat,  Beach , blue hat band"),
        (Edit("replace", ".*", "x"), CAPTION),
        (Edit("front", "photo"), f"photo, {CAPTION}"),
        (Edit("front", "beach"), CAPTION),
        (Edit("behind", " at dusk "), f"{CAPTION}, at dusk"),
        (Edit("remove", "RED HAT"), "ohwx man, Beach, red hat band"),
        (Edit("remove", "hat"), CAPTION),
    ],
)
def test_an_edit_changes_what_it_names_and_nothing_else(edit: Edit, becomes: str) -> None:
    assert edit.of(CAPTION) == becomes


def test_each_line_of_a_template_is_changed() -> None:
    assert Edit("front", "ohwx").of("a {red|blue} hat\r\nohwx, sea") == "ohwx, a {red|blue} hat\nohwx, sea"
    assert Edit("front", "ohwx").of("ohwx, hat\r\nohwx, sea") == "ohwx, hat\r\nohwx, sea"
    assert Edit("front", "ohwx").of("") == "ohwx" and Edit("remove", "ohwx").of("") == ""
    assert Edit("behind", "x", separator=";").of("a; b") == "a; b; x"


@pytest.mark.parametrize(
    ("kind", "text", "new"),
    [
        ("shell", "a", ""),
        ("replace", "", "b"),
        ("front", "  ", ""),
        ("replace", "a" * 1001, ""),
        ("replace", "a", "\x00"),
        ("replace", "a", "\ud800"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(kind: str, text: str, new: str) -> None:
    with pytest.raises(DatasetError):
        Edit(kind, text, new)


def test_a_caption_does_not_grow_without_end() -> None:
    with pytest.raises(DatasetError, match="20,000"):
        Edit("replace", "a", "b" * 1000).of("a" * 30)
    assert len(Edit("replace", "a", "b").of("a" * (MOST_CAPTION + 5))) == MOST_CAPTION + 5


@given(st.text("ab,\n "), st.sampled_from(["a", "b", "a b"]))
def test_a_tag_that_was_added_can_be_removed_and_is_there_once(caption: str, tag: str) -> None:
    for kind in ("front", "behind"):
        added = Edit(kind, tag).of(caption)
        assert Edit(kind, tag).of(added) == added
        assert all(tag in tags_of(line, ",") for line in added.splitlines())
        assert tag not in tags_of(Edit("remove", tag).of(added), ",")


@given(st.text("abc, "), st.text("xyz", min_size=1, max_size=3))
def test_a_replacement_that_is_new_can_be_replaced_back(caption: str, new: str) -> None:
    assert Edit("replace", new, "a").of(Edit("replace", "a", new).of(caption)) == caption


def test_tags_are_counted_by_photo_whatever_their_case() -> None:
    found = frequency(["Red hat, sea, red HAT", "sea,red hat", "", "dog"], ",")
    assert found == [("Red hat", 2), ("sea", 2), ("dog", 1)]


def test_a_choice_takes_what_it_says() -> None:
    captions = {"1.png": "red hat, sea", "2.png": "sea", "hat.png": ""}

    def taken(choice: Choice) -> list[str]:
        return [name for name, caption in captions.items() if choice.takes(caption, name, not caption, ",")]

    assert taken(Choice()) == list(captions)
    assert taken(Choice("HAT")) == ["1.png", "hat.png"]
    assert taken(Choice("hat", has_text=False)) == ["2.png"]
    assert taken(Choice(tag="red hat")) == ["1.png"]
    assert taken(Choice(tag="hat")) == []
    assert taken(Choice(tag="sea", has_tag=False)) == ["hat.png"]
    assert taken(Choice(shown="with")) == ["1.png", "2.png"]
    assert taken(Choice(shown="without")) == taken(Choice(shown="odd")) == ["hat.png"]


def test_text_from_the_page_is_made_fit_for_a_file() -> None:
    assert checked("a\r\nb\rc\t") == "a\nb\nc\t"
    with pytest.raises(DatasetError):
        checked("a\x1b[31m")
