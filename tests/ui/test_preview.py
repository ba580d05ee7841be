"""The preview: what is drawn is what an image would get, faults are shown, and it is bounded."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lib_lora_train.prompt import Context, Expander, PromptError, Wildcards
from lib_lora_train.ui import marks
from lib_lora_train.ui.choices import MOST_SITES, MOST_VALUES, sites, unknown
from lib_lora_train.ui.preview import MOST_ROWS, Asked, look
from lib_lora_train.ui.preview_html import percent, render

CASES = json.loads((Path(__file__).parents[1] / "prompt" / "cases.json").read_text("utf-8"))
TEMPLATES = [case["template"] for case in (CASES["cases"] if isinstance(CASES, dict) else CASES)]


OWN_TAGS = set(
    [
        "div",
        "p",
        "b",
        "span",
        "ol",
        "li",
        "mark",
        "i",
        "button",
        "details",
        "summary",
        "section",
        "h5",
        "code",
        "small",
        "ul",
        "pre",
    ]
)


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.words += [value or "" for name, value in attrs if name in ("title", "data-prompt")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def wildcards(tmp_path: Path) -> Wildcards:
    (tmp_path / "hue.txt").write_text("teal\n3::ochre\n", "utf-8")
    (tmp_path / "bird.txt").write_text("\n".join(f"bird {n}" for n in range(50)), "utf-8")
    (tmp_path / "evil.txt").write_text("<script>alert(1)</script>\n", "utf-8")
    return Wildcards([tmp_path])


@pytest.mark.parametrize("template", [t for t in TEMPLATES if isinstance(t, str)])
def test_marks_do_not_change_what_is_drawn(template: str, wildcards: Wildcards) -> None:
    for seed in range(3):
        drawn = []
        for context in (Context(wildcards), marks.MarkingContext(wildcards)):
            try:
                drawn.append(marks.plain(Expander(context).draw(template, seed).text))
            except PromptError as error:
                drawn.append(error.reason)
        assert drawn[0] == drawn[1]


def test_the_drawn_parts_carry_their_source(wildcards: Wildcards) -> None:
    context = marks.MarkingContext(wildcards)
    source = "a {red|blue} ${x=cat}__hue__ ${x}!"
    found = marks.parts(Expander(context).draw(source, 3).text, context.template(source))
    assert [part.source for part in found if part.source] == ["{red|blue}", "__hue__", "${x}"]
    assert "".join(part.text for part in found) == Expander(Context(wildcards)).draw(source, 3).text


@pytest.mark.parametrize("mode", ["random", "cyclical"])
def test_the_rows_are_the_prompts_of_the_images(mode: str, wildcards: Wildcards) -> None:
    asked = Asked("a {red|3::blue|green} __bird__ ${x={p|q}}", "${x} {bad|worse}", range(70, 78), mode)
    rows = look(asked, wildcards).rows
    expander = Expander(Context(wildcards))
    for place, row in enumerate(rows):
        sampler = "@" if mode == "cyclical" else "~"
        same = expander.draw(
            {"prompt": asked.prompt, "negative_prompt": asked.negative}, 70 + place, place, mode=sampler
        )
        assert (row.seed, row.text, row.negative_text) == (70 + place, *same.texts.values())


def test_combinations_come_in_order_and_are_counted(wildcards: Wildcards) -> None:
    found = look(Asked("{a|b} {c|d|e}", "", range(20), "combinatorial", limit=4, repeats=3), wildcards)
    assert [row.text for row in found.rows] == ["a c", "a d", "a e", "b c"]
    assert (found.combinations, found.images) == (6, 12)


def test_too_many_combinations_are_announced(wildcards: Wildcards) -> None:
    found = look(Asked("{a|b|c}{d|e|f}", "", range(3), "combinatorial", most=8), wildcards)
    assert found.images == 9
    assert any("Most images" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("prompt", "negative", "where", "reason"),
    [
        ("fine\n{a|b", "", "prompt, line 2, column 1", "never closed"),
        ("fine", "{x", "negative prompt, line 1, column 1", "never closed"),
        ("${v}", "", "prompt, line 1, column 1", "not set"),
        ("{-1::a|b}", "", "prompt, line 1, column 2", "negative"),
    ],
)
def test_a_fault_is_shown_with_its_place(
    prompt: str, negative: str, where: str, reason: str, wildcards: Wildcards
) -> None:
    trouble = look(Asked(prompt, negative, range(3)), wildcards).trouble
    assert trouble is not None
    assert trouble.where == where
    assert reason in trouble.reason
    assert trouble.picture.endswith("^")


def test_unknown_wildcards_are_named_once_each(wildcards: Wildcards) -> None:
    context = Context(wildcards)
    found = unknown(context.template("__nope__ {a|__nope__} __hu__ __hue__"), wildcards)
    assert [one.name for one in found] == ["nope", "hu"]
    assert "'hue'" in found[1].reason
    html = render(look(Asked("__nope__", "", range(2)), wildcards))
    assert 'data-unknown="[&quot;nope&quot;]"' in html


def test_odds_are_exact_and_bounded(wildcards: Wildcards) -> None:
    context = Context(wildcards)
    variant, wild, pool, many = sites(context.template("{a|3::b} __hue__ {2$$__bird__} {1-2$$x|y|z}"), wildcards)
    assert variant.values == (("b", 0.75), ("a", 0.25))
    assert wild.values == (("ochre", 0.75), ("teal", 0.25))
    assert (pool.low, pool.high, pool.size, len(pool.values)) == (2, 2, 50, MOST_VALUES)
    assert (many.low, many.high, many.size) == (1, 2, 3)
    assert len(sites(context.template("{a|b}" * 500), wildcards)) == MOST_SITES


@pytest.mark.parametrize("template", ["__evil__", "<img src=x onerror=alert(1)>{a|b}", '{"\'><b>|"}', "__<b>__{a|b}"])
def test_everything_is_escaped(template: str, wildcards: Wildcards) -> None:
    seen = Seen()
    seen.feed(render(look(Asked(template, template, range(3)), wildcards)))
    assert seen.tags <= OWN_TAGS
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert template in "".join(seen.words) or "__evil__" in template


@pytest.mark.parametrize(
    "template",
    [
        "{" * 5000,
        "{a|b}" * 8000,
        "x" * 60_000,
        "__bird__" * 4000,
        "${a=${a}${a}}" * 900 + "${a}",
        "{9$$a|b|c|d|e|f|g|h|i}" * 400,
    ],
)
def test_a_large_template_is_bounded_in_size_and_says_so(template: str, wildcards: Wildcards) -> None:
    found = look(Asked(template, "", range(MOST_ROWS)), wildcards)
    assert found.rows or found.trouble
    assert len(render(found)) < 2_000_000
    assert len(found.rows) == MOST_ROWS or found.trouble or any("only" in warning for warning in found.warnings)


def test_a_count_that_takes_too_long_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_text("".join(f"line {n}\n" for n in range(400_000)), "utf-8")
    found = look(Asked("__big__ __big__", "", range(3)), Wildcards([tmp_path]))
    assert len(found.rows) == 3
    assert found.combinations is None
    assert "more combinations than can be counted" in render(found)


def test_percentages_read_well() -> None:
    assert [percent(share) for share in (1, 0.5, 0.123, 0.0512, 0.0004, 0.00001, 0)] == [
        "100 %", "50 %", "12 %", "5.1 %", "0.04 %", "< 0.01 %", "0 %",
    ]  # fmt: skip


def test_random_text_never_raises(wildcards: Wildcards) -> None:
    draw = random.Random(5)
    pieces = ["{", "}", "|", "__", "hue", "$$", "2", "::", "<", ">", "${", "x", "=", "\\", "%{", "\n", "#", "é", " "]
    for _ in range(400):
        text = "".join(draw.choices(pieces, k=draw.randrange(30)))
        found = look(Asked(text, text[::-1], range(2), draw.choice(("random", "combinatorial", "cyclical"))), wildcards)
        assert found.rows or found.trouble or found.combinations == 0
        render(found)
