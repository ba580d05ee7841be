"""Presets, a job's settings, the epoch grid's button and notices of the Train tab, in a real browser with both gradios."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.job import Job
from tests.ui.conftest import Served
from tests.ui.test_train_in_browser import WAIT, fill, open_train

TAB = "#lora_loop_train_"
EPOCHS = "#lora_loop_train_loop_epochs :is(input, textarea)"
RECORDER = """
window.told = [];
window.Notification = class { constructor(title, more) { window.told.push(title + ": " + more.body); } };
window.Notification.permission = "granted";
window.Notification.requestPermission = async () => { window.told.push("asked"); return "granted"; };
"""


@pytest.fixture
def job(served: Served) -> Iterator[Job]:
    """A finished job with two epochs, whose files lie in the WebUI's LoRA folder too."""
    home, lora = served.data / "lora-loop", served.data / "Lora"
    lora.mkdir(exist_ok=True)
    config = configs.from_values(
        {
            "name": "heron",
            "trigger": "hrn",
            "class_word": "bird",
            "preset": "style",
            "base": {"path": str(served.data / "models" / "tiny.safetensors")},
            "dataset": {"path": str(served.data / "photos"), "resolution": 96, "bucket_min": 64, "bucket_max": 128},
            "loop": {"epochs": 7},
        }
    )
    made = store.create(config, home)
    files = ("heron-000001.safetensors", "heron-000002.safetensors", "heron.safetensors")
    told = [{"kind": "state", "time": 1, "status": "done", "message": "Training is done.", "steps": 4, "epochs": 2}]
    made.out.mkdir(exist_ok=True)
    for number, name in enumerate(files):
        epoch = min(number + 1, 2)
        (lora / name).write_bytes(_lora(epoch))
        shutil.copyfile(lora / name, made.out / name)
        told.append({"kind": "saved", "time": 1, "file": name, "epoch": epoch, "step": 2 * epoch, "bytes": 100})
    made.events.write_text("".join(json.dumps(one) + "\n" for one in told), "utf-8")
    made.update(status="done")
    yield made
    shutil.rmtree(made.folder)
    for name in files:
        (lora / name).unlink()


def _lora(epoch: int) -> bytes:
    """The smallest LoRA file: one key, with the epoch in its metadata."""
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {f"{key}.lora_down.weight": [1, 8], f"{key}.lora_up.weight": [8, 1], f"{key}.alpha": []}
    header: dict[str, Any] = {"__metadata__": {"ss_epoch": str(epoch), "ss_num_epochs": "2", "ss_output_name": "heron"}}
    end = 0
    for name, shape in shapes.items():
        size = 2 * (8 if shape else 1)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes([epoch]) * end


def opened(page: Any, name: str) -> None:
    page.click(f"{TAB}jobs [data-act=open]:text-is('{name}')")
    page.wait_for_function(f"document.querySelector('{TAB}head')?.innerText.includes('{name}')", timeout=WAIT)


def value_is(page: Any, selector: str, text: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.value === text", arg=[selector, text], timeout=WAIT
    )


def notice(page: Any, text: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
        arg=[f"{TAB}notice", text],
        timeout=WAIT,
    )


def test_a_preset_is_chosen_saved_shared_renamed_and_put_away(
    served: Served, visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit(served)
    open_train(page)
    page.click(f"{TAB}options >> text=All options")
    page.click(f"{TAB}subject >> text=Style")
    value_is(page, EPOCHS, "15")
    page.wait_for_function(f"document.querySelector('{TAB}preset_card').innerText.includes('names the style first')")
    page.evaluate(
        "(selector) => { const box = document.querySelector(selector); box.value = '3'; "
        "box.dispatchEvent(new Event('input', {bubbles: true})); }",
        EPOCHS,
    )
    fill(page, "preset_name", "Short style")
    page.click(f"{TAB}save")
    notice(page, "The preset Short style is saved.")
    value_is(page, f"{TAB}preset input", "Short style")
    link = page.locator(f"{TAB}preset_card a").first
    with page.expect_download() as download:
        link.click()
    shared = tmp_path / "given.toml"
    download.value.save_as(shared)
    assert "epochs = 3" in shared.read_text("utf-8")
    document = re.sub(r"\[log\]", '[log]\nnotify = "https://example.org/collect"', download.value.path().read_text())
    shared.write_text(document, "utf-8")
    page.set_input_files(f"{TAB}preset_import input[type=file], input[type=file][accept*=toml]", str(shared))
    notice(page, "without what belongs to its maker: log.notify")
    value_is(page, f"{TAB}preset input", "Short style-2")
    fill(page, "preset_name", "Theirs")
    page.click(f"{TAB}preset_rename")
    notice(page, "The preset is called Theirs now.")
    page.click(f"{TAB}preset_delete")
    notice(page, "The preset is in the trash")
    value_is(page, EPOCHS, "0")  # the preset for persons again
    names = {path.stem for path in (served.data / "lora-loop" / "presets").iterdir()}
    assert "Short style" in names and not names & {"Theirs", "Short style-2"}
    (served.data / "lora-loop" / "presets" / "Short style.toml").unlink()


def test_a_job_s_settings_are_loaded_and_stay(served: Served, job: Job, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_train(page)
    opened(page, "heron")
    page.click(f"{TAB}controls [data-act=load]")
    notice(page, "are in the form.")
    for name, text in (("trigger", "hrn"), ("class_word", "bird"), ("name", "heron")):
        value_is(page, f"{TAB}{name} :is(input, textarea)", text)
    value_is(page, f"{TAB}folder :is(input, textarea)", str(served.data / "photos"))
    value_is(page, f"{TAB}preset input", "style")
    page.wait_for_timeout(1500)  # what the preset's own change would do
    value_is(page, EPOCHS, "7")


def test_the_epoch_grid_opens_with_that_run(served: Served, job: Job, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_train(page)
    opened(page, "heron")
    page.click(f"{TAB}files [data-grid]")
    value_is(page, "#txt2img_script_container #script_list input", "LoRA Loop epoch grid")
    value_is(page, "#lora_loop_grid_txt2img_run input", "heron")
    page.wait_for_function(
        "document.querySelectorAll('#lora_loop_grid_txt2img_overview .lora-loop-chips > li').length === 2", timeout=WAIT
    )
    assert page.is_visible("#lora_loop_grid_txt2img_overview")


def test_without_a_webui_the_button_shows_the_command(served: Served, job: Job, visit: Callable[..., Any]) -> None:
    page = visit(served)
    page.evaluate("document.querySelectorAll('#script_list').forEach((list) => { list.id = 'gone'; })")
    open_train(page)
    opened(page, "heron")
    assert not page.is_visible(f"{TAB}files pre")
    page.click(f"{TAB}files [data-grid]")
    assert "lib_lora_train grid --run heron --base " in page.inner_text(f"{TAB}files pre")


def test_the_browser_tells_of_an_end_when_it_was_asked_to(served: Served, job: Job, visit: Callable[..., Any]) -> None:
    job.update(status="queued")
    page = visit(served, script=RECORDER)
    open_train(page)
    page.wait_for_selector(f"{TAB}jobs li[data-name=heron][data-state=queued]", timeout=WAIT)
    assert page.evaluate("told") == []
    page.check(f"{TAB}tell input")
    page.wait_for_function("localStorage.getItem('lora-loop-tell') === 'yes'")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    job.update(status="failed")
    page.evaluate(f"document.querySelector('{TAB}tick').click()")
    page.wait_for_function("told.length === 1", timeout=WAIT)
    assert page.evaluate("told[0]") == "✗ heron: Training is done."
    assert page.title().startswith("✗ ")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false}); document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert not page.title().startswith("✗")
    # Another visit remembers the switch, and knows the jobs without the tab being opened.
    page.reload()
    page.wait_for_function(f"document.querySelector('{TAB}jobs')?.textContent.includes('heron')", timeout=WAIT)
    assert page.is_checked(f"{TAB}tell input")


def test_sentences_with_values_and_help_are_translated(served: Served, job: Job, visit: Callable[..., Any]) -> None:
    words = json.dumps({"epoch {}, step {}, {} MB": "эпоха {}, шаг {}, {} МБ"})
    page = visit(served, script=f"window.localization = {words};")
    open_train(page)
    opened(page, "heron")
    page.wait_for_function(f"document.querySelector('{TAB}files').textContent.includes('эпоха 1, шаг 2, 0.0 МБ')")
    parts = page.evaluate(
        f"[...document.createTreeWalker ? (() => {{ const walk = document.createTreeWalker(document.querySelector("
        f"'{TAB}adapter_rank'), NodeFilter.SHOW_TEXT), found = []; while (walk.nextNode()) "
        "found.push(walk.currentNode.textContent.trim()); return found; })() : []]"
    )
    assert {
        "Rank",
        "Size of the LoRA: about 1.2 MB of file a unit at full width.",
        "1 … 1024",
        "Default:",
        "32",
    } <= set(parts)
