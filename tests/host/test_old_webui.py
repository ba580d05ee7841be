"""F1: WebUIs that call no functions in a picture's text (A1111 before 1.9), or cannot write them (Forge Classic)."""

from __future__ import annotations

import json

import pytest

from lib_lora_train.host import find, infotext
from tests.host.double import Double, old_webui, webui

__all__ = ["old_webui", "webui"]
MIXED = "a {red|blue|green} cat <steps:{2|3}> <checkpoint:{one|two}>"


@pytest.mark.parametrize("prompt", ["a {red|blue|3::green} cat", MIXED])
def test_f1_the_answer_holds_no_function(webui: Double, prompt: str) -> None:
    done = webui.make(prompt=prompt, n_iter=3, batch_size=2)
    assert len(json.loads(done.js())["infotexts"]) == 6
    assert infotext.recorded(done.texts[5])["template"] == prompt


@pytest.mark.parametrize("prompt", ["a {red|blue|3::green} cat", MIXED, "a {red|blue} cat, {1|2|3}"])
def test_f1_every_picture_of_an_old_webui_says_what_was_drawn(old_webui: Double, prompt: str) -> None:
    assert not find().calls_functions
    done = old_webui.make(prompt=prompt, n_iter=3, batch_size=2)
    assert len(json.loads(done.js())["infotexts"]) == 6 and "function" not in str(done.texts)
    assert done.all_seeds == list(range(7, 13))
    for text, drawn in zip(done.texts, done.prompts, strict=True):
        said = infotext.recorded(text)
        assert said["template"] == prompt
        assert all(choice in drawn for choice in said["drawn"]["prompt"]["0"].split(", "))
    assert len(set(done.prompts)) > 1


def test_f1_hires_prompts_in_an_old_webui(old_webui: Double) -> None:
    done = old_webui.make(prompt="{1|2|3|4}", hr_prompt="{a|b|c|d}", enable_hr=True, n_iter=4)
    assert len(done.texts) == 4
    for shot, text in zip(old_webui.rendered, done.texts, strict=True):
        assert f"Hires prompt: {shot['hr_prompt']}" in text


def test_f1_the_grid_has_the_first_pictures_text(old_webui: Double) -> None:
    done = old_webui.make(prompt="a {red|blue|green|white} cat", n_iter=4)
    assert done.info == done.texts[0] == (old_webui.folder / "params.txt").read_text("utf-8")


def test_f1_a_plain_job_of_an_old_webui_is_left_alone(old_webui: Double) -> None:
    done = old_webui.make(prompt="a cat", n_iter=2)
    assert done.prompts == ["a cat"] * 2 and "Prompt" not in done.texts[0]
