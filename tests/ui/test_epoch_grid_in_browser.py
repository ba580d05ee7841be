"""The epoch grid's form in a real browser: what it tells, what it refuses, keeping an epoch and taking it back."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grid.files import write_run
from tests.ui.conftest import Served

FORM = "#lora_loop_grid_txt2img_"
WAIT = 30_000


def open_form(page: Any, run: str = "rig") -> None:
    page.fill("#txt2img_prompt textarea", "a cat on a mat")
    page.click("#txt2img_script_container #script_list input")
    page.click("#txt2img_script_container #script_list ul li:has-text('LoRA Loop epoch grid')")
    page.wait_for_selector(f"{FORM}run", state="visible")
    page.click(f"{FORM}refresh")
    page.wait_for_timeout(500)
    choose(page, "run", run)


def choose(page: Any, name: str, text: str) -> None:
    """An entry of one of the form's lists."""
    page.click(f"{FORM}{name} input")
    page.click(f"{FORM}{name} ul li:has-text('{text}')")


def fill(page: Any, name: str, text: str) -> None:
    field = f"{FORM}{name}"
    page.fill(f"{field} textarea, {field} input:not([type=range])", text)
    page.keyboard.press("Tab")


def keeping(page: Any) -> None:
    page.click(f"{FORM}keeping >> text=Keep this one >> nth=0")
    page.wait_for_selector(f"{FORM}keep", state="visible")


def says(page: Any, part: str, words: str) -> None:
    """Wait until a part of the form says so."""
    asked = f"document.querySelector('{FORM}{part}').innerText.replace(/\\s+/g, ' ').includes({json.dumps(words)})"
    page.wait_for_function(asked, timeout=WAIT)


def pictures(page: Any, count: int) -> None:
    page.wait_for_function(f"document.querySelector('{FORM}overview dd')?.innerText === '{count}'", timeout=WAIT)


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def loras(served: Served) -> dict[str, bytes]:
    return listing(served.data / "Lora")


@pytest.fixture
def run(served: Served) -> Iterator[str]:
    """A run that a test may move about."""
    before = loras(served)
    write_run(served.data / "Lora", "mine")
    yield "mine"
    for name in loras(served).keys() - before.keys():
        (served.data / "Lora" / name).unlink()
    shutil.rmtree(served.data / "lora-loop" / "archive", ignore_errors=True)


def test_it_tells_what_the_grid_will_take(served: Served, visit: Callable[..., Any]) -> None:
    page = visit(served)
    open_form(page)
    pictures(page, 3 * 3 + 1)  # three weights and the control
    chips = page.locator(f"{FORM}overview .lora-loop-chips > li")
    assert chips.all_inner_texts() == ["epoch 1", "epoch 2", "epoch 3"]
    fill(page, "weights", "0.5,1")
    pictures(page, 3 * 2 + 1)
    fill(page, "epochs", "last:2")
    pictures(page, 2 * 2 + 1)
    fill(page, "prompts", "a teapot\n- a harbour")
    pictures(page, (2 * 2 + 1) * 3)
    assert chips.all_inner_texts() == ["epoch 2", "epoch 3"]


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("epochs", "7", "rig has no such epoch that can be used; it has epoch 1, epoch 2, epoch 3"),
        ("weights", "a", "a"),
        ("axis", "cfg_scale", "Write the further axis as a keyword and its values"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_mended_in_place(
    field: str, text: str, said: str, served: Served, visit: Callable[..., Any]
) -> None:
    page = visit(served)
    open_form(page)
    pictures(page, 10)
    page.click(f"{FORM}more >> text=More to compare")
    before = page.input_value(f"{FORM}{field} textarea, {FORM}{field} input")
    fill(page, field, text)
    page.wait_for_selector(f"{FORM}overview [role=alert]", timeout=WAIT)
    says(page, "overview", said)
    fill(page, field, before)
    pictures(page, 10)


def test_an_epoch_is_kept_and_taken_back(served: Served, visit: Callable[..., Any], run: str) -> None:
    before = loras(served)
    page = visit(served)
    open_form(page, run)
    pictures(page, 10)
    keeping(page)
    choose(page, "epoch", "epoch 2")
    fill(page, "weight", "0.8")
    page.click(f"{FORM}keep")
    says(page, "notice", "<lora:mine-kept:0.8>")
    page.wait_for_function(
        "document.querySelector('#txt2img_prompt textarea').value === 'ohwx cat, a cat on a mat <lora:mine-kept:0.8>'"
    )
    kept = {name for name in loras(served) if name.startswith("mine") and name.endswith(".safetensors")}
    assert kept == {"mine-kept.safetensors"}
    assert loras(served)["mine-kept.safetensors"] == before["mine-000002.safetensors"]
    page.click(f"{FORM}undo")
    says(page, "notice", "back where they were")
    assert loras(served) == before


@pytest.mark.parametrize(
    ("epoch", "weight", "said"),
    [
        ("", "1", "Choose which one epoch is kept"),
        ("epoch 2", "0", "use one between 0 and 10"),
        ("epoch 2", "99", "99"),
    ],
)
def test_what_cannot_be_kept_is_said(
    epoch: str, weight: str, said: str, served: Served, visit: Callable[..., Any]
) -> None:
    before = loras(served)
    page = visit(served)
    open_form(page)
    pictures(page, 10)
    keeping(page)
    if epoch:
        choose(page, "epoch", epoch)
    fill(page, "weight", weight)
    page.click(f"{FORM}keep")
    page.wait_for_selector(f"{FORM}notice [role=alert]", timeout=WAIT)
    says(page, "notice", said)
    page.click(f"{FORM}undo")
    says(page, "notice", "there is nothing to undo")
    assert loras(served) == before


def test_s2_a_shared_page_shows_the_run_but_moves_nothing(shared: Served, visit: Callable[..., Any]) -> None:
    before = listing(shared.data)
    page = visit(shared)
    open_form(page)
    pictures(page, 10)
    keeping(page)
    choose(page, "epoch", "epoch 2")
    page.click(f"{FORM}keep")
    says(page, "notice", "LoRA files are not moved; start it with --lora-loop-allow-remote")
    page.click(f"{FORM}undo")
    page.wait_for_timeout(500)
    says(page, "notice", "--lora-loop-allow-remote")
    assert page.input_value("#txt2img_prompt textarea") == "a cat on a mat"
    assert {name: data for name, data in listing(shared.data).items() if name != "page.log"} == {
        name: data for name, data in before.items() if name != "page.log"
    }


def test_s1_s2_made_up_keeps_and_undos_move_nothing(shared: Served) -> None:
    """The events of *Keep this one* and *Undo*, sent without the page, with all that a keep needs."""
    before = loras(shared)
    answers = [text for values in CRAFTED for text in sent(shared, values)]
    assert len(answers) == 4 * len(CRAFTED)  # two buttons in two tabs
    assert all("--lora-loop-allow-remote" in text for text in answers)
    assert loras(shared) == before and not (shared.data / "lora-loop" / "archive").exists()


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/b", "x" * 400])
def test_s1_s3_made_up_names_stay_in_the_lora_folder(name: str, served: Served, run: str) -> None:
    around = {path for path in served.data.parent.rglob("*") if path.is_file()}
    answers = sent(served, ["{}", run, *FORM_VALUES[1:], "epoch 2", 1.0, name])
    first = next(answers)
    for path in {path for path in served.data.parent.rglob("*") if path.is_file()} - around:
        assert path.parent in (served.data / "Lora", served.data / "lora-loop" / "archive" / run), path
    assert "was put away" in first or "put away in" in first or "name" in first
    for text in answers:
        assert "Traceback" not in text
    assert not Path("/etc/evil.safetensors").exists()


FORM_VALUES = ["rig", "all", "1", "", 1, "", "", True, 320, "jpeg"]
CRAFTED = [
    ["{}", *FORM_VALUES, "epoch 2", 1.0, ""],
    ["{}", *FORM_VALUES, "epoch 2", 1.0, "../../evil"],
    [None, "../../etc", *FORM_VALUES[1:], "epoch 1", "1", None],
]


def sent(page: Served, values: list[Any]) -> Iterator[str]:
    """What the server answers to each event, a keep and an undo in each tab, given `values`."""
    with urllib.request.urlopen(f"{page.url}/config") as answer:
        config = json.load(answer)
    ids = {one["id"]: str(one["props"].get("elem_id")) for one in config["components"]}
    for index, event in enumerate(config["dependencies"]):
        if len(event["inputs"]) != len(values) or not any("_notice" in ids[one] for one in event["outputs"]):
            continue
        body = {"fn_index": event.get("id", index), "data": values, "session_hash": "made-up"}
        request = urllib.request.Request(
            f"{page.url}/run/predict",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Origin": page.url},
        )
        try:
            with urllib.request.urlopen(request) as reply:
                yield reply.read().decode()
        except urllib.error.HTTPError as refused:
            yield refused.read().decode()
