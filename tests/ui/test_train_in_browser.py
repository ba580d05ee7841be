"""The Train tab in a real browser, with both generations of gradio and the real trainer: photos in, LoRA out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.train.job import Job
from tests.ui.conftest import ROOT, Served, python_with

WAIT = 15_000
TRAINED = 180_000


def open_train(page: Any) -> None:
    page.click("#tabs button:has-text('Train')")
    page.wait_for_selector("#lora_loop_train_check", timeout=WAIT)
    page.wait_for_function("document.querySelector('#lora_loop_train_queue')?.innerText.length > 3", timeout=WAIT)


def fill(page: Any, name: str, text: str) -> None:
    page.fill(f"#lora_loop_train_{name} :is(input, textarea)", text)


def choose_tiny(page: Any) -> None:
    """The preset of four steps."""
    page.click("#lora_loop_train_options >> text=All options")
    fill(page, "preset", "tiny")
    page.press("#lora_loop_train_preset input", "Enter")
    page.wait_for_function("loop => document.querySelector(loop)?.value === '4' ", arg=STEPS, timeout=WAIT)


STEPS = "#lora_loop_train_loop_steps textarea, #lora_loop_train_loop_steps input"


def answer(page: Any, name: str) -> None:
    choose_tiny(page)
    fill(page, "trigger", "ohwx")
    fill(page, "class_word", "cat")
    fill(page, "name", name)


def check(page: Any) -> None:
    from playwright.sync_api import TimeoutError as NothingCame

    page.click("#lora_loop_train_check")
    try:
        page.wait_for_selector("#lora_loop_train_start:visible", timeout=60_000)
    except NothingCame:
        pytest.fail(page.inner_text("#lora_loop_train_page")[:3000])


def drop(page: Any, photos: Path, *names: str, expected: int = 0) -> None:
    """Photos, until the page says what it took in."""
    page.set_input_files("#lora_loop_train_dropped input[type=file]", [str(photos / name) for name in names])
    page.wait_for_function(TAKEN, arg=expected or len(names))


TAKEN = "count => document.querySelector('#lora_loop_train_taken').innerText.startsWith(`${count} photos are in `)"
FOLDER = "#lora_loop_train_folder :is(textarea, input)"


def jobs(data: Path) -> list[Path]:
    return sorted((data / "lora-loop" / "jobs").glob("*"))


def test_photos_in_lora_out(served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_train(page)
    answer(page, "dropped-cat")
    drop(page, served.data / "photos", *(f"{n}.png" for n in range(5)), "broken.png")
    check(page)
    assert page.locator(".lora-loop-card").count() == 6
    assert page.locator(".lora-loop-card.lora-loop-is-error").count() == 1
    assert "4 steps" in page.inner_text("#lora_loop_train_sentence")
    page.click("#lora_loop_train_start")
    page.wait_for_selector(".lora-loop-pill.lora-loop-done", timeout=TRAINED)
    page.wait_for_selector("#lora_loop_train_charts svg .lora-loop-curve", timeout=WAIT)
    page.wait_for_selector("#lora_loop_train_samples img", timeout=WAIT)
    [folder] = [one for one in jobs(served.data) if one.name.endswith("dropped-cat")]
    lora = folder / "out" / "dropped-cat.safetensors"
    assert len(read_header(lora).tensors) > 10
    page.locator("#lora_loop_train_files [data-use]").first.click()
    assert page.input_value("#txt2img_prompt textarea").startswith("<lora:dropped-cat")
    assert page.input_value("#txt2img_prompt textarea").endswith(":1> ohwx cat")


def test_photos_arrive_while_the_page_goes_on_asking(served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_train(page)
    answer(page, "slow")
    held: list[Any] = []
    page.route(re.compile("/upload"), lambda route: held.append(route))  # playwright wants a function
    photos = served.data / "photos"
    page.set_input_files("#lora_loop_train_dropped input[type=file]", [str(photos / f"{n}.png") for n in range(3)])
    page.wait_for_selector("#lora_loop_train_dropped[aria-busy]")
    page.wait_for_timeout(4000)  # two questions of the page, whose answers must not end the upload
    page.click("#lora_loop_train_check")
    page.wait_for_function("document.querySelector('#lora_loop_train_page').innerText.includes('no photos yet')")
    page.unroute(re.compile("/upload"))
    held[0].continue_()
    page.wait_for_function(TAKEN, arg=3)
    assert page.locator("#lora_loop_train_dropped[aria-busy]").count() == 0
    page.evaluate(DROPPED, (photos / "3.png").read_bytes().hex())
    page.wait_for_function(TAKEN, arg=4)
    drop(page, photos, "0.png", expected=5)  # one that was chosen before
    check(page)
    assert Path(page.input_value(FOLDER)).name == "slow"
    assert page.locator(".lora-loop-card").count() == 5
    assert page.locator(".lora-loop-card.lora-loop-is-error").count() == 0


DROPPED = """hex => {
    const bytes = new Uint8Array(hex.match(/../g).map(pair => parseInt(pair, 16)));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], "dragged.png", {type: "image/png"}));
    const zone = document.querySelector("#lora_loop_train_dropped button");
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
}"""


def test_two_pages_see_the_same_and_one_run_starts(served: Served, visit: Callable[..., Any]) -> None:
    first, second = visit(served), visit(served)
    for page in (first, second):
        open_train(page)
        answer(page, "twice")
        fill(page, "folder", str(served.data / "photos"))
        check(page)
    for page in (first, second, first):
        page.evaluate("document.querySelector('#lora_loop_train_start')?.click()")
    for page in (first, second):
        page.wait_for_function(
            "document.querySelector('#lora_loop_train_head')?.innerText.includes('twice')", timeout=60_000
        )
    assert len([one for one in jobs(served.data) if "twice" in one.name]) == 1
    first.reload()
    first.wait_for_selector("#txt2img_prompt textarea")
    open_train(first)
    first.wait_for_function("document.querySelector('#lora_loop_train_jobs').innerText.includes('twice')", timeout=WAIT)
    first.wait_for_function(
        "document.querySelector('#lora_loop_train_jobs li').innerText.includes('done')", timeout=TRAINED
    )


def test_what_was_changed_after_the_check_is_checked_again(served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_train(page)
    answer(page, "changed")
    fill(page, "folder", str(served.data / "photos"))
    check(page)
    before = jobs(served.data)
    fill(page, "trigger", "sks")
    page.click("#lora_loop_train_start")
    page.wait_for_selector("#lora_loop_train_notice :text('Something was changed after the check')", timeout=60_000)
    assert page.locator(".lora-loop-card", has_text="sks cat").count() == 5
    assert jobs(served.data) == before
    page.click("#lora_loop_train_start")
    page.wait_for_function(
        "document.querySelector('#lora_loop_train_head')?.innerText.includes('changed')", timeout=60_000
    )
    [made] = set(jobs(served.data)) - set(before)
    assert Job(made).config().trigger == "sks"
    page.wait_for_selector(".lora-loop-pill.lora-loop-done", timeout=TRAINED)


def test_a_check_that_ends_after_a_start_does_not_cover_the_run(served: Served) -> None:
    done = subprocess.run(
        [str(python_with(served.version)), "-c", LATE, str(ROOT), str(served.data)], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == ["shown: 4, after a start: 0"], done.stderr[-3000:]


LATE = """
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from tests.ui import page
from lib_lora_train.ui import train_tab
from lib_lora_train.ui.train import form, scene
standing = page.Standing(Path(sys.argv[2]), False)
page.host.find = lambda: standing
look = train_tab._look_at
values = train_tab.desk(standing).values_of("tiny", "tiny.safetensors")
answers = ["late", "ohwx", "cat", "tiny.safetensors", str(standing.data_folder / "photos"), "tiny", *values.values()]
count = 4 + len(form.fields())
news = lambda now: sum("value" in one or "visible" in one for one in train_tab._check(now, *answers)[-count:][:4])
shown = news(scene.Scene())
def late(now, *given):
    look(now, *given)
    now.starts += 1  # "Start training" was pressed while the photos were looked at
train_tab._look_at = late
print(f"shown: {shown}, after a start: {news(scene.Scene())}")
"""


def test_a_new_page_offers_the_checkpoint_that_is_loaded_now(served: Served, visit: Callable[..., Any]) -> None:
    loaded, later = served.data / "loaded.txt", served.data / "models" / "later.safetensors"
    shutil.copyfile(served.data / "models" / "tiny.safetensors", later)
    loaded.write_text("tiny.safetensors", "utf-8")
    base = "#lora_loop_train_base input"
    try:
        page = visit(served)
        open_train(page)
        page.wait_for_function(f"document.querySelector('{base}').value === 'tiny.safetensors'", timeout=WAIT)
        loaded.write_text(later.name, "utf-8")
        page = visit(served)
        open_train(page)
        page.wait_for_function(f"document.querySelector('{base}').value === 'later.safetensors'", timeout=WAIT)
    finally:
        loaded.unlink()
        later.unlink()


def test_the_page_asks_only_while_it_is_looked_at_and_for_little(served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served)
    sizes: list[int] = []

    def told(response: Any) -> None:
        if "/run/predict" in response.url or "/run/" in response.url:
            sizes.append(len(response.body()))

    page.on("response", told)
    page.wait_for_timeout(4000)
    assert sizes == []
    open_train(page)
    page.wait_for_timeout(4000)
    assert 2 <= len(sizes) <= 6
    assert max(sizes) < 64_000
    assert max(sizes[1:]) < 4000
    page.click("#tabs button:has-text('txt2img')")
    page.wait_for_timeout(2000)
    before = len(sizes)
    page.wait_for_timeout(3500)
    assert len(sizes) == before


def test_s2_a_shared_page_shows_but_does_not_train(shared: Served, visit: Callable[..., Any]) -> None:
    page = visit(shared)
    open_train(page)
    page.wait_for_selector("#lora_loop_train_notice", timeout=WAIT)
    assert "--lora-loop-allow-remote" in page.inner_text("#lora_loop_train_notice")
    page.evaluate("document.querySelector('#lora_loop_train_build [data-act=build]').click()")
    page.wait_for_timeout(1500)
    assert not (shared.data / "lora-loop" / "environment").exists()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(theme: str, served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served, 400)
    page.evaluate(f"document.body.classList.toggle('dark', {json.dumps(theme == 'dark')})")
    open_train(page)
    fill(page, "folder", str(served.data / "photos"))
    fill(page, "trigger", "ohwx")
    page.click("#lora_loop_train_check")
    page.wait_for_selector(".lora-loop-card", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
