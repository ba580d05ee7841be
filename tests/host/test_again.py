"""A6, Neo's faults 7 and 2: a picture whose text was pasted is drawn again, whatever the WebUI has left out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lib_lora_train.host import door, find
from lib_lora_train.host.again import again, parse
from lib_lora_train.ui import again_html
from tests.host.double import Double, webui

__all__ = ["webui"]
OTHER_PAGE = {
    "steps": 33,
    "cfg_scale": 1.0,
    "width": 128,
    "height": 128,
    "sampler_name": "Heun",
    "n_iter": 3,
    "seed": -1,
}


def given_again(webui: Double, text: str, **read: Any) -> dict[str, Any]:
    """The job's texts that the button puts into the page."""
    made = again(find(), text, read, False)
    assert made is not None and made.lacking == []
    return {"prompt": made.prompt, "negative_prompt": made.negative, "hr_prompt": made.hires}


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a {red|blue} cat <checkpoint:two> <clip_skip:4> <vae:kl.vae> <steps:5>"},
        {"prompt": "a cat,", "negative_prompt": "{dull|grey}"},
        {"prompt": ", a cat\\{x\\}, \\_\\_y\\_\\_ <lora:me:0.5> (big:1.2) \\(photo\\)", "cfg_scale": 7.5},
        {"prompt": "a flux cat\nin two lines <checkpoint:three_a>", "negative_prompt": "two\nlines"},
        {"prompt": "{a|b} cat", "hr_prompt": "a sharp {red|blue} cat", "enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.6},
    ],
)  # fmt: skip
def test_a6_the_same_picture_again_in_another_page(webui: Double, fields: dict[str, Any]) -> None:
    done = webui.make(**{"seed": 11, "width": 64, "height": 192, **fields})
    first = webui.rendered[0]
    webui.opts.data["sd_model_checkpoint"] = "three_b.safetensors"
    if webui.is_forge:
        webui.choose()
    webui.opts.data["CLIP_stop_at_last_layers"] = 7
    again_done = webui.make(**{**OTHER_PAGE, **given_again(webui, done.texts[0])})
    shot = webui.rendered[-1]
    empty = (None, "None", []) if not webui.is_forge else (None, [])
    assert {**shot, "vae": None if shot["vae"] in empty else shot["vae"]} == {**first, "vae": first["vae"] or None} | {
        name: shot[name] for name in ("hr_second_pass_steps", "tiling")
    }
    assert len(again_done.images) == 1 and again_done.all_seeds == [11]
    assert (
        webui.options["sd_model_checkpoint"] == "three_b.safetensors" and webui.options["CLIP_stop_at_last_layers"] == 7
    )


def test_neo_7_what_was_not_taken_over_is_said(webui: Double) -> None:
    text = webui.make(prompt="a cat <checkpoint:two> <clip_skip:4>").texts[0]
    webui.opts.data["disable_weights_auto_swap"] = True
    made = again(find(), text, {"Clip skip": "4"}, False)
    assert made is not None and made.dropped == ["checkpoint two"], "A1111 takes the clip skip"
    made = again(find(), text, {}, False)
    assert made is not None and made.dropped == ["checkpoint two", "clip skip 4"], "Neo takes neither"
    webui.opts.data["disable_weights_auto_swap"] = False
    made = again(find(), text, {"Clip skip": "4"}, False)
    assert made is not None and made.dropped == []


def test_a_texts_own_clip_skip_where_none_is_written(webui: Double) -> None:
    a1111 = "a cat\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64, Version: v1.10.1"
    assert "<clip_skip:1>" in given_again(webui, a1111)["prompt"]
    neo = "a cat\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64, Version: neo-2.26"
    assert "clip_skip" not in given_again(webui, neo)["prompt"], "Neo writes it for SD 1 always"


def test_what_cannot_be_set_here_is_said_and_the_rest_is_set(webui: Double) -> None:
    text = 'a cat\nSteps: 2, Sampler: Nowhere, Seed: 1, Size: 64x72, Model: "gone, but: quoted"'
    made = again(find(), text, {}, False)
    assert made is not None and "<width:64> <height:72>" in made.prompt and "<seed:1>" in made.prompt
    assert any("there is no sampler 'Nowhere'" in one for one in made.lacking)
    assert any("there is no checkpoint 'gone, but: quoted'" in one for one in made.lacking)


def test_text_encoders_that_no_keyword_sets_are_said(webui: Double) -> None:
    if not webui.is_forge:
        pytest.skip("A1111 has no such modules.")
    text = "a cat\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64, Module 1: kl.vae, Module 2: qwen3"
    made = again(find(), text, {}, False)
    assert made is not None and made.lacking == [
        "It was drawn with the text encoder qwen3: choose it in the page's VAE / Text Encoder."
    ]
    assert "<vae:kl.vae.pt>" in made.prompt


@pytest.mark.parametrize(
    "text",
    ["", "a cat", "a cat\nand: a, dog", "\n" * 5000, "Steps: 1, " * 20000, 'a\nSteps: 1, A: "\\', "x\nPrompt choices: [[1, 2, 3, Steps: 5, B: 3, C: 1"],
)  # fmt: skip
def test_any_text_is_read_without_a_fault(webui: Double, text: str) -> None:
    parse(text)
    again(find(), text, {}, True)


def test_a_strangers_text_sets_no_option_that_a_prompt_may_not_set(webui: Double) -> None:
    trace = '"{\\"set\\": {\\"opt:outdir_samples\\": \\"/tmp\\", \\"steps\\": \\"3><checkpoint:two\\", \\"x\\": 1}}"'
    made = again(find(), f"a cat\nSteps: 2, Sampler: Euler, Seed: 1, Prompt choices: {trace}", {}, False)
    assert made is not None and "outdir" not in made.prompt and "two" not in made.prompt and "<steps:2>" in made.prompt


def test_a_template_that_is_pasted_is_not_what_is_drawn_again(webui: Double) -> None:
    webui.opts.data["lora_loop_paste"] = "template"
    text = webui.make(prompt="a {red|blue|green} cat").texts[0]
    read = {"Prompt": text.split("\n")[0], "Prompt template": "a {red|blue|green} cat"}
    door.pasted(text, read)
    assert read["Prompt"] == "a {red|blue|green} cat"
    html = again_html.panel(False, read)
    drawn = re.search('data-prompt="([^"]*)"', html)[1]  # type: ignore[index]
    assert drawn.endswith(text.split("\n")[0]) and "Same picture again" in html


def test_styles_that_the_webui_took_out_are_not_put_in_twice(webui: Double) -> None:
    text = "a cat, noir\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64"
    made = again(find(), text, {"Prompt": "a cat", "Styles array": ["noir"]}, False)
    assert made is not None and made.prompt.endswith("\na cat")


def test_hostile_texts_become_no_markup(webui: Double) -> None:
    text = "<img src=x onerror=alert(1)>\"'\nSteps: 2, Sampler: <b>x</b>, Seed: 1, Model: <i>"
    parameters: dict[str, Any] = {}
    door.pasted(text, parameters)
    html = again_html.panel(False, parameters)
    assert not {"<img", "<b>", "<i>"} & set(re.findall("<[a-z]+>?", html))
    assert again_html.panel(False, {}) == "" and again_html.panel(False, {door.PICTURE: {"text": "", "read": {}}}) == ""
