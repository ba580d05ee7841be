"""The epoch grid's form in a running WebUI and a real browser: choose, see what it takes, draw, keep one, undo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.webui.client import WebUI
from tests.webui.conftest import ADDRESS
from tests.webui.test_epoch_grid import Files, trained

FORM = "#lora_loop_grid_txt2img_"
PATIENCE = 120_000
PICTURES = os.environ.get("LORA_LOOP_SCREENSHOTS", "")
"""A folder for pictures of the form; none are made without it."""


@pytest.fixture(scope="module")
def run(webui: WebUI) -> Iterator[Files]:
    with trained(webui, 3) as made:
        yield made


def opened(browser: Any, theme: str = "light") -> Any:
    """The page, ready; nothing is asked of other machines."""
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    page.set_default_timeout(PATIENCE)
    here = ADDRESS.split("/")[2]
    page.route(
        "**/*",
        lambda route: (
            route.continue_()
            if not route.request.url.startswith("http") or route.request.url.split("/")[2] == here
            else route.abort()
        ),
    )
    page.goto(f"{ADDRESS}/?__theme={theme}", wait_until="domcontentloaded")
    page.wait_for_selector("#txt2img_prompt textarea")
    page.wait_for_function("window.loraLoop && loraLoop.boxes && loraLoop.boxes.length > 1")
    page.wait_for_timeout(2000)  # the WebUI's own scripts settle
    return page


def fill(page: Any, selector: str, text: str) -> None:
    page.fill(f"{selector} input[type=number], {selector} textarea, {selector} input:not([type=range])", text)
    page.keyboard.press("Tab")


def choose(page: Any, name: str, text: str) -> None:
    """An entry of one of the form's lists."""
    page.click(f"{FORM}{name} input")
    page.click(f"{FORM}{name} ul li:has-text('{text}')")


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_choose_draw_keep_and_undo(webui: WebUI, run: Files, browser: Any, theme: str) -> None:
    before = {path.name: path.read_bytes() for path in run.folder.glob(f"{run.name}*")}
    page = opened(browser, theme)
    page.fill("#txt2img_prompt textarea", "a cat on a mat")
    for name, value in (("width", "64"), ("height", "64"), ("steps", "2")):
        page.fill(f"#txt2img_{name} input[type=number]", value)
        page.keyboard.press("Tab")
    page.click("#script_list input")
    page.click("text=LoRA Loop epoch grid")
    page.wait_for_selector(f"{FORM}run", state="visible")
    page.click(f"{FORM}refresh")
    page.wait_for_timeout(1000)
    choose(page, "run", run.name)
    fill(page, f"{FORM}weights", "0.5,1")
    page.wait_for_function(f"document.querySelector('{FORM}overview dd')?.innerText === '7'")
    assert page.locator(f"{FORM}overview .lora-loop-chips > li").count() == 3
    page.click("#txt2img_generate")
    page.wait_for_function("document.querySelector('#html_info_txt2img').innerText.includes('the page is')")
    said = page.inner_text("#html_info_txt2img").split("the page is ")[1].split("\n")[0].strip()
    assert Path(said).is_file() and page.locator("#txt2img_gallery img").count() >= 1
    page.click(f"{FORM}refresh")
    page.wait_for_function(f"document.querySelector('{FORM}overview code')?.innerText === {said!r}")
    page.click(f"{FORM}keeping >> text=Keep this one >> nth=0")
    page.wait_for_selector(f"{FORM}epoch", state="visible")
    choose(page, "epoch", "epoch 2")
    fill(page, f"{FORM}weight", "0.5")
    page.click(f"{FORM}keep")
    page.wait_for_selector(f"{FORM}notice [role=status]")
    kept = f"{run.name}-kept"
    page.wait_for_function(
        f"document.querySelector('#txt2img_prompt textarea').value === 'ohwx, a cat on a mat <lora:{kept}:0.5>'"
    )
    picture(page, f"grid_{theme}")
    assert run.path(kept).read_bytes() == before[f"{run[2]}.safetensors"]
    assert run.path(kept).with_suffix(".png").is_file()
    assert kept in {one["name"] for one in webui.call("/sdapi/v1/loras")}
    page.click(f"{FORM}undo")
    page.wait_for_function(f"document.querySelector('{FORM}notice').innerText.includes('back where they were')")
    assert {path.name: path.read_bytes() for path in run.folder.glob(f"{run.name}*")} == before
    page.close()
