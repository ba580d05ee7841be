"""What coverage-guided fuzzing and property tests have found, kept."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from lib_lora_train.prompt import Context, Expander, Limits, NotCountable, WildcardError, Wildcards, escape
from lib_lora_train.prompt.layout import format_template

from .conftest import LISTS


def test_the_count_of_a_self_multiplying_wildcard_ends() -> None:
    lists = {"bomb": ["__bomb2__ " * 4], "bomb2": ["__bomb3__ " * 4], "bomb3": ["{x|__bomb__}"]}
    begin = time.process_time()
    with pytest.raises(NotCountable, match="more than"):
        Expander(Context(Wildcards(values=lists))).count("__bomb__")
    assert time.process_time() - begin < 2


def test_counting_by_drawing_keeps_the_time_limit() -> None:
    expander = Expander(Context(Wildcards(values=LISTS), limits=Limits(seconds=0.05), lenient=True))
    with pytest.raises(NotCountable, match="more than"):
        expander.count("__hue__" * 3 + "__t(v9" + "__hue__" * 7 + "%d)__")


def test_combinations_end_when_every_branch_is_dead() -> None:
    limits = Limits(seconds=0.2)
    expander = Expander(Context(Wildcards(values={**LISTS, "self": ["__self__"]}, limits=limits), limits=limits))
    begin = time.monotonic()
    with pytest.raises(WildcardError, match="self → self"):
        next(expander.combinations("__hue__" * 14 + "__self__"))
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    "text", ["h\\/*f __open", "${v=o\x16ak///$$__hue__|g", "\\//", "/\\/*", "//\\\\{a|b}", "a\\\\"]
)
def test_slashes_and_backslashes_survive_escaping(text: str) -> None:
    assert Expander().draw(escape(text), 1).text == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (r"\___hue__", "_{}"),
        (r"\____hue__", "__{}"),
        (r"\_\___hue__", "__{}"),
        (r"\__hue__", "__hue__"),
        (r"\$${v:x}", "$x"),
        (r"\${v:x}", "${{v:x}}"),
        (r"\$$", "$$"),
    ],
)
def test_a_backslash_protects_one_mark(expander: Expander, template: str, text: str) -> None:
    assert expander.draw(template, 0).text == text.format(expander.draw("__hue__", 0).text)


def test_text_before_a_chosen_name_is_kept(expander: Expander) -> None:
    assert {prompt.text for prompt in expander.batch("a, __{hue|hue}__ b", range(30))} == {
        "a, teal b",
        "a, ochre b",
        "a, plum b",
    }


@pytest.mark.parametrize(
    "template",
    [
        "__a:b__{x|y}",
        "${v=${w=!${v=__hue__}[${v}${v}]}(${w}${w})}[${v}${v}]",
        "${v=!${w={a|b}}x}${w}${w}",
        "{a|${v=!{x|${w={1|2|3}}}}}${w:0}",
    ],
)
def test_assignments_inside_values_are_counted(expander: Expander, template: str) -> None:
    assert expander.count(template) == sum(1 for _ in islice(expander.combinations(template), 200))


def test_an_unknown_name_reads_the_same_after_formatting(expander: Expander) -> None:
    template = "__t(v=__tv=[a|b]__)__ __a_b__"
    written = format_template(expander.context.template(template))
    assert expander.draw(written, 1).text == expander.draw(template, 1).text == "__tv=[a|b]__ frame __a_b__"


@pytest.mark.parametrize("seed", range(8))
def test_what_is_drawn_anew_may_ask_for_fewer_options_each_time(expander: Expander, seed: int) -> None:
    """`~` draws its side again for each combination, and with it how many choices come before the others."""
    found = [prompt.text for prompt in islice(expander.combinations("{~|{!__hue__{|w}}}__hue____hue__", seed), 200)]
    assert 9 <= len(found) < 200
