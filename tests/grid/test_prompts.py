"""Prompts of a grid: the trigger goes in, the run's own tags come out, choices are drawn once, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.grid.prompts import GridPrompt, draw_all, other_loras, test_card, without_tags
from lib_lora_train.prompt import Context, Expander, PromptError, Wildcards

NAMES = frozenset({"x", "x-000002"})


def draw(
    *card: GridPrompt, seeds: tuple[int, ...] = (1,), trigger: str = "ohwx man"
) -> list[tuple[str, tuple[str, ...]]]:
    return [(drawn.text, drawn.notes) for drawn in draw_all(card, seeds, Expander(), trigger, NAMES)]


@pytest.mark.parametrize(
    ("text", "rest", "found"),
    [
        ("a man <lora:x:1>", "a man", 1),
        ("<lora:x:0.8>, a man", "a man", 1),
        ("a man, <lora:people/X-000002:0.8:1>, on a beach", "a man, on a beach", 1),
        ("<lora:x>", "", 1),
        ("a <lora:x.safetensors:1> b <LORA:x:2>", "a b", 2),
        ("a man <lora:other:1>", "a man <lora:other:1>", 0),
        ("a < b, lora:x:1", "a < b, lora:x:1", 0),
    ],
)
def test_own_tags_are_taken_out(text: str, rest: str, found: int) -> None:
    assert without_tags(text, NAMES) == (rest, without_tags(text, NAMES)[1])
    assert len(without_tags(text, NAMES)[1]) == found


def test_the_trigger_is_put_where_it_is_asked_for_or_before() -> None:
    assert draw(GridPrompt("a", "photo of [trigger] at sea"))[0][0] == "photo of ohwx man at sea"
    assert draw(GridPrompt("a", "photo of OHWX at sea")) == [("photo of OHWX at sea", ())]
    [(text, notes)] = draw(GridPrompt("a", "photo at sea"))
    assert text == "ohwx man, photo at sea" and "the trigger “ohwx man” is put before it" in notes[0]
    assert draw(GridPrompt("a", "photo at sea", trigger=False)) == [("photo at sea", ())]
    assert draw(GridPrompt("a", "")) == [("ohwx man", draw(GridPrompt("a", ""))[0][1])]
    assert draw(GridPrompt("a", "sea"), trigger="") == [("sea", ())]


def test_a_prompt_that_sets_the_lora_itself_is_left_as_it_is() -> None:
    """Its writer has put the words that belong to it."""
    [(text, notes)] = draw(GridPrompt("a", "photo at sea <lora:x:1>"))
    assert text == "photo at sea" and notes == (
        "Prompt “a”: <lora:x:1> is replaced, as the grid itself sets the LoRA and its weight.",
    )


def test_choices_are_drawn_once_for_a_seed(tmp_path: Path) -> None:
    (tmp_path / "place.txt").write_text("a beach\na forest\na street\n")
    card = (
        GridPrompt("a", "[trigger] in __place__, {day|night}", "{ugly|blurry}"),
        GridPrompt("b", "{1|2|3|4|5|6|7|8}"),
    )
    expander = Expander(Context(Wildcards([tmp_path])))
    first = draw_all(card, range(6), expander, "ohwx", NAMES)
    (tmp_path / "place.txt").write_text("a beach\na forest\na street\n# same lines\n")
    assert draw_all(card, range(6), expander, "ohwx", NAMES) == first
    assert len({drawn.text for drawn in first[:6]}) > 2 and len({drawn.text for drawn in first[6:]}) > 2
    assert {drawn.negative for drawn in first[:6]} == {"ugly", "blurry"}


def test_a_template_that_is_wrong_says_where() -> None:
    with pytest.raises(PromptError, match="prompt"):
        draw(GridPrompt("a", "a {cat|dog"))


def test_a_trigger_with_braces_is_text() -> None:
    assert draw(GridPrompt("a", "[trigger] here"), trigger="{odd|word}")[0][0] == "{odd|word} here"


def test_the_test_card_fits_the_run() -> None:
    card = test_card("ohwx man")
    assert [prompt.label for prompt in card] == [
        "in its world",
        "out of its world",
        "style bleed",
        "without the trigger",
    ]
    texts = [text for text, _ in draw(*card)]
    assert (
        texts[0] == "ohwx man" and texts[1].startswith("ohwx man,") and texts[3] == "a man" and "ohwx" not in texts[2]
    )
    assert len(test_card("zorpi")) == 3
    assert next(text for text, _ in draw(*test_card(""), trigger="")) == "a photo"


def test_other_loras_are_seen() -> None:
    assert other_loras("a <lora:y:1> <lora:z:0.5> <hypernet:h:1>") == ["y", "z"]


test_card.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for a test
