"""Properties that hold for every template that can be made."""

from __future__ import annotations

from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.prompt import Context, Expander, PromptError, Wildcards, escape
from lib_lora_train.prompt.layout import format_template

from .conftest import LISTS

EXPANDER = Expander(Context(Wildcards(values=LISTS)))
LENIENT = Expander(Context(Wildcards(values=LISTS), lenient=True))

words = st.text(alphabet="ab :.,1-é", min_size=0, max_size=4)
marks = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "|",
            "::",
            "$$",
            "${",
            "=",
            "!",
            "%{",
            "__",
            "hue",
            "__hue__",
            "<",
            ">",
            "[",
            "]",
            "\\",
            "#",
            "//",
            "/*",
            "*/",
            "(",
            ")",
            "2",
            "-",
            "~",
            "@",
            " ",
            "\n",
            "x",
            "...",
        ]
    ),
    max_size=14,
).map("".join)
anything = st.text(max_size=30)


def variants(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    weight = st.sampled_from(["", "", "", "2::", "0.5::", "0::"])
    option = st.tuples(weight, inner).map("".join)
    head = st.sampled_from(["", "", "", "2$$", "1-2$$ and $$", "0-$$", "~", "2-$$$$"])
    # No two options alike: combinations merge them, while two of three may both be the same at random.
    options = st.lists(option, min_size=1, max_size=4, unique_by=lambda text: text.split("::")[-1].strip()).map(
        "|".join
    )
    return st.one_of(
        st.tuples(head, options).map(lambda parts: "{" + "".join(parts) + "}"),
        st.tuples(inner, inner).map(lambda parts: f"%{{{parts[0]} ... $${parts[1]}}}"),
        inner.map(lambda value: f"${{v={value}}}[${{v}}${{v}}]"),
        inner.map(lambda value: f"${{w=!{value}}}(${{w}}${{w}})"),
        inner.map(lambda value: f"__t(v={value})__"),
        st.lists(inner, max_size=3).map("".join),
    )


templates = st.recursive(
    st.one_of(words, st.sampled_from(["__hue__", "__pal__", "{2$$__bird__}", "<lora:x:1>", "[a|b]", "(x:1.2)"])),
    variants,
    max_leaves=8,
)


@given(anything | marks)
@settings(deadline=None)
def test_escaped_text_means_itself(text: str) -> None:
    assert EXPANDER.draw(escape(text), 1).text == text.replace("\r\n", "\n").replace("\r", "\n")


@given(marks | anything, st.integers(0, 2**64))
@settings(max_examples=300, deadline=None)
def test_anything_is_drawn_or_refused_with_a_sentence(template: str, seed: int) -> None:
    for expander in (EXPANDER, LENIENT):
        try:
            prompt = expander.draw(template, seed)
        except PromptError as error:
            assert len(str(error)) > 20
        else:
            assert expander.replay(template, prompt).text == prompt.text
            assert expander.draw(template, seed) == prompt


@given(templates, st.integers(0, 1000))
@settings(deadline=None)
def test_draws_are_among_the_combinations_and_counted(template: str, seed: int) -> None:
    try:
        prompts = [prompt.text for prompt in islice(EXPANDER.combinations(template), 400)]
    except PromptError:
        return
    if len(prompts) < 400 and "~" not in template:
        assert EXPANDER.count(template) == len(prompts)
        assert {prompt.text for prompt in EXPANDER.batch(template, range(seed, seed + 20))} <= set(prompts)


@given(templates, st.integers(0, 1000))
@settings(deadline=None)
def test_formatting_changes_nothing_that_is_drawn(template: str, seed: int) -> None:
    try:
        first = EXPANDER.draw(template, seed)
    except PromptError:
        return
    written = format_template(EXPANDER.context.template(template))
    assert EXPANDER.draw(written, seed).text == first.text
    assert format_template(EXPANDER.context.template(written)) == written


@given(templates, st.integers(0, 1000), st.integers(0, 1000))
@settings(deadline=None)
def test_a_held_trace_gives_the_same_prompt(template: str, seed: int, other: int) -> None:
    try:
        first = EXPANDER.draw(template, seed)
    except PromptError:
        return
    choices = {choice.path: choice for choice in first.choices}
    assert EXPANDER.redraw(template, first, choices, other).text == first.text
