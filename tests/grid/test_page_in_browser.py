"""The page in a real browser, opened from the disk: slider, keys, filters, flicker, zoom, stars, dark and narrow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grid.files import Painter
from tests.grid.pages import make_page


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid whose third epoch failed."""
    return make_page(tmp_path_factory.mktemp("browser"), Painter(["x-000003"])).folder / "index.html"


@pytest.fixture
def page(browser: Any, grid: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on(
        "request",
        lambda request: request.url.startswith(("file:", "blob:", "data:")) or opened.said.append(request.url),
    )
    opened.goto(grid.as_uri())
    yield opened
    assert opened.said == []
    context.close()


def shown(page: Any) -> list[str]:
    """The alternative texts of the pictures that can be seen."""
    return page.eval_on_selector_all("main img", "all => all.filter(one => one.offsetParent).map(one => one.alt)")


def test_the_slider_goes_through_the_epochs(page: Any) -> None:
    assert page.locator("#epoch-name").inner_text() == "epoch 3"
    assert page.locator("main .note.failed").count() == 4 and not shown(page)
    page.locator("#epoch").fill("0")
    assert page.locator("#epoch-name").inner_text() == "without the LoRA"
    assert shown(page)[0] == "without the LoRA, in its world, seed 1" and len(shown(page)) == 4
    page.locator("#epoch").fill("1")
    assert shown(page)[0] == "epoch 1 · weight 1, in its world, seed 1"
    loaded = page.eval_on_selector_all(
        "main img", "all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))"
    )
    assert loaded == [64] * 4


def test_the_keys_do_the_same(page: Any) -> None:
    page.keyboard.press("ArrowLeft")
    assert page.locator("#epoch-name").inner_text() == "epoch 2"
    page.keyboard.press("ArrowDown")
    assert shown(page)[0] == "epoch 2 · weight 0.5, in its world, seed 1"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#epoch-name").inner_text() == "epoch 3"
    page.keyboard.press("2")
    assert page.locator("thead th").all_inner_texts()[1:] == [
        "without the LoRA",
        "epoch 1\n40 steps",
        "epoch 2\n80 steps",
        "epoch 3\n120 steps",
    ]
    assert page.locator("tbody tr").count() == 8
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()


def test_filters_leave_what_is_wanted(page: Any) -> None:
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="style bleed").first.click()
    assert [text.split(", ")[1] for text in shown(page)] == ["in its world"] * 2
    page.get_by_role("button", name="seed 2", exact=True).click()
    assert shown(page) == ["epoch 2 · weight 1, in its world, seed 1"]
    page.get_by_role("button", name="in its world", exact=True).click()
    assert "the filters leave no picture" in page.locator("main").inner_text()
    page.reload()  # what was chosen survives
    assert "the filters leave no picture" in page.locator("main").inner_text()
    page.get_by_role("button", name="in its world", exact=True).click()
    assert shown(page) == ["epoch 2 · weight 1, in its world, seed 1"]


def test_flicker_shows_one_and_then_the_other_in_the_same_place(page: Any) -> None:
    page.keyboard.press("3")
    page.locator("#a").select_option(label="epoch 1 · weight 1")
    page.locator("#b").select_option(label="epoch 2 · weight 1")
    assert len(shown(page)) == 8
    page.locator("#main").focus()
    page.keyboard.press(" ")
    assert page.locator("#flicker").is_checked()
    first = shown(page)
    place = page.locator("main .cell:visible").first.bounding_box()
    page.wait_for_function(
        "before => document.querySelector('main img:not([hidden])') && [...document.querySelectorAll('main img')].find(one => one.offsetParent).alt !== before",
        arg=first[0],
    )
    second = shown(page)
    assert len(first) == len(second) == 4
    assert {text.split(" · ")[0] for text in (first[0], second[0])} == {"epoch 1", "epoch 2"}
    assert page.locator("main .cell:visible").first.bounding_box() == place
    page.keyboard.press(" ")
    assert len(shown(page)) == 8
    page.keyboard.press("x")
    assert page.locator("#a").evaluate("one => one.selectedOptions[0].text") == "epoch 2 · weight 1"


def test_a_picture_is_enlarged_with_its_text_and_the_arrows_go_on(page: Any) -> None:
    page.keyboard.press("ArrowLeft")
    page.locator("main .open").first.click()
    assert page.locator("#zoom-title").inner_text() == "epoch 2 · weight 1 · in its world · seed 1"
    assert "ohwx cat on a mat <lora:x-000002:1>" in page.locator("#zoom-text").inner_text()
    page.keyboard.press("ArrowLeft")
    assert "<lora:x-000001:1>" in page.locator("#zoom-text").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#zoom-text").inner_text().startswith("The memory does not suffice")
    page.keyboard.press("Escape")
    assert not page.locator("#zoom").is_visible()
    assert page.locator("#epoch-name").inner_text() == "epoch 2"


def test_stars_are_kept_and_exported(page: Any) -> None:
    page.keyboard.press("ArrowLeft")
    page.locator("main .open").nth(1).focus()
    page.keyboard.press("s")
    page.locator("main .star").nth(2).click()
    page.reload()
    assert page.locator('main .star[aria-pressed="true"]').count() == 2
    page.locator("#starred").check()
    assert len(shown(page)) == 2
    with page.expect_download() as waiting:
        page.locator("#export").click()
    starred = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))["starred"]
    assert [(one["epoch"], one["weight"], one["seed"]) for one in starred] == [("epoch 2", 1, 2), ("epoch 2", 1, 1)]
    assert starred[0]["lora"] == "x-000002" and starred[0]["prompt"] == "ohwx cat on a mat"


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 360)])
def test_dark_and_narrow(browser: Any, grid: Path, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(grid.as_uri())
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(22, 23, 27)") == (scheme == "dark")
    for key in "123":
        opened.keyboard.press(key)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.keyboard.press("t")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != paper
    context.close()


def test_an_address_that_was_tampered_with_does_no_harm(browser: Any, grid: Path) -> None:
    context = browser.new_context()
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    for address in (
        '{"mode":"constructor","at":99,"a":-1,"noPrompts":{"x":1}}',
        "%%%",
        '{"at":"1","weight":1.5,"rate":"x"}',
        "[]",
        "null",
    ):
        opened.goto("about:blank")
        opened.goto(f"{grid.as_uri()}#{address}")
        assert opened.locator("#epoch-name").inner_text() == "epoch 3"
    assert faults == []
    context.close()
