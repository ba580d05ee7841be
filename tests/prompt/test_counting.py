"""Combinations: every one once, in order, lazily; and their number without drawing them."""

from __future__ import annotations

import time
from itertools import islice
from math import factorial
from pathlib import Path

import pytest

from lib_lora_train.prompt import Context, Expander, NotCountable, Wildcards

TEMPLATES = [
    "",
    "text",
    "{a|b} {c|d|e}",
    "{a|b|a|0::z}",
    "{a|{b|c}|{d|{e|f}}}",
    "{2$$a|b|c}",
    "{0-2$$a|b|{c|d}}",
    "{2-$$a|{b|c}|{d|e|f}|g}",
    "__hue__ __pal__",
    "{2$$__pal__}",
    "{1-3$$__hue__}",
    "__{hue|bird}__",
    "${k={hue|bird}}__${k}__",
    "${v={a|b}}${v} ${v}",
    "${v=!{a|b}}${v} ${v} {c|d}",
    "{x${v={a|b|c}}|y${v=1}} ${v} ${v}",
    "{x${v=!{a|b|c}}|y${v=1}} ${v} ${v}",
    "{${a=1}|${a={1|2}}}{${b=1}|}${a}${b:{3|4|5}}",
    "%{{a|b} ... {c|d}$${e|f}}",
    "__t(v={a|b})__ __t__",
    "{a|b} {~c|d|e}",
    "{@a|b|c} {@x|y}",
    "{@{a|b}|c}",
    "${v=a}${v+={b|c}}${v}",
    "{2$$__bird__|__bird__}",
    "__missing__ {a|b}",
    "{2$${a${v=1}|b}|c} ${v:0}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_count_is_the_number_of_prompts(expander: Expander, template: str) -> None:
    drawn = [prompt.text for prompt in islice(expander.combinations(template), 2000)]
    assert expander.count(template) == len(drawn) < 2000


def test_shared_variables_are_counted_across_templates(expander: Expander) -> None:
    templates = {"prompt": "{a${v={x|y}}|b${v=z}}", "negative_prompt": "${v} {1|2}"}
    drawn = list(expander.combinations(templates))
    assert expander.count(templates) == len(drawn) == 6
    assert drawn[0].texts == {"prompt": "a", "negative_prompt": "x 1"}


def test_last_choice_is_fastest(expander: Expander) -> None:
    assert [p.text for p in expander.combinations("{a|b} {2$$x|y|z}")][:4] == ["a x,y", "a x,z", "a y,x", "a y,z"]


def test_large_numbers_are_exact_and_quick(expander: Expander) -> None:
    begin = time.process_time()
    assert expander.count("{a|b|c|d|e|f|g|h|i|j}" * 30) == 10**30
    many = "|".join(f"o{i}" for i in range(2000))
    assert expander.count(f"{{2000$${many}}}") == factorial(2000)
    assert expander.count(f"{{3$${many}|{{a|b}}}}") == 2000 * 1999 * 1998 + 3 * 2 * 2000 * 1999
    first = list(islice(expander.combinations("{a|b|c|d|e|f|g|h|i|j}" * 30), 100))
    assert len({prompt.text for prompt in first}) == 100
    assert time.process_time() - begin < 3


def test_combinations_of_a_large_file_start_at_once(tmp_path: Path) -> None:
    lines = [f"value {i}" for i in range(150_000)] + ["{x|y}"]
    (tmp_path / "big.txt").write_text("\n".join(lines))
    expander = Expander(Context(Wildcards([tmp_path])))
    begin = time.process_time()
    assert [prompt.text for prompt in islice(expander.combinations("__big__ {a|b}"), 3)] == [
        "value 0 a",
        "value 0 b",
        "value 1 a",
    ]
    assert expander.count("__big__ {a|b}") == 2 * 150_002
    assert expander.count("{2$$__big__}") == 150_000 * 149_999 + 2 * 2 * 150_000
    assert time.process_time() - begin < 5


def test_what_cannot_be_counted_says_so(expander: Expander) -> None:
    many = "|".join(f"o{i}" for i in range(400))
    with pytest.raises(NotCountable, match="only drawing them"):
        expander.count(f"{{2$${many}|x${{v=1}}}}{{2$${many}}}")
