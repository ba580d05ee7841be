"""Every visible string is in every language, and every translation is of a visible string."""

from __future__ import annotations

import ast
import json
import re

import pytest

from tests.host.double import RECORDINGS
from tests.ui.visible import ROOT, SOURCES, strings

LANGUAGES = sorted((ROOT / "localizations").glob("*.json"))
SPOKEN = {"label", "info", "placeholder", "title", "aria_label"}
UNSEEN = {
    "photos/me",
    "hat",
    "ohwx",
    "man",
    "ohwx-man",
    "tick",
    "LoRA Loop",
    "question",
    "reply",
    "ask",
    "action",
    "do",
    "←",
    "→",
    "places/beach",
    "x",
    "№",
}


MARK = "LoRA Loop|"
"""What our words begin with in the files where the WebUI has the same word: its own page stays as it is."""
WORDS = {word for recording in RECORDINGS.values() for word in recording["words"]}


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_f9e_no_word_of_the_webuis_is_translated(path) -> None:  # type: ignore[no-untyped-def]
    """A WebUI puts our files into the page's language: "Checkpoint" and the preset "all" became Russian alone."""
    assert {"Checkpoint", "all", "Seed", "Steps"} <= WORDS
    assert not WORDS & set(json.loads(path.read_text("utf-8")))


def test_there_are_three_languages() -> None:
    assert [path.stem for path in LANGUAGES] == ["it_IT", "ru_RU", "zh_CN"]


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_a_language_has_exactly_the_visible_strings(path) -> None:  # type: ignore[no-untyped-def]
    given = json.loads(path.read_text("utf-8"))
    assert set(given) == {MARK * (text in WORDS) + text for text in strings()}
    assert all(isinstance(text, str) and text.strip() for text in given.values())


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_a_translation_keeps_what_is_not_language(path) -> None:  # type: ignore[no-untyped-def]
    for english, text in json.loads(path.read_text("utf-8")).items():
        for piece in re.findall(r"--[\w-]+|3::|Ctrl\+Z|LoRA Loop", english.removeprefix(MARK)):
            assert piece in text, english
        assert "<" not in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_visible_string_is_left_unmarked(source) -> None:  # type: ignore[no-untyped-def]
    """What is given as a label, an explanation, a title or a button's words is marked with `shown`."""
    tree = ast.parse(source.read_text("utf-8"))
    bare = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = [keyword.value for keyword in call.keywords if keyword.arg in SPOKEN]
        given += call.args[:1] if name in ("Button", "_button", "Accordion", "Tab", "_hint") else []
        given += call.args[1:] if name == "element" else []
        bare += [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    assert [text for text in bare if text not in UNSEEN and re.search(r"[A-Za-z]{2}", text)] == []
