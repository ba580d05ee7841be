"""The WebUI's own page in a real browser: Generate Forever as people start it, and Reload UI."""

from __future__ import annotations

import io
import re
import socket
import statistics
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.webui.client import WebUI, encoded, same
from tests.webui.train_tab import PROMPT

ROUNDS = 200
WAIT = 120_000
SETTLE = 15_000
PRESETS = 8_000
"""Forge's and Neo's presets set fields some seconds after the page is there."""
AGAIN = "#lora_loop_txt2img_again"
READY = "document.querySelector('#txt2img_prompt textarea') && window.loraLoop && loraLoop.boxes.length >= 4"
WATCH = """() => {
  window.rounds = [];
  const info = document.querySelector('#html_info_txt2img');
  const note = () => {
    const seed = (info.innerText.match(/Seed: (\\d+)/) || [])[1];
    if (seed && seed !== window.lastSeed) { window.lastSeed = seed; window.rounds.push(info.innerText); }
  };
  new MutationObserver(note).observe(document.querySelector('#txt2img_results'), {childList: true, subtree: true, characterData: true});
}"""


@pytest.fixture
def page(webui: WebUI, browser: Any) -> Iterator[Any]:
    """The WebUI's page; what a script throws in it fails the test, requests to other machines are refused."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    thrown: list[str] = []
    opened.set_default_timeout(WAIT)
    opened.on("pageerror", lambda error: thrown.append(str(error)))
    sockets: list[Any] = []
    opened.on("websocket", lambda one: sockets.append(one))  # playwright wants a function
    opened.in_queue = lambda: any(not one.is_closed() for one in sockets)
    opened.route(re.compile(r"^https?://(?!127\.0\.0\.1|localhost)"), lambda route: route.abort())
    opened.goto(webui.address, wait_until="domcontentloaded")
    opened.wait_for_function(READY)
    yield opened
    quiet(opened)
    opened.close()
    assert not [error for error in thrown if "lora_loop" in error.lower() or "loraloop" in error.lower()], thrown


def quiet(page: Any) -> None:
    """Wait until no event of the page stands in the queue: A1111's gradio waits for ever for the event of a page that
    has gone, or of its own closing, so that the next Reload UI does not end."""
    still = 0
    for _ in range(WAIT // 250):
        still = 0 if page.in_queue() else still + 1
        if still == 8:
            return
        page.wait_for_timeout(250)
    raise AssertionError("the page's events stand in the WebUI's queue for two minutes")


def menu(page: Any, entry: str) -> None:
    """An entry of the context menu of the page's Generate or Interrupt button, whichever is to be seen."""
    button = "#txt2img_generate" if page.is_visible("#txt2img_generate") else "#txt2img_interrupt"
    page.dispatch_event(button, "contextmenu")
    page.click(f"#context-menu a:text-is('{entry}')")


def resident(webui: WebUI) -> int:
    """The WebUI's resident memory in MiB."""
    return round(webui.call("/sdapi/v1/memory")["ram"]["used"] / 2**20)


@pytest.mark.slow
def test_generate_forever_with_a_growing_template(webui: WebUI, page: Any, other_checkpoint: str) -> None:
    """The WebUI's own Generate forever: the prompt grows while it runs, checkpoints are kept for as many images as the
    setting says, each has its share, and memory stays flat.

    A1111 loads models in whichever thread a job got, and glibc keeps a pool of memory for each thread, so start it as its
    own webui.sh does, with TCMalloc, or with MALLOC_ARENA_MAX=2. The first quarter fills the caches."""
    pair = (webui.small_checkpoints()[0], other_checkpoint)
    before = webui.options()["sd_model_checkpoint"]
    for name, value in (("width", 64), ("height", 64), ("steps", 2)):
        page.fill(f"#txt2img_{name} input[type=number]", str(value))
        page.press(f"#txt2img_{name} input[type=number]", "Tab")
    page.evaluate(WATCH)
    memory: dict[int, int] = {}
    for words in range(2, ROUNDS // 10 + 2):
        template = "|".join(f"word{word}" for word in range(words))
        page.fill(PROMPT, f"a {{{template}}} cat <checkpoint:{{{'|'.join(pair)}}}>")
        if words == 2:
            menu(page, "Generate forever")
            page.wait_for_function("rounds.length >= 1")
            memory[0] = resident(webui)
        done = (words - 1) * 10
        page.wait_for_function(f"rounds.length >= {done}")
        memory[done] = resident(webui)
    menu(page, "Cancel generate forever")
    page.wait_for_function("!document.querySelector('#txt2img_interrupt').offsetParent")
    texts: list[str] = page.evaluate("rounds")[:ROUNDS]
    used = [re.search(r"Model: ([^,]+)", text)[1] for text in texts]  # type: ignore[index]
    drawn = Counter(re.search(r"a (word\d+) cat", text)[1] for text in texts)  # type: ignore[index]
    changes = sum(one != two for one, two in pairwise(used))
    print(f"{changes} switches, {Counter(used)}, {len(drawn)} prompts, memory {memory} MiB")
    assert len(texts) == ROUNDS and all("<checkpoint" not in text.split("Steps:")[0] for text in texts)
    assert changes <= ROUNDS / int(webui.options().get("lora_loop_keep_images", 8))
    assert min(Counter(used).values()) >= ROUNDS // 8 and len(set(used)) == 2 and len(drawn) >= 12
    settled = [used for at, used in memory.items() if at >= ROUNDS // 4]
    assert statistics.mean(settled[-5:]) - statistics.mean(settled[:5]) < 100, f"{memory}: is TCMalloc in use?"
    assert webui.options()["sd_model_checkpoint"] == before


@pytest.mark.parametrize("tags", ["<checkpoint:{other}> <clip_skip:3>", "<checkpoint:{other}> <cfg:7> {flux|flux}"])
def test_a6_the_same_picture_again_from_a_pasted_text(
    webui: WebUI, page: Any, other_checkpoint: str, tags: str
) -> None:
    """The WebUI's own paste button, then ours: bit for bit, whatever the WebUI leaves out and the page says."""
    page.wait_for_timeout(PRESETS)  # Forge's page takes over the checkpoint that a job has at that moment
    made = webui.make(prompt=f"a {{red|blue}} cat {tags.replace('{other}', other_checkpoint)}", width=64, height=64)
    page.fill(PROMPT, made.texts[0])
    page.click("#txt2img_tools #paste, #paste")
    page.wait_for_selector(f"{AGAIN} button")
    said = page.inner_text(AGAIN)
    if webui.options().get("disable_weights_auto_swap"):
        assert f"checkpoint {other_checkpoint}" in said
    if webui.drops_when_pasting:
        assert "clip_skip" not in tags or "clip skip 3" in said
    if "<cfg:7>" in tags:
        assert float(page.input_value("#txt2img_cfg_scale input[type=number]")) == 7, "Neo takes flux for a Flux model"
    for name, value in (("steps", "9"), ("seed", "-1"), ("cfg_scale", "2"), ("batch_count", "2")):
        page.fill(f"#txt2img_{name} input[type=number]", value)
        page.press(f"#txt2img_{name} input[type=number]", "Tab")
    page.click(f"{AGAIN} button")
    assert f"<checkpoint:{other_checkpoint}" in page.input_value(PROMPT)
    page.click("#txt2img_generate")
    page.wait_for_function("document.querySelector('#html_info_txt2img').innerText.includes('Seed:')")
    page.wait_for_function("!document.querySelector('#txt2img_interrupt').offsetParent")
    shown = page.evaluate("[...document.querySelectorAll('#txt2img_gallery img')].map((one) => one.src)")
    again = Image.open(io.BytesIO(page.request.get(shown[0]).body())).convert("RGB")
    assert same(again, made.images[0].convert("RGB"))


def read(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


@pytest.mark.parametrize("seed", ["-1", "7"])
def test_batch_tab_of_img2img(webui: WebUI, page: Any, tmp_path: Path, seed: str) -> None:
    """Each picture of a folder has its own prompt and settings, though the WebUI gives all of them one seed."""
    given, made = tmp_path / "given", tmp_path / "made"
    given.mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 90, 160)).save(given / f"{number}.png")
    page.evaluate("document.querySelectorAll('#tabs button')[1].click()")  # as the WebUI's own scripts do
    page.click("#mode_img2img button:text-is('Batch')")
    page.click("#img2img_batch_source button:text-is('From directory')")
    for name, folder in (("input", given), ("output", made)):
        page.fill(f"#img2img_batch_{name}_dir :is(textarea, input)", str(folder))
    for name, value in (("width", "64"), ("height", "64"), ("steps", "2"), ("seed", seed)):
        page.fill(f"#img2img_{name} input[type=number]", value)
        page.press(f"#img2img_{name} input[type=number]", "Tab")
    page.fill("#img2img_prompt textarea", "a {red|blue|green|grey|white|black} cat <steps:{3|4|5}>")
    page.click("#img2img_generate")
    for _ in range(WAIT // 500):
        page.wait_for_timeout(500)
        if made.is_dir() and len(list(made.iterdir())) == 6 and not page.is_visible("#img2img_interrupt"):
            break
    files = sorted(made.iterdir())
    pictures = [read(file) for file in files]
    texts = [picture.info["parameters"] for picture in pictures]
    assert len(texts) == 6 and len({text.split("\n")[0] for text in texts}) > 1, texts
    assert len({re.findall(r"Steps: (\d+)", text)[0] for text in texts}) > 1, texts
    seeds = {re.findall(r"Seed: (\d+)", text)[0] for text in texts}
    assert len(seeds) == 1 and (seed == "-1" or seeds == {seed})
    for number, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        begun = encoded(read(given / f"{number}.png"))
        again = webui.from_text(text, "img2img", init_images=[begun]).images[0]
        assert same(picture.convert("RGB"), again.convert("RGB")), text  # Forge's Batch tab saves with an alpha channel


def ours(webui: WebUI, page: Any) -> dict[str, int]:
    """How often each part of ours is there: what stands in the page, scripts, axes of the X/Y/Z plots."""
    parts = ("#lora_loop_txt2img_accordion", "#lora_loop_img2img_accordion", "#lora_loop_wildcards_page")
    found = {part: page.locator(part).count() for part in parts}
    tabs = page.locator("#tabs > .tab-nav > button, #tabs > .tab-wrapper button[role=tab]").all_inner_texts()
    found["tab"] = sum("wildcards" in tab.lower() for tab in tabs)
    scripts = webui.call("/sdapi/v1/script-info")
    for script in scripts:
        kind = f"{script['name']}, img2img {script['is_img2img']}"
        if script["name"].startswith("lora loop"):
            found[kind] = found.get(kind, 0) + 1
        for argument in script["args"]:
            if argument.get("label") in ("X type", "Y type", "Z type"):
                axes = Counter(str(choice) for choice in argument["choices"] if "[LoRA Loop]" in str(choice))
                found |= {f"{kind} {argument['label']} {axis}": number for axis, number in axes.items()}
    return found


def answers(address: str) -> bool:
    """Whether the WebUI's port is open. Nothing is asked of it."""
    place = urlsplit(address)
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex((place.hostname or "127.0.0.1", place.port or 80)) == 0


def until(page: Any, address: str, state: bool, said: str) -> None:
    for _ in range(WAIT // 100):
        if answers(address) is state:
            return
        page.wait_for_timeout(100)
    raise AssertionError(said)


def reload_ui(webui: WebUI, page: Any) -> None:
    """The page's own Reload UI, kept clear of two faults of A1111 1.10 that end it now and then, with this extension or
    without any: an event in the queue is waited for for ever (see `quiet`), and a request that comes before the new
    server has its API stops the WebUI ("Cannot add middleware after an application has started"); the waiting page
    itself asks twice a second. So the page is left until the new server had time to finish."""
    quiet(page)
    page.route("**/internal/ping", lambda route: route.abort())
    page.evaluate("window.isOld = true; document.querySelector('#settings_restart_gradio').click()")
    until(page, webui.address, False, "the WebUI did not close its server")
    page.goto("about:blank")
    until(page, webui.address, True, "the WebUI did not close its server's last connections, or did not start again")
    page.wait_for_timeout(SETTLE)
    page.unroute("**/internal/ping")
    page.goto(webui.address, wait_until="domcontentloaded")
    page.wait_for_function(f"!window.isOld && {READY}")


@pytest.mark.slow
def test_s10_reload_ui_doubles_nothing(webui: WebUI, page: Any) -> None:
    """Three times the page's own Reload UI."""
    first = ours(webui, page)
    assert set(first.values()) == {1} and any("[LoRA Loop]" in name for name in first)
    plain = webui.make(prompt="a {red|blue} cat <steps:3>").texts
    for _ in range(3):
        reload_ui(webui, page)
        assert ours(webui, page) == first
        assert webui.make(prompt="a {red|blue} cat <steps:3>").texts == plain
