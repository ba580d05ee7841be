"""The pages behind the Train tab's first one, in a real browser, with both generations of gradio."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.dataset import caption_book
from tests.runs import draw_photo
from tests.ui.conftest import Served
from tests.ui.test_train_in_browser import fill, open_train

WAIT = 30_000
CAPTIONS = "#lora_loop_train_captions"
NOTICE = "#lora_loop_train_notice"


@pytest.fixture
def folder(served: Served, request: pytest.FixtureRequest) -> Path:
    """Sixty photos, three of them without caption."""
    made = served.data / f"pages-{re.sub(r'[^a-z0-9]+', '-', request.node.name)[-40:]}"
    made.mkdir()
    for number in range(60):
        draw_photo(made / f"{number:02}.png", number % 20)
        if number > 2:
            (made / f"{number:02}.txt").write_text(f"ohwx cat, {'hat' if number % 2 else 'dog'}, tag {number % 5}")
    return made


@pytest.fixture
def page(served: Served, visit: Callable[..., Any], folder: Path) -> Iterator[Any]:
    """The tab with that folder's captions."""
    found = visit(served)
    sizes: list[int] = []
    found.on("response", lambda answer: sizes.append(len(answer.body())) if "/run/" in answer.url else None)
    opened(found, folder)
    sizes.clear()
    yield found
    assert max(sizes, default=0) < 64_000, "a poll, or what a click brings"


def opened(page: Any, folder: Path) -> None:
    open_train(page)
    fill(page, "folder", str(folder))
    fill(page, "trigger", "ohwx")
    fill(page, "class_word", "cat")
    page.click("#lora_loop_train_check")
    page.wait_for_selector(".lora-loop-card", timeout=60_000)
    page.click("#lora_loop_train_captions_page >> text=Captions")
    page.wait_for_selector(f"{CAPTIONS} textarea", timeout=WAIT)


def box(name: str) -> str:
    return f"{CAPTIONS} textarea[data-photo='{name}.png']"


def about(page: Any, name: str) -> str:
    return str(page.inner_text(f"{CAPTIONS} li:has(textarea[data-photo='{name}.png']) .lora-loop-about"))


def wait_about(page: Any, name: str, words: str) -> None:
    page.wait_for_function(
        "([row, words]) => document.querySelector(row)?.closest('li').querySelector('.lora-loop-about').innerText.includes(words)",
        arg=[box(name), words],
        timeout=WAIT,
    )


def test_captions_are_written_where_they_stand(page: Any, folder: Path) -> None:
    assert "no caption" in about(page, "00") and "2 / 75" in about(page, "00")
    assert page.get_attribute(box("00"), "placeholder") == "ohwx cat"
    page.wait_for_selector("#lora_loop_train_thumbs style", state="attached", timeout=WAIT)
    style = (
        "getComputedStyle(document.querySelector('.lora-loop-thumb')).backgroundImage.startsWith('url(\"data:image')"
    )
    page.wait_for_function(style, timeout=WAIT)
    page.fill(box("00"), "ohwx cat, red scarf")
    page.press(box("00"), "Tab")
    page.keyboard.type("a dog")  # in the next one, while the first is being saved
    wait_about(page, "00", "saved")
    assert (folder / "00.txt").read_text() == "ohwx cat, red scarf" and "5 / 75" in about(page, "00")
    page.wait_for_timeout(2000)  # a poll
    assert page.input_value(box("01")) == "a dog", "nobody's typing is taken away"
    assert not (folder / "01.txt").exists(), "nor saved half"
    page.keyboard.press("Control+Enter")
    wait_about(page, "01", "no trigger")
    assert (folder / "01.txt").read_text() == "a dog"
    page.click("[data-act=captions_undo]")
    page.wait_for_function("box => document.querySelector(box)?.value === ''", arg=box("01"), timeout=WAIT)
    assert not (folder / "01.txt").exists() and (folder / "00.txt").exists()


def test_many_captions_are_changed_after_a_preview(page: Any, folder: Path) -> None:
    assert page.locator(f"{CAPTIONS} textarea").count() == 50
    page.click("[data-act=captions_page][data-place='1']")
    page.wait_for_selector(box("59"), timeout=WAIT)
    page.click("[data-act=captions_tag][data-tag=hat]")
    page.wait_for_function("document.querySelectorAll('.lora-loop-captions textarea').length === 29", timeout=WAIT)
    page.click("#lora_loop_train_change >> text=Change all that are shown")
    fill(page, "old", "hat")
    fill(page, "new", "cap")
    page.click("#lora_loop_train_see")
    page.wait_for_selector("[data-act=captions_do]", timeout=WAIT)
    assert "29 / 29" in page.inner_text("#lora_loop_train_preview")
    assert (folder / "03.txt").read_text() == "ohwx cat, hat, tag 3"
    page.click("[data-act=captions_do]")
    page.wait_for_function(f"document.querySelector('{NOTICE}').innerText.includes('29 captions are')", timeout=WAIT)
    assert (folder / "03.txt").read_text() == "ohwx cat, cap, tag 3"
    page.click("[data-act=captions_undo]")
    page.wait_for_function(f"document.querySelector('{NOTICE}').innerText.includes('as before')", timeout=WAIT)
    assert (folder / "03.txt").read_text() == "ohwx cat, hat, tag 3"
    page.click("[data-act=captions_all]")
    fill(page, "sought", "hat")
    page.check("#lora_loop_train_lacking input")
    page.wait_for_function(
        "document.querySelector('#lora_loop_train_tags').innerText.includes('31 / 60')", timeout=WAIT
    )


def test_sample_prompts_and_class_photos_are_explained(page: Any, served: Served, folder: Path) -> None:
    page.click("#lora_loop_train_samples_page >> text=Sample prompts")
    fill(page, "samples_prompts", "a [trigger] --w 320 --h 640 --d 3\nsea --q 5")
    page.wait_for_function(
        "document.querySelector('#lora_loop_train_prompts')?.innerText.includes('320 × 640')", timeout=WAIT
    )
    told = page.inner_text("#lora_loop_train_prompts")
    assert "a ohwx cat" in told and "--q is not a flag" in told
    page.click("#lora_loop_train_regular_page >> text=Regularisation")
    fill(page, "dataset_regularisation", str(served.data / "photos"))
    page.click("#lora_loop_train_count")
    page.wait_for_function(
        "document.querySelector('#lora_loop_train_regular')?.innerText.includes('5 class photos for 60 photos')",
        timeout=WAIT,
    )
    assert page.locator("#lora_loop_train_regular .lora-loop-card").count() == 5
    page.click("#lora_loop_train_regular [data-use]")
    assert page.input_value("#txt2img_prompt textarea").endswith("photo of a cat")


def a_job(home: Path) -> str:
    """A job that looks as if it had run for a thousand steps."""
    job = store.create(configs.from_values({"name": "curved", "trigger": "ohwx"}), home)
    with job.events.open("w") as stream:
        for step in range(1, 1001):
            event = {"kind": "step", "step": step, "epoch": 1 + (step - 1) // 100, "loss": 0.1 + step % 9 / 90}
            stream.write(json.dumps({**event, "average": 0.14, "lr": {"unet": 1e-4}, "seconds": 0.1}) + "\n")
    return job.folder.name


def shown(page: Any) -> list[int]:
    return list(json.loads(page.get_attribute("#lora_loop_train_charts figure >> nth=0", "data-curves"))["shown"])


def wait_shown(page: Any, sentence: str) -> list[int]:
    page.wait_for_function(
        f"(([first, last]) => {sentence})(JSON.parse(document.querySelector('#lora_loop_train_charts figure')?.dataset.curves || '{{\"shown\":[-1,-1]}}').shown)",
        timeout=WAIT,
    )
    return shown(page)


def test_curves_zoom_by_mouse_and_keyboard_and_each_page_has_its_own(served: Served, visit: Callable[..., Any]) -> None:
    name = a_job(served.data / "lora-loop")
    one, other = visit(served), visit(served)
    for page in (one, other):
        open_train(page)
        page.click(f"[data-act=open][data-job='{name}']", timeout=WAIT)
        page.wait_for_selector("#lora_loop_train_charts svg", timeout=WAIT)
    picture = one.locator("#lora_loop_train_charts svg").first
    picture.scroll_into_view_if_needed()
    place = picture.bounding_box()
    middle = place["y"] + place["height"] / 2
    one.mouse.move(place["x"] + place["width"] * 0.5, middle)
    told = one.inner_text("#lora_loop_train_charts output >> nth=0")
    assert "epoch 5" in told and "average 0.14" in told and "each step" in told
    one.mouse.down()
    one.mouse.move(place["x"] + place["width"] * 0.75, middle, steps=4)
    assert one.locator(".lora-loop-chosen").count() == 1
    one.mouse.up()
    first, last = wait_shown(one, "first > 400 && last < 800")
    assert one.locator(".lora-loop-chosen").count() == 0
    one.wait_for_timeout(2000)  # a poll
    assert shown(one) == [first, last] and shown(other)[1] == 1000
    one.locator("#lora_loop_train_charts svg").first.focus()
    one.keyboard.press("+")
    wait_shown(one, f"last - first < {0.6 * (last - first)}")
    closer = shown(one)
    assert one.evaluate("document.activeElement.tagName") == "svg", "the focus stays"
    one.keyboard.press("ArrowRight")
    wait_shown(one, f"first > {closer[0]}")
    one.keyboard.press("Shift+ArrowLeft")
    assert "step" in one.inner_text("#lora_loop_train_charts output >> nth=0")
    one.keyboard.press("0")
    wait_shown(one, "first < 10 && last === 1000")
    one.locator("#lora_loop_train_charts svg").first.focus()
    one.mouse.move(place["x"] + place["width"] * 0.5, middle)
    one.mouse.wheel(0, -300)
    wait_shown(one, "first > 50 && last < 980")
    one.mouse.dblclick(place["x"] + place["width"] * 0.5, middle)
    wait_shown(one, "first < 10 && last === 1000")


def test_s2_captions_of_a_shared_page_are_read_only(shared: Served, visit: Callable[..., Any]) -> None:
    folder = shared.data / "photos"
    (shared.data / "models").mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    draw_photo(folder / "0.png", 0)
    (folder / "0.txt").write_text("ohwx")
    (shared.data / "models" / "tiny.safetensors").write_bytes((Path(__file__).parents[2] / "lib_lora_train" / "demo" / "models" / "small.safetensors").read_bytes())  # fmt: skip
    page = visit(shared)
    open_train(page)
    page.click("#lora_loop_train_refresh")
    page.wait_for_timeout(800)
    page.click("#lora_loop_train_base input")
    page.fill("#lora_loop_train_base input", "tiny.safetensors")
    page.press("#lora_loop_train_base input", "Enter")
    opened(page, folder)
    assert page.get_attribute(box("0"), "readonly") is not None
    crafted = {"act": "caption", "photo": "0.png", "was": caption_book.stamp(b"ohwx"), "text": "mine"}
    page.evaluate("crafted => loraLoop.trainSend(crafted)", crafted)
    page.wait_for_function(
        f"document.querySelector('{NOTICE}')?.innerText.includes('--lora-loop-allow-remote')", timeout=WAIT
    )
    page.wait_for_timeout(500)
    assert (folder / "0.txt").read_text() == "ohwx"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_pages_are_no_wider_than_the_screen_and_everything_has_a_name(
    width: int, served: Served, visit: Callable[..., Any], folder: Path
) -> None:
    page = visit(served, width)
    opened(page, folder)
    for name, words in (("samples", "Sample prompts"), ("regular", "Regularisation"), ("change", "Change all that")):
        page.click(f"#lora_loop_train_{name + '_page' if name != 'change' else name} >> text={words}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = """() => [...document.querySelectorAll('#lora_loop_train_page :is(.lora-loop-captions, .lora-loop-tags, .lora-loop-pager) :is(button, textarea, [role=img])')]
        .filter((one) => !(one.getAttribute('aria-label') || one.innerText || '').trim()).length"""
    assert page.evaluate(nameless) == 0
