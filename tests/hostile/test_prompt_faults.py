"""Rows P of the fault table: one test for each, named after it."""

from __future__ import annotations

import contextlib
import gc
import time
import unicodedata
from itertools import islice
from pathlib import Path

import pytest

from lib_lora_train.prompt import (
    Context,
    Expander,
    LimitReached,
    Limits,
    TemplateError,
    VariableError,
    WildcardError,
    Wildcards,
    escape,
)


def make(lenient: bool = False, limits: Limits | None = None, **lists: list[str]) -> Expander:
    limits = limits or Limits()
    return Expander(Context(Wildcards(values=lists, limits=limits), lenient=lenient, limits=limits))


def draws(template: str, number: int = 60, **lists: list[str]) -> set[str]:
    return {prompt.text for prompt in make(**lists).batch(template, range(number))}


def seconds(template: str, lenient: bool = True) -> float:
    """CPU seconds to read and draw, the best of three, without pauses for collecting garbage."""
    best = float("inf")
    gc.disable()
    try:
        for attempt in range(3):
            expander = make(lenient=lenient, limits=Limits(template_bytes=10**6, seconds=20 + attempt))
            begin = time.process_time()
            expander.draw(template, 1)
            best = min(best, time.process_time() - begin)
    finally:
        gc.enable()
    return best


def test_p1_empty_and_blank_prompts_come_back_unchanged() -> None:
    for text in ("", "   ", "\n\n", " \n "):
        prompt = make().draw(text, 1)
        assert (prompt.text, prompt.choices) == (text, ())


def test_p2_an_unclosed_brace_is_shown_or_taken_as_text() -> None:
    with pytest.raises(TemplateError) as caught:
        make().draw("an {a|b", 1)
    assert "line 1, column 4" in str(caught.value)
    assert "never closed" in str(caught.value)
    assert str(caught.value).endswith("\n  an {a|b\n     ^")
    prompt = make(lenient=True).draw("an {a|b", 1)
    assert prompt.text == "an {a|b"
    assert "never closed" in prompt.notes[0]


def test_p3_closing_marks_and_bars_alone_are_text() -> None:
    for text in ("a} b", "]", "|", "a | b", "> <", "::", "}}"):
        assert draws(text, 2) == {text}


def test_p4_an_empty_choice_is_a_value() -> None:
    assert draws("x{}y") == {"xy"}
    assert draws("x{|}y") == {"xy"}
    assert draws("x{a||b}y") == {"xay", "xy", "xby"}


@pytest.mark.parametrize("template", ["{" * 10_000, "{a|" * 10_000 + "}" * 10_000, "${a=" * 10_000, "%{" * 10_000])
def test_p5_ten_thousand_braces_are_refused_at_once(template: str) -> None:
    for lenient in (False, True):
        begin = time.process_time()
        with pytest.raises(LimitReached, match="64 deep"):
            make(lenient=lenient).draw(template, 1)
        assert time.process_time() - begin < 0.05


def test_p6_a_megabyte_is_refused_at_once() -> None:
    for text in ("a" * 2**20, "{a|b}" * 200_000):
        begin = time.process_time()
        with pytest.raises(LimitReached, match="65,536"):
            make().draw(text, 1)
        assert time.process_time() - begin < 0.05


HOSTILE = [
    "_ _ _ ", "${${${", "::::", "$$$$", "____", "__a(", "__a(b=", "<", "<a|", "[", "[|", "[<|", "[|]", ">", "]", "|", "\\", "\\\\{", "#", "# ",
    "/*", "//", "<lora:", "__a ", "{a|b}", "<a|b>", "__x__", "1-", "((", "a\n#", " \n ", "%", "$", "<1$$", "<1-2$$a", "${a}", "__[", "__(", "(,",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_p7_hostile_repetition_takes_linear_time(unit: str) -> None:
    def cost(size: int) -> float:
        template = unit * (size // len(unit))
        try:
            return seconds("${a=1}" + template)
        except LimitReached:
            return 0.0

    measured: list[tuple[float, float]] = []
    while len(measured) < 4:  # a busy machine can spoil one measurement, quadratic time spoils all
        measured.append((cost(16_000), cost(32_000)))
        if measured[-1][1] < 3 * measured[-1][0] + 0.01:
            return
    pytest.fail(f"{unit!r} takes more than three times as long for twice the text: {measured}")


@pytest.mark.parametrize(
    "inside", [" " * 20_000, "1" * 20_000, "-" * 20_000, "1" + " " * 20_000, "," * 20_000, "a" * 20_000]
)
@pytest.mark.parametrize(
    "around", ["{%s", "{%s|b}", "${%s", "${a%s", "__%s", "__a(%s", "__a(b%s", "<%s", "{a|%s", "\\%s", "#%s"]
)
def test_p7_long_runs_take_linear_time(around: str, inside: str) -> None:
    begin = time.process_time()
    with contextlib.suppress(LimitReached, VariableError):
        make(lenient=True).draw(around % inside, 1)
    assert time.process_time() - begin < 0.25


def test_p8_odd_weights() -> None:
    assert draws("{0::a|2::b}") == {"b"}
    prompt = make().draw("{0::a|0::b}", 1)
    assert draws("{0::a|0::b}") == {"a", "b"}
    assert any("all weights are 0" in note.lower() for note in prompt.notes)
    for weight, words in (
        ("-1", "negative"),
        ("-0.5", "negative"),
        ("1e400", "plain number"),
        ("nan", "plain number"),
        ("inf", "plain number"),
        ("1,5", "1.5 with a point"),
        ("9" * 400, "larger than"),
    ):
        with pytest.raises(TemplateError, match=words) as caught:
            make().draw(f"{{a|{weight}::b}}", 1)
        assert "column 4" in str(caught.value)
    assert draws("{0.0000001::a}") == {"a"}


def test_p9_more_picks_than_options_and_reversed_ranges() -> None:
    prompt = make().draw("{5$$a|b}", 1)
    assert prompt.text in ("a,b", "b,a")
    assert len([note for note in prompt.notes if "5 picks" in note]) == 1
    with pytest.raises(TemplateError, match="reversed"):
        make().draw("{3-1$$a|b|c}", 1)
    assert draws("{-2$$a|b}") == {"a", "b", "a,b", "b,a"}


def test_p10_a_thousand_million_picks_are_clamped_first() -> None:
    begin = time.process_time()
    assert draws("{1000000000$$a|b}", 5) <= {"a,b", "b,a"}
    assert draws("{" + "9" * 5000 + "$$a|b}", 5) <= {"a,b", "b,a"}
    assert make().count("{1000000000-2000000000$$a|b}") == 2
    assert time.process_time() - begin < 0.2


def test_p11_our_escapes_and_theirs() -> None:
    assert draws(r"\{ \} \_\_ \| \$ \% \# \< \>", 2) == {"{ } __ | $ % # < >"}
    assert draws(r"\( \) \[ \] \x \\", 2) == {r"\( \) \[ \] \x \\"}
    assert draws(r"{a\|b|c\}}") == {"a|b", "c}"}
    for text in (r"\{a|b}", "__x__ ${y} %{z}", "50% <a|b> # c", "\\\\", "/* a */ // b", "a_b_"):
        assert draws(escape(text), 2) == {text}


def test_p12_the_webuis_own_marks_pass_through() -> None:
    text = "[a:b:0.5] (x:1.2) AND y BREAK <lora:n:0.8> [p|q] ((z)) <hypernet:h_1:1>"
    assert draws(text, 2) == {text}
    assert draws("[{a|b}:c:0.{3|5}] (x:{1.1|1.2})") == {
        f"[{a}:c:0.{b}] (x:{c})" for a in "ab" for b in "35" for c in ("1.1", "1.2")
    }
    assert draws("<lora:{a|b}:0.8>") == {"<lora:a:0.8>", "<lora:b:0.8>"}


def test_p13_variables_before_they_are_set_twice_and_in_a_circle() -> None:
    with pytest.raises(VariableError) as caught:
        make().draw("x ${v} ${v=a}", 1)
    assert "column 3" in str(caught.value)
    assert "column 8" in str(caught.value)
    prompt = make().draw("${v=1}${v}${v=2}${v}", 1)
    assert prompt.text == "12"
    assert any("column 1" in note and "column 11" in note for note in prompt.notes)
    for template in ("${v=${v}}${v}", "${a=${b}}${b=${a}}${a}", "${v={x|${v}}}${v}${v}${v}${v}${v}${v}"):
        with pytest.raises(VariableError, match="refers to itself"):
            list(islice(make().batch(template, range(20)), 20))
    assert make().draw("${v=a}${v=!${v}b}${v}", 1).text == "ab"


def test_p14_a_million_million_combinations() -> None:
    template = "{a|b|c|d|e|f|g|h|i|j}" * 12
    begin = time.process_time()
    assert make().count(template) == 10**12
    assert [prompt.text for prompt in islice(make().combinations(template), 2)] == ["a" * 12, "a" * 11 + "b"]
    assert time.process_time() - begin < 0.2


def test_p15_the_same_text_everywhere(tmp_path: Path) -> None:
    """Golden prompts out of files; the larger golden file is in tests/prompt."""
    (tmp_path / "größe.txt").write_bytes("klein\r\n2::groß\r\n\r\n# x\r\nriesig".encode())
    expander = Expander(Context(Wildcards([tmp_path])))
    found = [prompt.text for prompt in expander.batch("ein {roter|blauer} __größe__r {2$$Hund|Kater|Igel}", range(6))]
    assert found == GOLDEN


GOLDEN = [
    "ein roter riesigr Hund,Igel",
    "ein blauer großr Kater,Igel",
    "ein roter großr Hund,Igel",
    "ein blauer großr Hund,Kater",
    "ein blauer großr Kater,Hund",
    "ein roter großr Hund,Igel",
]


def test_p16_image_i_depends_on_its_own_seed_only() -> None:
    template = "{a|b|c|d} ${v=!{p|q|r}}${v} {2$$x|y|z} __w__"
    lists = {"w": ["1", "3::2", "{3|4}"]}
    twelve = [prompt.text for prompt in make(**lists).batch(template, range(500, 512))]
    assert make(**lists).draw(template, 507).text == twelve[7]
    assert [prompt.text for prompt in make(**lists).batch(template, [511, 503])] == [twelve[11], twelve[3]]


def test_p17_negative_and_hires_share_named_variables() -> None:
    templates = {
        "prompt": "${k=!{oak|elm|ash}}${k} {a|b|c}",
        "negative_prompt": "no ${k} {a|b|c}",
        "hr_prompt": "${k}, fine",
    }
    prompts = list(make().batch(templates, range(60)))
    assert all(prompt.texts["negative_prompt"].split()[1] == prompt.text.split()[0] for prompt in prompts)
    assert all(prompt.texts["hr_prompt"] == f"{prompt.text.split()[0]}, fine" for prompt in prompts)
    assert any(prompt.texts["negative_prompt"].split()[2] != prompt.text.split()[1] for prompt in prompts)


def test_p18_odd_characters(tmp_path: Path) -> None:
    for text in (
        "a\0b",
        "\u202eabc\u202c",
        "zero\u200bwidth",
        "😀{🌙}",
        unicodedata.normalize("NFD", "é"),
        unicodedata.normalize("NFC", "é"),
    ):
        assert draws(text, 2) == {text.replace("{🌙}", "🌙")}
    assert draws("a\r\nb\rc", 2) == {"a\nb\nc"}
    (tmp_path / "w.txt").write_bytes("be\x07ll\x00 \u202ez\u200b\r\n".encode())
    assert Expander(Context(Wildcards([tmp_path]))).draw("__w__", 1).text == "bell \u202ez\u200b"


def test_p19_a_line_is_expanded_once_within_the_same_budget() -> None:
    assert draws("__a__", a=["{x|y} \\{z\\}"]) == {"x {z}", "y {z}"}
    with pytest.raises(LimitReached, match="expansions"):
        make(limits=Limits(expansions=5_000), a=["__b__ " * 50], b=["__c__ " * 50], c=["{x|y} " * 50]).draw("__a__", 1)
    with pytest.raises(WildcardError, match="a → b → a"):
        make(a=["__b__"], b=["__a__"]).draw("__a__", 1)


def test_p20_the_budget_names_the_chain() -> None:
    lists = {"a": ["__b__ " * 100], "b": ["__c__ " * 100], "c": ["{x|y} " * 100]}
    with pytest.raises(LimitReached, match=r"200,000 expansions .* a → b → c|2 seconds .* a → b → c"):
        make(**lists).draw("__a__", 1)
    with pytest.raises(LimitReached, match=r"0\.1 seconds"):
        make(limits=Limits(seconds=0.1, expansions=10**9), **lists).draw("__a__", 1)
    with pytest.raises(LimitReached, match="characters"):
        make(limits=Limits(output_characters=10_000), a=["x" * 1000 + " {p|q}"]).draw("__a__" * 1000, 1)
