"""What is drawn: bounded, escaped, and true to the job."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from PIL import Image

from lib_lora_train.environment.size import Size
from lib_lora_train.jobs.cures import Cure
from lib_lora_train.jobs.curves import Point, downsample, epoch_ends
from lib_lora_train.jobs.queue import Entry, Queue
from lib_lora_train.jobs.view import File, Message, Page, Row, Sample, View
from lib_lora_train.train import config as configs
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.ui.train import progress_html, queue_html
from lib_lora_train.ui.train.building import Building
from lib_lora_train.ui.train.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart
from lib_lora_train.ui.train.photos_html import data_uri

EVIL = "<img src=x onerror=alert(1)>\"'&"


def a_run(text: str = "cat") -> TrainConfig:
    """A run whose trigger is that text."""
    return configs.from_values({"name": "cat", "trigger": text, "base": {"path": f"/models/{text}"}})


def a_view(text: str = EVIL, many: int = 20) -> View:
    steps = list(range(1, 5001))
    points = downsample(steps, [1 / step for step in steps])
    cure = Cure("rate", text, {"adapter.rank": 4})
    return View(
        job=text[:120], status="failed", message=text, asked="", is_silent=False, waits_for_card=False, step=5000, steps=9000, epoch=50, epochs=90,
        loss=0.1, images_per_s=2.0, memory=5_000_000_000, seconds_left=99.0, progress=None,
        curves={"loss": points, "rate unet": points, "rate text_encoder": points},
        epoch_ends=epoch_ends(steps, [step // 50 for step in steps])[-120:],
        samples=(), files=tuple(File(f"{text[:40]}-{n:06}.safetensors", n, n, 10**6) for n in range(many * 3)),
        messages=tuple(Message("error", f"E{n}", (text * 600)[:600], (cure,) * 7) for n in range(many)), more=False,
    )  # fmt: skip


@pytest.mark.parametrize("text", [EVIL, "&" * 600, "字" * 600])
def test_a_poll_is_small_whatever_the_job_says(text: str) -> None:
    found = progress_html.parts(a_view(text), a_run(text[:40]), True)
    assert sum(len(html.encode()) for html in found.values()) < 128_000
    assert max(len(html.encode()) for html in found.values()) < 60_000


def test_s4_j9_nothing_of_a_job_becomes_html() -> None:
    found = progress_html.parts(a_view(), a_run(EVIL), True)
    entry = Queue((Entry(EVIL),))
    row = Row(EVIL, EVIL, EVIL, 0.0, 1, 2, EVIL)
    told = [
        *found.values(),
        queue_html.queue(entry, lambda _name: row, True),
        queue_html.jobs(Page((row,), 1), True, True),
        progress_html.log(EVIL),
        progress_html.build(Building(False, True, False, Size(28, 24, 200), 0.5, (EVIL,), EVIL), with_log=True),
        progress_html.command(EVIL, EVIL),
    ]
    for html in told:
        assert "<img" not in html
        xml.fromstring(f"<r>{html}</r>".replace(" open>", ">").replace(" hidden>", ">"))  # every attribute is closed


def test_the_buttons_are_those_that_can_be_pressed() -> None:
    view = a_view("cat")
    assert 'data-act="resume"' in progress_html.parts(view, a_run(), True)["controls"]
    assert 'data-act="cure"' in progress_html.parts(view, a_run(), True)["messages"]
    read_only = progress_html.parts(view, a_run(), False)
    assert 'data-act="log"' in read_only["controls"]
    assert not any(
        f'data-act="{act}"' in html for html in read_only.values() for act in ("resume", "cure", "ask", "again", "load")
    )
    assert "data-act" not in queue_html.jobs(Page((Row("a", "a", "done", 0.0, 1, 1, ""),), 1), False, False).replace(
        'data-act="open"', ""
    )


def test_a_run_that_waits_for_the_card_may_share_it() -> None:
    runs = dataclasses.replace(a_view("cat"), status="running")
    waits = dataclasses.replace(runs, waits_for_card=True)
    assert 'data-act="share_card"' in progress_html.parts(waits, a_run(), True)["controls"]
    assert 'data-act="share_card"' not in progress_html.parts(waits, a_run(), False)["controls"]
    assert 'data-act="share_card"' not in progress_html.parts(runs, a_run(), True)["controls"]


def test_files_that_are_not_listed_are_counted() -> None:
    listed = progress_html.parts(a_view("cat", 5), a_run(), True)["files"]
    assert listed.count("<li>") == 12 and "3 older files" in re.sub("<.*?>", "", listed)
    assert "older files" not in progress_html.parts(a_view("cat", 4), a_run(), True)["files"]


def test_a_lora_is_put_to_use_with_its_trigger_at_the_weight_of_its_card_and_at_its_size() -> None:
    config = configs.from_values(
        {
            "trigger": "ohwx",
            "class_word": "cat",
            "save": {"preferred_weight": 0.7},
            "dataset": {"resolution": 128, "bucket_min": 64},
        }
    )
    html = progress_html.use("cat-000003.safetensors", config)
    assert 'data-use="&lt;lora:cat-000003:0.7&gt; ohwx cat"' in html and 'data-size="128"' in html


def test_a_run_that_failed_before_its_first_step_has_nothing_to_resume() -> None:
    failed = dataclasses.replace(a_view("cat"), step=0)
    html = progress_html.parts(failed, a_run(), True)["controls"]
    assert "Resume" not in html and "lora-loop-main" not in html and 'data-act="resume"' in html and "Try again" in html
    assert "Resume" in progress_html.parts(a_view("cat"), a_run(), True)["controls"]


@pytest.mark.parametrize("status", ["done", "stopped"])
def test_after_the_end_the_files_come_first_and_old_warnings_are_folded_below(status: str) -> None:
    warned = tuple(Message("warning", f"w{n}", f"Something was noticed {n}.") for n in range(2))
    over = dataclasses.replace(a_view("cat"), status=status, messages=warned)
    parts = progress_html.parts(over, a_run(), True)
    assert parts["messages"] == "" and parts["files"].index("LoRA files") < parts["files"].index("was noticed 1")
    assert "<details class=" in parts["files"][parts["files"].index("</details>") :]
    runs = progress_html.parts(dataclasses.replace(over, status="running"), a_run(), True)
    assert "was noticed 1" in runs["messages"] and "was noticed" not in runs["files"]


def test_a_file_that_was_kept_back_is_put_among_the_others_on_request(tmp_path: Path) -> None:
    config = configs.from_values({"name": "cat", "save": {"copy_to": str(tmp_path)}})
    one = File("cat-step00000002.safetensors", 2, 1, 9, kept_back=True)
    view = dataclasses.replace(a_view("cat"), status="stopped", files=(one,))
    assert 'data-act="take"' in progress_html.parts(view, config, True)["files"]
    assert "data-act" not in progress_html.parts(view, config, False)["files"]
    (tmp_path / one.name).write_bytes(b"")
    assert "data-use" in progress_html.parts(view, config, True)["files"]


def test_a_chart_is_drawn_inside_its_frame() -> None:
    points = [Point(1, 0.5, 0.1, 2.0), Point(50, 0.4, 0.2, 0.9), Point(100, 0.3, 0.3, 0.3)]
    picture = xml.fromstring(chart("Loss", {"loss": points}, [(1, 50), (2, 100)]))
    svg = next(one for one in picture.iter() if one.tag.endswith("svg"))
    assert svg.get("aria-label") == "Loss: loss 0.3 at step 100"
    [marks] = [one for one in svg if one.get("class") == "lora-loop-epoch"]
    assert str(marks.get("d")).count("M") == 2
    line = next(one for one in svg if (one.get("class") or "").startswith("lora-loop-curve"))
    places = [tuple(map(float, pair.split(","))) for pair in str(line.get("points")).split()]
    assert (
        all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in places)
        and places[0][1] < places[-1][1]
    )
    assert chart("Loss", {"loss": [Point(3, 0.0, 0.0, 0.0)]}, []) and not chart("Loss", {"loss": []}, [])


def test_samples_follow_the_slider(tmp_path: Path) -> None:
    for name in ("base", "a", "b"):
        Image.effect_noise((700, 700), 90).save(tmp_path / f"{name}.png")
    found = [
        Sample("base.png", 0, 0, "a cat", True),
        Sample("a.png", 5, 1, "a cat", False),
        Sample("b.png", 10, 2, "a cat", False),
    ]
    newest = progress_html.samples(tmp_path, found, None)
    assert "epoch 2, step 10" in newest and 'value="1"' in newest and newest.count("<img") == 2
    assert "epoch 1, step 5" in progress_html.samples(tmp_path, found, 0)
    assert "epoch 2" in progress_html.samples(tmp_path, found, 10**5)
    assert len(newest) < 60_000
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert "cannot be read" in progress_html.samples(tmp_path, found, None)
    assert progress_html.samples(tmp_path, [], None) == ""


def test_a_picture_in_the_page_is_small() -> None:
    noise = Image.effect_noise((4000, 3000), 120)
    assert len(data_uri(noise, 448)) < 27_000
