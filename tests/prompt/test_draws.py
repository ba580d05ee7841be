"""What a prompt depends on: seeds, places, held choices, shared variables."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from lib_lora_train.prompt import NEGATIVE, POSITIVE, Choice, Context, Expander, PromptError, Wildcards, held

GOLDEN = Path(__file__).with_name("golden.json")
LONG = "{red|3::blue|0.25::grey} __hue__, {2$$ and $$a|b|c|{d|e}}, __pal__, ${v=!{x|y|z}}${v}/${v}, %{in ... of$${gold|tin}}, <p|q>, {1-3$$__hue__}"


def texts(expander: Expander, template: str, number: int, start: int = 0) -> list[str]:
    return [prompt.text for prompt in expander.batch(template, range(start, start + number))]


def test_golden_file(expander: Expander) -> None:
    """The same text on every system and Python version. A change here changes everybody's prompts."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden["template"] == LONG
    assert texts(expander, LONG, 12) == golden["prompts"]
    assert [expander.draw(LONG, seed).text for seed in golden["far_seeds"]] == golden["far_prompts"]


def test_image_k_alone_is_image_k_of_the_batch(expander: Expander) -> None:
    batch = texts(expander, LONG, 20, 100)
    assert [expander.draw(LONG, 100 + k).text for k in reversed(range(20))] == batch[::-1]


def test_a_choice_elsewhere_does_not_reroll(expander: Expander) -> None:
    for seed in range(50):
        before = expander.draw("{a|b|c} __hue__ ${v=!{p|q}}${v} {d|e}", seed).text.split()
        grown = expander.draw("{a|b|c} __sky__ __hue__ ${w={1|2}}${v=!{p|q}}${v} {d|e} {new|one}", seed).text.split()
        assert [grown[0], *grown[2:5]] == before
        options = expander.draw("{a|b|c} {d|e}", seed).text.split()[1]
        assert expander.draw("{a|b|c|x|y {1|2}} {d|e}", seed).text.split()[-1] == options


def test_negative_and_hires_share_variables_and_nothing_else(expander: Expander) -> None:
    templates = {
        POSITIVE: "${v=!{x|y|z}}${w={1|2|3|4}}${v} {a|b|c|d}",
        NEGATIVE: "no ${v} {a|b|c|d}",
        "hr_prompt": "${v} ${w}",
    }
    apart = 0
    for prompt in expander.batch(templates, range(60)):
        positive, negative, hires = prompt.texts.values()
        assert negative.split()[1] == positive.split()[0] == hires.split()[0]
        apart += negative.split()[2] != positive.split()[1]
    assert 25 <= apart <= 58


def test_drawn_once_a_prompt_or_once_a_batch(expander: Expander) -> None:
    template = "${v=!{a|b|c|d}}${v} {a|b|c|d}"
    assert len({text.split()[0] for text in texts(expander, template, 30)}) == 4
    batch = [prompt.text for prompt in expander.batch(template, range(30), batch_seed=7)]
    assert len({text.split()[0] for text in batch}) == 1
    assert len({text.split()[1] for text in batch}) == 4
    assert expander.draw(template, 21, batch_seed=7).text == batch[21]


def test_replay_of_a_trace_survives_json_and_changed_files(tmp_path: Path) -> None:
    file = tmp_path / "hue.txt"
    file.write_text("teal\nochre {x|y}\nplum\n", encoding="utf-8")
    expander = Expander(Context(Wildcards([tmp_path])))
    template = "{a|3::b} __hue__ {2$$__hue__} {2$$a|b|{c|d}}"
    prompts = list(expander.batch(template, range(30)))
    stored = [
        [Choice.from_json(fields) for fields in json.loads(json.dumps(prompt.to_json()))["choices"]]
        for prompt in prompts
    ]
    file.write_text("white\nblack\n", encoding="utf-8")
    for prompt, choices in zip(prompts, stored, strict=True):
        assert expander.redraw(template, prompt, held(choices), seed=999).text == prompt.text
        assert expander.replay(template, prompt).text == prompt.text


def test_some_choices_held_and_the_rest_drawn_anew(expander: Expander) -> None:
    template = "{a|b|c|d} __hue__ {1|2|3|4|5|6}"
    first = expander.draw(template, 3)
    kept = [expander.redraw(template, first, held(first.choices, "hue"), seed).text.split() for seed in range(40)]
    assert {words[1] for words in kept} == {first.text.split()[1]}
    assert len({words[0] for words in kept}) == 4
    moved = "{new|d|c|b|a} __hue__ {1|2|3|4|5|6}"
    again = expander.redraw(moved, first, held(first.choices, "0"), 77)
    assert again.text.split()[0] == first.text.split()[0]
    gone = expander.redraw("{x|y} __hue__", first, held(first.choices, "0"), 77)
    assert any("no longer an option" in note for note in gone.notes)


def test_the_trace_says_what_was_drawn(expander: Expander) -> None:
    prompt = expander.draw("{a|3::b} __pal__", 3)
    first, second, *inner = prompt.choices
    assert (first.path, first.kind, first.size, first.start, first.end) == ("0", "variant", 2, 0, 8)
    assert first.odds == ((0.25,) if first.texts == ("a",) else (0.75,))
    assert (second.path, second.source, second.size) == ("pal", "pal", 3)
    assert all(choice.path.startswith("pal>") for choice in inner)
    json.dumps(prompt.to_json())


def test_unique_never_repeats_until_exhausted(expander: Expander) -> None:
    drawn = [prompt.text for prompt in expander.batch("{a|9::b}{c|d} {1|2|3|4}", range(32), unique=True)]
    assert len(set(drawn[:16])) == len(set(drawn[16:])) == 16


def test_cyclical_follows_the_place_in_the_batch(expander: Expander) -> None:
    assert texts(expander, "{@a|b|c}-{@x|y}", 6, 50) == ["a-x", "b-y", "c-x", "a-y", "b-x", "c-y"]
    assert expander.draw("{@a|b|c}", 5, position=4).text == "b"
    assert [prompt.text for prompt in islice(expander.cycle("__hue__ {x|y}"), 4)] == [
        "teal x",
        "ochre y",
        "plum x",
        "teal y",
    ]
    assert texts(expander, "{@{oak|elm}|ash}", 6) == ["oak", "ash", "elm", "ash", "oak", "ash"]


def test_linked_choices_and_scopes(expander: Expander) -> None:
    assert set(texts(expander, "{oak${v=big}|elm${v=small}} ${v}", 40)) == {"oak big", "elm small"}
    assert texts(expander, "${v=pine}__t__ __t(v=oak)__ ${v}", 1) == ["pine frame oak frame pine"]


def test_depth_is_bounded_by_the_limit_only() -> None:
    from lib_lora_train.prompt import Limits

    deep = Expander(Context(limits=Limits(depth=3000, template_bytes=10**6)))
    assert deep.draw("{" * 2500 + "x" + "}" * 2500, 1).text == "x"


def test_errors_show_the_place(expander: Expander) -> None:
    with pytest.raises(PromptError) as caught:
        expander.draw("first line\na {b|{c", 1)
    assert "line 2, column 3" in str(caught.value)
    assert str(caught.value).splitlines()[-1] == "    ^"
