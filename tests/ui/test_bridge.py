"""The preview's question is anybody's: what fits is answered, anything else gets a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.host.request import Request
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry
from lib_lora_train.keywords.check import Rules
from lib_lora_train.prompt import Wildcards
from lib_lora_train.ui import bridge, keyword_check

FIELDS = [True, "random", 0, 1, False, False]
QUESTION: dict[str, Any] = {
    "number": 4, "prompt": "a {b|c} __hue__", "negative": "", "seed": 7, "again": 1, "names": ["hue", "nope"],
    "preview": True, "still": False,
}  # fmt: skip


@pytest.fixture
def given(tmp_path: Path) -> bridge.Answering:
    (tmp_path / "hue.txt").write_text("teal\nochre\n", "utf-8")
    return bridge.Answering(Wildcards([tmp_path]))


def test_an_answer_has_the_rows_and_the_unknown_names(given: bridge.Answering) -> None:
    shown, reply = bridge.answer(json.dumps(QUESTION), FIELDS, 3, given)
    assert shown is not None
    assert shown.count("lora-loop-use") == 3
    assert json.loads(reply) == {"number": 4, "unknown": ["nope"]}


def test_out_of_sight_only_the_names_are_looked_up(given: bridge.Answering) -> None:
    shown, reply = bridge.answer(json.dumps({**QUESTION, "preview": False}), FIELDS, 3, given)
    assert shown is None
    assert json.loads(reply)["unknown"] == ["nope"]


def test_switched_off_says_so(given: bridge.Answering) -> None:
    shown, _ = bridge.answer(json.dumps(QUESTION), [False, *FIELDS[1:]], 3, given)
    assert shown is not None
    assert "Switched off" in shown


@pytest.mark.parametrize(
    ("seed", "still", "fields", "expected"),
    [
        (7, False, {}, [7, 8, 9]),
        (7, True, {}, [7, 7, 7]),
        (7, True, {"fixed_seed": True}, [7, 8, 9]),
        (7, False, {"fixed_seed": True}, [7, 8, 9]),
    ],
)
def test_seeds_are_those_that_generate_draws_from(
    seed: int, still: bool, fields: dict[str, bool], expected: list[int]
) -> None:
    question = bridge.Question.read(json.dumps({**QUESTION, "seed": seed, "still": still}))
    assert bridge.seeds(question, Request(**fields), 3) == expected


def test_unknown_seeds_give_examples_that_stay_until_asked_again() -> None:
    first, again, other, unlinked = (
        bridge.seeds(
            bridge.Question.read(json.dumps({**QUESTION, "seed": seed, "again": number})),
            Request(unlinked_seed=free),
            2,
        )
        for seed, number, free in ((-1, 1, False), (-1, 1, False), (-1, 2, False), (7, 1, True))
    )
    assert first == again == unlinked
    assert first != other


@pytest.mark.parametrize(
    "raw",
    [None, 5, [], {}, "", "null", "[]", "5", "{}", "{", "[" * 100_000, "x" * 700_000]
    + [json.dumps({**QUESTION, key: wrong}) for key, wrong in (
        ("prompt", 5), ("prompt", None), ("negative", []), ("seed", "7"), ("seed", True), ("seed", 1e300), ("seed", 2**70),
        ("names", "hue"), ("names", [5]), ("names", ["x" * 400]), ("preview", "yes"), ("still", 1), ("number", None),
    )],
)  # fmt: skip
def test_s1_a_crafted_question_gets_a_sentence(raw: object, given: bridge.Answering) -> None:
    shown, reply = bridge.answer(raw, FIELDS, 3, given)
    assert shown is not None
    assert "reload the page" in shown or "too long" in shown
    assert json.loads(reply)["unknown"] == []


@pytest.mark.parametrize(
    "values",
    [
        ["yes", "random", 0, 1, False, False],
        [True, "<b>", 0, 1, False, False],
        [True, "random", -1, 1, False, False],
        [True, "random", "9", 1, False, False],
        [{"enabled": True, "x": 1}],
    ],
)
def test_s1_crafted_fields_get_a_sentence(values: list[Any], given: bridge.Answering) -> None:
    shown, _ = bridge.answer(json.dumps(QUESTION), values, 3, given)
    assert shown is not None
    assert 'role="alert"' in shown
    assert "<b>'" not in shown


@pytest.mark.parametrize(
    ("count", "rows"), [(5, 5), (0, 1), (-9, 1), (10**9, bridge.MOST_ROWS), (2.7, 2), ("x", 1), (None, 1)]
)
def test_the_number_of_rows_is_bounded(count: object, rows: int, given: bridge.Answering) -> None:
    shown, _ = bridge.answer(json.dumps(QUESTION), FIELDS, count, given)
    assert shown is not None
    assert shown.count("lora-loop-use") == rows


@pytest.mark.parametrize("count", [float("nan"), float("inf")])
def test_a_number_of_rows_that_is_none_gets_an_answer(count: float, given: bridge.Answering) -> None:
    shown, _ = bridge.answer(json.dumps(QUESTION), FIELDS, count, given)
    assert shown is not None


def test_names_that_lead_out_of_the_roots_are_unknown(given: bridge.Answering) -> None:
    names = ["../../etc/passwd", "C:/x", "//host/s", "CON", "a\0b", "hue"]
    _, reply = bridge.answer(json.dumps({**QUESTION, "names": names}), FIELDS, 1, given)
    assert json.loads(reply)["unknown"] == names[:-1]


def test_keywords_are_checked_as_generate_checks_them() -> None:
    rules = Rules(Catalogue({CHECKPOINT: (Entry("narrow.safetensors"),)}), mode="hires")
    faults, notes = keyword_check.verdict(["a <steps:999999>", ""], rules)
    assert "out of range" in faults[0]
    assert notes == []
    faults, notes = keyword_check.verdict(["a <cgf:7> <width:513>", "<checkpoint:narrow>"], rules)
    assert faults == []
    assert any("did you mean" in note for note in notes)
    assert any("513 became 512" in note for note in notes)
    faults, _ = keyword_check.verdict(["a <checkpoint:narrow_c.safetensors>", ""], rules)
    assert "narrow.safetensors" in faults[0]
