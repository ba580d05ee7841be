"""Training in a real WebUI, through its page: photos in, LoRA out, used in txt2img; ended in the middle and resumed."""

from __future__ import annotations

import io
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lora_train.jobs import process
from lib_lora_train.train.job import Job
from tests.webui.client import WebUI, same
from tests.webui.test_browser import page
from tests.webui.train_tab import PART, PRESET, PROMPT, TRAINED, Tab, names_in, photos, steps_done, trainer_of, weights

__all__ = ["page"]
TXT2IMG = "#tabs button:has-text('txt2img')"  # the first; Forge writes it with a capital
FIELDS = {"width": 64, "height": 64, "steps": 2, "seed": 7, "cfg_scale": 5}


@pytest.fixture
def tab(webui: WebUI, page: Any) -> Iterator[Tab]:
    """The Train tab; what a test trained is gone afterwards, and what others made meanwhile is not."""
    opened = Tab.open(webui, page)
    yield opened
    made = opened.made()
    for job in made:
        if (job / "job.json").is_file():
            process.kill(Job(job))
    for one in made:
        shutil.rmtree(one) if one.is_dir() else one.unlink()
    for one in (opened.home / "presets").glob(f"{PRESET}-*.toml"):
        one.unlink()


@pytest.fixture
def base(webui: WebUI) -> str:
    """The narrow checkpoint that the WebUI draws with."""
    return webui.small_checkpoints()[0]


def generate(tab: Tab, prompt: str) -> Image.Image:
    """The page's Generate."""
    page = tab.page
    page.click(TXT2IMG)
    for name, value in FIELDS.items():
        page.fill(f"#txt2img_{name} input[type=number]", str(value))
        page.press(f"#txt2img_{name} input[type=number]", "Tab")
    page.fill(PROMPT, prompt)
    before = page.evaluate("document.querySelector('#txt2img_gallery img')?.src || ''")
    page.click("#txt2img_generate")
    page.wait_for_function(
        "old => { const one = document.querySelector('#txt2img_gallery img'); return one && one.src !== old; }",
        arg=before,
    )
    page.wait_for_function("!document.querySelector('#txt2img_interrupt').offsetParent")
    address = page.evaluate("document.querySelector('#txt2img_gallery img').src")
    return Image.open(io.BytesIO(page.request.get(address).body())).convert("RGB")


def test_photos_in_lora_out_used_in_txt2img(tab: Tab, base: str, tmp_path: Path) -> None:
    before = generate(tab, "ohwx cat")
    tab.look()
    tab.answer("webui-cat", base, 4, photos(tmp_path / "photos"))
    tab.check(4)
    assert tab.page.locator(".lora-loop-card").count() == 5
    job = tab.start("webui-cat")
    tab.status("done")
    assert (tab.loras / "webui-cat.safetensors").read_bytes() == (job / "out" / "webui-cat.safetensors").read_bytes()
    tab.page.click(TXT2IMG)
    tab.page.fill(PROMPT, "")
    tab.look()
    tab.page.locator("#lora_loop_train_files [data-use]").first.click()
    prompt = tab.page.input_value(PROMPT)
    assert prompt == "<lora:webui-cat:1> ohwx cat"
    assert same(generate(tab, "ohwx cat"), before), "the model is back as it was, by itself"
    assert not same(generate(tab, prompt), before)
    text = tab.page.inner_text("#html_info_txt2img")
    assert "webui-cat" in text and "Lora hashes" in text and "not found" not in text


def test_j2_a_killed_trainer_is_resumed_to_the_same_bytes(tab: Tab, base: str, tmp_path: Path) -> None:
    given = photos(tmp_path / "photos")
    tab.answer("whole", base, 12, given)
    tab.check(12)
    whole = tab.start("whole")
    tab.status("done")
    tab.answer("killed", base, 12, given)
    tab.check(12)
    killed = tab.start("killed")
    deadline = time.monotonic() + TRAINED / 1000
    while steps_done(killed) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(trainer_of(killed), signal.SIGKILL)
    assert 5 <= steps_done(killed) < 12
    tab.status("interrupted")
    tab.reload()
    tab.press("open", job=killed.name)
    tab.status("interrupted")
    tab.press("resume")
    tab.status("done")
    assert weights(killed / "out" / "killed.safetensors") == weights(whole / "out" / "whole.safetensors")


def test_j8_three_in_the_queue_and_one_fails(tab: Tab, base: str, tmp_path: Path) -> None:
    """Seen from two pages; the photos of the second job are taken away before its turn."""
    given = photos(tmp_path / "photos")
    jobs: list[Path] = []
    for number in range(3):
        steps = 30 if number == 0 else 4
        tab.answer(f"row{number}", base, steps, given)
        tab.check(steps)
        jobs.append(tab.start(f"row{number}"))
        if number == 1:
            folder = max(names_in(tab.home / "photos"), key=lambda one: one.stat().st_mtime_ns)
            shutil.rmtree(folder)
    other = tab.another()
    for one in (tab, other):
        for job, status in zip(jobs, ("done", "failed", "done"), strict=True):
            row = f"#lora_loop_train_jobs li:has([data-job='{job.name}']) .lora-loop-{status}"
            one.page.wait_for_selector(row, timeout=TRAINED)
    other.page.close()
    assert (tab.loras / "row0.safetensors").is_file() and (tab.loras / "row2.safetensors").is_file()
    ends = [f"## {job.name}: {status}" for job, status in zip(jobs, ("done", "failed", "done"), strict=True)]
    reports = tab.home / "queue" / "reports"
    deadline = time.monotonic() + 60  # the report is written after the last job has said that it is done
    while not any(all(end in one.read_text("utf-8") for end in ends) for one in reports.glob("*.md")):
        assert time.monotonic() < deadline, [one.read_text("utf-8") for one in reports.glob("*.md")]
        time.sleep(0.2)


def test_two_pages_and_a_reload_follow_the_same_run(tab: Tab, base: str, tmp_path: Path) -> None:
    """Nobody clicks on the run: whoever opens the tab sees what is training."""
    tab.answer("followed", base, 150, photos(tmp_path / "photos"))
    tab.check(150)
    job = tab.start("followed")
    other = tab.another()
    for one in (tab, other):
        one.shows("followed", 2, 149)
        one.status("running")
    tab.reload()
    for one in (tab, other):
        one.shows("followed", steps_done(job), 149)
        one.status("running")
    for one in (tab, other):
        one.status("done")
        one.shows("followed", 150, 150)
    other.page.close()


def test_a_caption_is_edited_and_is_in_the_next_check(tab: Tab, base: str, tmp_path: Path) -> None:
    given = photos(tmp_path / "photos", 3)
    (given / "1.txt").write_text("ohwx cat, old words", "utf-8")
    tab.answer("captioned", base, 4, given)
    tab.check(4)
    page = tab.page
    page.click(PART.format("captions_page") + " >> text=Captions")
    box = PART.format("captions") + " textarea[data-photo='1.png']"
    assert page.input_value(box) == "ohwx cat, old words"
    page.fill(box, "ohwx cat, red scarf")
    page.press(box, "Control+Enter")
    page.wait_for_selector("li:has(textarea[data-photo='1.png']) .lora-loop-about :text('saved')")
    [folder] = (tab.home / "photos").glob("captioned*")
    assert (folder / "1.txt").read_text("utf-8") == "ohwx cat, red scarf"
    tab.check(4)
    card = page.locator(f"{PART.format('sheet')} .lora-loop-card", has_text="1.png")
    card.get_by_text("ohwx cat, red scarf").wait_for()
    assert not page.get_by_text("old words").count()
