"""Finding our tags in a prompt, and what is left of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.keywords.read import networks, read
from lib_lora_train.keywords.table import BY_NAME, KEYWORDS, OURS


@pytest.mark.parametrize(
    ("text", "left", "tags"),
    [
        ("a cat <steps:20>", "a cat", [("steps", "20")]),
        ("a cat, <steps:20>, dog", "a cat, dog", [("steps", "20")]),
        ("<steps:20> a", "a", [("steps", "20")]),
        ("<steps:3>, a, <cfg:2>", "a", [("steps", "3"), ("cfg", "2")]),
        ("a, <steps:2> , <cfg:3> , b", "a, b", [("steps", "2"), ("cfg", "3")]),
        ("a\n<steps:2>\nb", "a\nb", [("steps", "2")]),
        ("(<steps:3>:1.2) b", "b", [("steps", "3")]),
        ("a, ([<steps:3>]), b", "a, b", [("steps", "3")]),
        ("<STEPS:3>< Cfg-Scale : 4 >", "", [("steps", "3"), ("cfg_scale", "4")]),
        ('x <checkpoint:"a:b > c">', "x", [("checkpoint", "a:b > c")]),
        ('x <negative:6" nail>', "x", [("negative", '6" nail')]),
        (r"<checkpoint:C:\m\x (v1.2) [ab].safetensors>", "", [("checkpoint", r"C:\m\x (v1.2) [ab].safetensors")]),
        ("<opt:eta_noise_seed_delta:31337>a", "a", [("opt", "eta_noise_seed_delta:31337")]),
        ("<addnet_model_1:me(0123abcd)>a", "a", [("addnet_model_1", "me(0123abcd)")]),
        ("a <b <steps:3>", "a <b", [("steps", "3")]),
        ("<lora:a:1><hypernet:b:1><foo:1><my-ext:2>", "<lora:a:1><hypernet:b:1><foo:1><my-ext:2>", []),
        ("a , b  c", "a , b  c", []),
    ],
)
def test_read(text: str, left: str, tags: list[tuple[str, str]]) -> None:
    found = read(text)
    assert found.text == left
    assert [(tag.name, tag.value) for tag in found.tags] == tags
    assert [text[tag.start : tag.end] for tag in found.tags] == [tag.written for tag in found.tags]


def test_a_tag_without_an_end_is_text_and_is_told() -> None:
    found = read("a <steps:20")
    assert found.text == "a <steps:20" and not found.tags
    assert "no closing" in found.notes[0]


@pytest.mark.parametrize(
    ("tag", "meant"), [("cgf", "cfg"), ("stpes", "steps"), ("checkpont", "checkpoint"), ("heigth", "height")]
)
def test_near_misses_are_told(tag: str, meant: str) -> None:
    found = read(f"a <{tag}:7>")
    assert found.text == f"a <{tag}:7>"
    assert f"did you mean <{meant}:…>" in found.notes[0]


def test_tags_of_others_are_never_called_near_misses() -> None:
    assert read("<lora:a:1><foo:1><segment:face>").notes == ()
    assert read("<stepss:1>", foreign=frozenset({"stepss"})).notes == ()


def test_networks_are_all_tags_that_the_webui_reads() -> None:
    assert networks("a <lora:b:1> <hypernet:c:0.5:x> <d>") == ("<lora:b:1>", "<hypernet:c:0.5:x>")


PIECES = st.sampled_from(
    ["a", " ", ", ", "\n", "<steps:3>", "<lora:x:1>", "(", ")", ":1.2", '"', "<cfg:", ">", "[", "]", "<opt:a:b>"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_reading_again_finds_nothing_new(text: str) -> None:
    """What is left has none of our tags that were whole, and everybody else's tags are all there."""
    found = read(text)
    assert networks(found.text).count("<lora:x:1>") >= 0
    for tag in found.tags:
        assert tag.name in OURS
    if not found.tags:
        assert found.text == text
    outside = "".join(text[a:b] for a, b in gaps(text, found.tags))
    assert [c for c in found.text if c.isalpha()] == [c for c in outside if c.isalpha()]


def gaps(text: str, tags: tuple) -> list[tuple[int, int]]:  # type: ignore[type-arg]
    edges = [0, *(edge for tag in tags for edge in (tag.start, tag.end)), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_the_table_is_one_table() -> None:
    words = [word for row in KEYWORDS for word in (row.name, *row.aliases)]
    assert len(words) == len(set(words)) == len(BY_NAME)
    for row in KEYWORDS:
        assert row.help.endswith(".") and row.modes and row.range
        assert row.kind not in ("whole", "number", "size") or row.low < row.high
        assert (row.kind in ("name", "names")) == bool(row.of)
