"""Other extensions beside ours: what each picture says is what was rendered, and one extension draws a job's prompts.

Each test needs its extension in the WebUI and is skipped, with a word, where that is not installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.webui.client import SCRIPT, Made, Refused, WebUI, picture, same

TEMPLATE = "a photo of a {red|blue|green|pink} {dog|cat|robot}"
BESIDE = "lora_loop_dynamic_prompts"
SETTLED = 8_000
"""Milliseconds in which Forge's and Neo's presets set their fields."""
ARGUMENTS = ("is_enabled", "is_combinatorial", "combinatorial_batches", "is_magic_prompt", "is_feeling_lucky",
             "is_attention_grabber", "min_attention", "max_attention", "magic_prompt_length", "magic_temp_value",
             "use_fixed_seed", "unlink_seed_from_prompt", "disable_negative_prompt", "enable_jinja_templates",
             "no_image_generation", "max_generations")  # fmt: skip


@dataclass
class Beside:
    """A WebUI with Dynamic Prompts; `name` is what its API calls that script."""

    webui: WebUI
    name: str

    def make(self, mode: str = "txt2img", ticked: dict[str, Any] | None = None, **fields: Any) -> Made:
        """A job with something ticked in Dynamic Prompts' form; without `ticked` everything there is as installed."""
        if mode == "hires" and not self.webui.call("/sdapi/v1/latent-upscale-modes"):
            fields = {"hr_upscaler": "None", **fields}
        if ticked is None:
            return self.webui.make(mode, **fields)
        given = [True, False, 1, False, False, False, 1.1, 1.5, 100, 0.7, False, False, True, False, False, 0]
        for name, value in ticked.items():
            given[ARGUMENTS.index(name)] = value
        return self.webui.make(mode, alwayson_scripts={self.name: {"args": given}}, **fields)

    def alone(self, text: str, mode: str = "txt2img", **fields: Any) -> Made:
        """The picture of a text, made with both extensions switched off."""
        off = {self.name: {"args": [False]}, SCRIPT: {"args": [{"enabled": False}]}}
        return self.webui.from_text(text, mode, alwayson_scripts=off, **fields)


@pytest.fixture
def beside(webui: WebUI) -> Beside:
    name = webui.always_on("dynamic prompts")
    if not name:
        pytest.skip("Dynamic Prompts is not installed in this WebUI.")
    return Beside(webui, name)


def check(beside: Beside, made: Made, number: int, mode: str = "txt2img", first: int = 7, **fields: Any) -> None:
    """So many pictures, each with its own seed, text and choices, and again the same when rendered alone."""
    assert len(made.images) == len(made.texts) == number
    assert made.info["all_seeds"] == list(range(first, first + number))
    for image, text, seed in zip(made.images, made.texts, made.info["all_seeds"], strict=True):
        assert f"Seed: {seed}," in text and "{" not in text.partition("Prompt template")[0].partition("Steps:")[0]
        assert "Template:" not in text.replace("Prompt template:", ""), "nothing of the other extension is recorded"
        assert same(image, beside.alone(text, mode, **fields).images[0]), text
    assert any("Dynamic Prompts was switched off" in note for note in notes(made))


def notes(made: Made) -> list[str]:
    return made.info["extra_generation_params"].get("LoRA Loop notes", [])


def drawn_is_said(made: Made) -> None:
    """Every choice of the record stands in its picture's prompt."""
    for text, prompt in zip(made.texts, made.prompts, strict=True):
        for word in re.findall(r'"0[^"]*\\": \\"(\w+)\\"', text.partition("Prompt choices")[2]):
            assert word in text.partition("\nSteps:")[0], (word, prompt)


def test_each_image_has_its_own_prompt(beside: Beside) -> None:
    made = beside.make(prompt=TEMPLATE, n_iter=6, seed=900)
    check(beside, made, 6, first=900)
    drawn_is_said(made)
    assert made.prompts == beside.make(prompt=TEMPLATE, n_iter=6, seed=900, ticked={"is_enabled": False}).prompts
    assert len(set(made.prompts)) > 3


def test_batches(beside: Beside) -> None:
    made = beside.make(prompt=TEMPLATE, n_iter=3, batch_size=2)
    assert len(set(made.prompts)) > 2
    check(beside, made, 6)


@pytest.mark.parametrize("mode", ["txt2img", "img2img", "hires"])
def test_parts(beside: Beside, mode: str) -> None:
    made = beside.make(mode, prompt=f"{TEMPLATE} <steps:{{2|3}}>", n_iter=2, batch_size=2)
    check(beside, made, 4, mode)
    drawn_is_said(made)
    assert len({re.search(r"Steps: (\d)", text)[1] for text in made.texts}) == 2  # type: ignore[index]


@pytest.mark.parametrize("mode", ["img2img", "hires"])
def test_modes(beside: Beside, mode: str) -> None:
    made = beside.make(mode, prompt=TEMPLATE, n_iter=3)
    check(beside, made, 3, mode)
    assert len(set(made.prompts)) > 1


def test_hires_prompts(beside: Beside) -> None:
    made = beside.make("hires", prompt="a {red|blue|green} cat", hr_prompt="a {sharp|soft|grey} cat", n_iter=3)
    check(beside, made, 3, "hires")
    assert all(re.search(r"Hires prompt: a (sharp|soft|grey) cat", text) for text in made.texts)


def test_negative_alone(beside: Beside) -> None:
    made = beside.make(prompt="a cat", negative_prompt="{ugly|blurry|grey|dark}", n_iter=4)
    check(beside, made, 4)
    assert len({re.search(r"Negative prompt: (\w+)", text)[1] for text in made.texts}) > 1  # type: ignore[index]


@pytest.fixture
def style(webui: WebUI) -> Iterator[str]:
    """A saved style with choices of its own, where the WebUI has one."""
    names = [one["name"] for one in webui.call("/sdapi/v1/prompt-styles") if "{" in (one["prompt"] or "")]
    if not names:
        pytest.skip("The WebUI has no saved style with choices in braces.")
    yield names[0]


def test_styles(beside: Beside, style: str) -> None:
    made = beside.make(prompt="a cat", styles=[style], n_iter=4)
    check(beside, made, 4)
    assert len(set(made.prompts)) > 1


def test_our_combinatorial_mode(beside: Beside) -> None:
    made = beside.make(prompt="{red|blue} {dog|cat}", request={"mode": "combinatorial"})
    check(beside, made, 4)
    assert made.prompts == ["red dog", "red cat", "blue dog", "blue cat"]


def test_what_is_ticked_in_its_form_counts(beside: Beside) -> None:
    ticked = {"is_combinatorial": True}
    assert sorted(beside.make(prompt="{red|blue} {dog|cat}", ticked=ticked).prompts) == [
        "blue cat", "blue dog", "red cat", "red dog",
    ]  # fmt: skip
    few = beside.make(
        prompt="{red|blue} {dog|cat}", ticked={**ticked, "max_generations": 2, "combinatorial_batches": 2}
    )
    assert len(few.images) == 4 and len(set(few.prompts)) == 2
    fixed = beside.make(prompt=TEMPLATE, n_iter=4, ticked={"use_fixed_seed": True})
    assert fixed.info["all_seeds"] == [7] * 4 and len(set(fixed.prompts)) > 1


def test_what_only_it_can_do_is_left_to_it(beside: Beside) -> None:
    jinja = "a {{ ['red', 'blue'] | first }} cat"
    left = beside.make(prompt=jinja, n_iter=2, ticked={"enable_jinja_templates": True})
    assert left.prompts == ["a red cat"] * 2 and "Prompt choices" not in left.texts[0]
    assert any("'Enable Jinja2 templates' is on" in note for note in notes(left))
    with pytest.raises(Refused, match=r"'Enable Jinja2 templates'.*<steps:3>"):
        beside.make(prompt="a cat <steps:3>", ticked={"enable_jinja_templates": True})


def test_stepping_back(beside: Beside) -> None:
    before = beside.webui.options().get(BESIDE, "take over")
    beside.webui.call("/sdapi/v1/options", {BESIDE: "step back"})
    try:
        made = beside.make(prompt=TEMPLATE, n_iter=3)
    finally:
        beside.webui.call("/sdapi/v1/options", {BESIDE: before})
    assert len(made.images) == 3 and all("Prompt choices" not in text and "{" not in text for text in made.texts)
    assert any("LoRA Loop has stepped back" in note for note in notes(made))


def test_with_ours_off_it_works_as_ever(beside: Beside) -> None:
    made = beside.make(prompt="{red|blue} {dog|cat}", ticked={"is_combinatorial": True}, request={"enabled": False})
    assert sorted(made.prompts) == ["blue cat", "blue dog", "red cat", "red dog"]


def test_plain_jobs_are_left_alone(beside: Beside) -> None:
    made = beside.make(prompt="a cat", n_iter=2)
    assert made.prompts == ["a cat"] * 2 and notes(made) == []


def test_the_accordion_says_so(beside: Beside) -> None:
    page = json.dumps(beside.webui.call("/config"))
    assert page.count("Dynamic Prompts is here too.") == 2, "in txt2img and in img2img"


def test_regional_prompter_is_followed(webui: WebUI) -> None:
    """It makes the regions out of the drawn text, and a picture says so; made again with it, it is the same."""
    name = webui.always_on("regional prompter")
    if not name:
        pytest.skip("Regional Prompter is not installed in this WebUI.")
    info = next(one for one in webui.call("/sdapi/v1/script-info") if one["name"] == name and not one["is_img2img"])
    given = [argument.get("value") for argument in info["args"]]
    given[0] = True
    scripts = {name: {"args": given}}
    made = webui.make(prompt="a {red|blue} cat ADDCOL a {green|pink} dog", n_iter=3, alwayson_scripts=scripts)
    assert len(made.images) == 3 and all("{" not in prompt for prompt in made.prompts)
    assert all("Prompt changed by: Regional Prompter" in text for text in made.texts)
    assert sum("Regional Prompter changes the prompts" in note for note in notes(made)) == 1
    drawn_is_said(made)
    for image, prompt, seed in zip(made.images, made.prompts, made.info["all_seeds"], strict=True):
        off = {**scripts, SCRIPT: {"args": [{"enabled": False}]}}
        again = webui.make(prompt=prompt, seed=seed, alwayson_scripts=off)
        assert same(image, again.images[0])
    plain = webui.make(prompt="a {red|blue} cat", negative_prompt="grey", n_iter=2)
    assert all("Prompt changed by" not in text for text in plain.texts)


def test_pictures_to_begin_with(beside: Beside) -> None:
    start = [picture(64), picture(96)]
    made = beside.make("img2img", prompt=f"{TEMPLATE} <steps:{{3|4}}>", init_images=start, batch_size=2)
    assert len(made.images) == 2
    for number, (image, text) in enumerate(zip(made.images, made.texts, strict=True)):
        assert same(image, beside.alone(text, "img2img", init_images=[start[number]]).images[0])


def test_the_page(beside: Beside, browser: Any) -> None:
    """Generate in the page, with whatever other extensions have put into it, as installed."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1|localhost)"), lambda route: route.abort())
    page.goto(beside.webui.address, wait_until="domcontentloaded")
    page.wait_for_function(
        "document.querySelector('#txt2img_prompt textarea') && window.loraLoop && loraLoop.boxes.length >= 4"
    )
    page.wait_for_timeout(SETTLED)
    for name, value in (("width", "64"), ("height", "64"), ("steps", "2")):
        page.fill(f"#txt2img_{name} input[type=number]", value)
        page.press(f"#txt2img_{name} input[type=number]", "Tab")
    page.click("#lora_loop_txt2img_accordion .label-wrap")
    page.fill("#txt2img_prompt textarea", "a {red|red} cat, moody")
    page.wait_for_selector("#lora_loop_txt2img_beside:has-text('Dynamic Prompts is here too')")
    page.wait_for_selector("#lora_loop_txt2img_preview:has-text('a red cat, moody')")
    page.click("#txt2img_generate")
    page.wait_for_selector("#html_info_txt2img:has-text('Prompt choices')")
    said = page.inner_text("#html_info_txt2img")
    assert said.startswith("a red cat, moody") and "Prompt template: " in said
    assert page.locator("#txt2img_gallery img").count()
    page.close()
    assert not [error for error in thrown if "loraloop" in error.lower() or "lora_loop" in error.lower()], thrown
