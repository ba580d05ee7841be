"""The regularisation and sample pages, and the curves' numbers."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.jobs import control, process, queue, store
from lib_lora_train.jobs.curves import Point, downsample
from lib_lora_train.train import config as configs
from lib_lora_train.train.dataset import report as reports
from lib_lora_train.train.dataset.scan import scan
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.ui.train import prompts_html, regularisation_html, scene
from lib_lora_train.ui.train.chart import BOTTOM, HEIGHT, TOP, chart
from lib_lora_train.ui.train.photos_html import contact_sheet
from tests.runs import Workshop, draw_photo
from tests.ui.train.host import answers, desk_in

EVIL = "<img src=x onerror=alert(1)>\"'&"


def checked(folder: Path, photos: int, beside: int, **more: Any) -> tuple[reports.Report, configs.TrainConfig]:
    for name, count, first in (("in", photos, 0), ("class", beside, 10)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            draw_photo(folder / name / f"{number}.png", first + number)
    config = configs.from_values(
        {
            "name": "me",
            "trigger": "ohwx",
            "class_word": "man",
            "base": {"path": "C:\\models\\tiny.safetensors"},
            "dataset": {"path": str(folder / "in"), "regularisation": str(folder / "class"), **more},
        }
    )
    return reports.build(scan(config.dataset, "ohwx man", class_word="man"), config), config


@pytest.mark.parametrize(
    ("photos", "beside", "repeats", "words"),
    [
        (2, 0, 5, "There are no class photos. 2 photos, seen 10 times an epoch with their repeats: so many"),
        (2, 4, 5, "4 class photos for 2 photos, seen 10 times an epoch with their repeats: each is seen 2.5 times an epoch; 6 more"),
        (2, 4, 2, "4 class photos for 2 photos, seen 4 times an epoch with their repeats: enough, and they take turns"),
        (0, 3, 5, "3 class photos; there is no photo to train on yet."),
    ],
)  # fmt: skip
def test_how_many_class_photos_there_are_and_are_needed(
    photos: int, beside: int, repeats: int, words: str, tmp_path: Path
) -> None:
    report, config = checked(tmp_path, photos, beside, repeats=repeats)
    assert regularisation_html.sentence(report).startswith(words)
    html = regularisation_html.page(report, config)
    assert html.count('class="lora-loop-badge"') == beside, "a verdict for each"
    assert 'data-use="photo of a man"' in html and "512×512, seed -1, tiny.safetensors" in html


def test_a_page_of_many_class_photos_has_few_pictures(tmp_path: Path) -> None:
    report, config = checked(tmp_path, 1, 1)
    many = reports.Report(**{**vars(report), "regularisation": report.regularisation * 300})
    html = regularisation_html.page(many, config)
    assert html.count("<img") == regularisation_html.PICTURES and "60 more photos" in re.sub("<.*?>", "", html)


def test_photos_that_are_kept_out_have_their_card(tmp_path: Path) -> None:
    report, config = checked(tmp_path, 4, 0)
    html = contact_sheet(
        replace(report, photos=report.photos[:3], held_out=(replace(report.photos[3], repeats=0),)), config.dataset
    )
    assert html.count("lora-loop-card ") == 4 and html.count("kept out of training") == 1


def test_prompts_are_shown_with_what_their_line_means() -> None:
    config = configs.from_values(
        {
            "trigger": "ohwx",
            "class_word": "man",
            "seed": 5,
            "samples": {
                "prompts": [
                    "a [trigger] on a beach --n blurry --w 512 --h 768 --l 5.5 --s 30 --d 1 --ss ddim",
                    "plain",
                    "x --zz 3",
                    EVIL,
                ],
                "steps": 12,
            },
        }
    )
    html = prompts_html.page(config)
    assert "<img" not in html
    items = [" ".join(" ".join(item.itertext()).split()) for item in xml.fromstring(f"<r>{html}</r>").iter("li")]
    assert items[0].startswith("a ohwx man on a beach not:  blurry".replace("  ", " "))
    assert all(piece in items[0] for piece in ("512 × 768", "Seed 1", "CFG 5.5", "Steps 30", "ddim"))
    assert all(piece in items[1] for piece in ("512 × 512", "Seed 5", "CFG 7", "Steps 12", "euler_a"))
    assert "--zz is not a flag" in items[2]
    assert "no samples" in prompts_html.page(configs.from_values({}))


def test_each_step_lies_behind_the_smooth_line_and_peaks_do_not_flatten_it() -> None:
    steps = list(range(1, 401))
    noisy = [5.0 if step == 200 else 0.1 + step % 7 / 100 for step in steps]
    raw, smooth = downsample(steps, noisy), [Point(*(step, 0.13, 0.13, 0.13)) for step in steps[1::2]]
    picture = xml.fromstring(chart("Loss", {"average": smooth}, [(1, 200)], {"each step": raw}, (1, 400)))
    [svg] = [one for one in picture if one.tag.endswith("svg")]
    kinds = [(one.get("class") or "text").split()[0] for one in svg]
    assert kinds.index("lora-loop-band") < kinds.index("lora-loop-raw") < kinds.index("lora-loop-curve")
    for shape in svg:
        for pair in (shape.get("points") or "").split():
            assert TOP <= float(pair.split(",")[1]) <= HEIGHT - BOTTOM
    told = json.loads(str(picture.get("data-curves")))
    assert len(told["steps"]) == len(told["lines"][0]) - 1 == 200 and told["whole"] == [1, 400]
    assert svg.get("tabindex") == "0" and picture.find("{*}figcaption/{*}button") is None


def test_a_zoomed_chart_can_show_all_again() -> None:
    points = [Point(step, 0.1, 0.1, 0.1) for step in range(50, 60)]
    html = chart("Loss", {"loss": points}, [], None, (1, 100))
    assert 'data-act="zoom"' in html and "&quot;shown&quot;:[50,59]" in html


def test_two_pages_have_each_their_own_zoom(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    job = store.create(configs.from_values({"name": "cat", "trigger": "ohwx"}), desk.home)
    with job.events.open("w") as stream:
        for step in range(1, 1001):
            event = {"kind": "step", "step": step, "epoch": 1 + step // 100, "loss": 0.1, "average": 0.1}
            stream.write(json.dumps({**event, "lr": {"unet": 1e-4}, "seconds": 0.1}) + "\n")
    name = job.folder.name
    one, other = scene.Scene(job=name), scene.Scene(job=name)
    scene.act(one, desk, json.dumps({"act": "zoom", "first": "100", "last": "199"}))
    for _ in range(2):
        charts = scene.fragments(one, desk)["charts"]
        assert "&quot;shown&quot;:[100,199]" in charts and charts.count("&quot;whole&quot;:[1,1000]") == 2
        assert "&quot;shown&quot;:[5,1000]" in scene.fragments(other, desk)["charts"]
    scene.act(one, desk, json.dumps({"act": "zoom", "first": "5000", "last": "6000"}))
    assert "&quot;shown&quot;:[5,1000]" in scene.fragments(one, desk)["charts"], "nothing is there: all is shown"
    scene.act(one, desk, json.dumps({"act": "zoom", "first": "100", "last": "199"}))
    scene.act(one, desk, json.dumps({"act": "zoom"}))
    assert one.zoom == scene.ALL


def test_sample_now_is_for_running_jobs_with_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_prompts = store.create(configs.from_values({"name": "a", "samples": {"prompts": ["a cat"]}}), tmp_path)
    without = store.create(configs.from_values({"name": "b"}), tmp_path)
    assert "is not running" in control.sample_now(with_prompts)
    monkeypatch.setattr(process, "is_running", lambda _job: True)
    assert "after this step" in control.sample_now(with_prompts) and with_prompts.take() == ["sample_now"]
    with pytest.raises(ConfigError, match="no sample prompts"):
        control.sample_now(without)


def test_a_start_is_put_off_and_brought_forward(tmp_path: Path, workshop: Workshop) -> None:
    desk, now = desk_in(tmp_path, workshop.base), scene.Scene()
    (desk.home / "queue").mkdir()
    queue.pause(desk.home, True)
    given = answers("tiny.safetensors", workshop.photos)
    for wrong in ("25:00", "soon", "9" * 5000, "9999-12-31T00:00"):
        with pytest.raises(ConfigError):
            desk.start(given, wrong)
    assert not queue.read(desk.home).entries
    name, _ = desk.start(given, " 23:30 ")
    [entry] = queue.read(desk.home).entries
    assert entry.start_at is not None and datetime.fromtimestamp(entry.start_at).strftime("%H:%M") == "23:30"
    assert (
        "23:30" in scene.fragments(now, desk)["queue"] and 'data-act="start_now"' in scene.fragments(now, desk)["queue"]
    )
    scene.act(now, desk, json.dumps({"act": "start_now", "job": "nobody"}))
    assert "not in the queue" in now.message
    scene.act(now, desk, json.dumps({"act": "start_now", "job": name}))
    assert queue.read(desk.home).entries[0].start_at is None
    assert 'data-act="start_now"' not in scene.fragments(now, desk)["queue"]


def test_a_run_that_waits_for_the_card_is_told_to_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, now = desk_in(tmp_path), scene.Scene()
    job = store.create(configs.from_values({"name": "cat", "trigger": "ohwx"}), desk.home)
    job.update(status="running")
    job.events.write_text(json.dumps({"kind": "state", "status": "waiting", "message": "The card is busy."}) + "\n")
    monkeypatch.setattr(process, "is_running", lambda _job: True)
    assert 'data-act="share_card"' in scene.fragments(scene.Scene(job=job.folder.name), desk)["controls"]
    scene.act(now, desk, json.dumps({"act": "share_card", "job": job.folder.name}))
    assert job.read()["share_card"] is True and not now.message


@pytest.mark.parametrize("typed", ["tiny.safetensors", "tiny", "Tiny.SafeTensors"])
def test_a_base_is_found_by_what_people_type(typed: str, tmp_path: Path) -> None:
    """A drop-down of gradio 4 gives what was typed, not the entry that it has found."""
    base = tmp_path / "tiny.safetensors"
    assert desk_in(tmp_path, base).base(typed) == base


def test_whoever_opens_the_page_sees_a_run_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was clicked: the run that goes on is shown, then the next of the queue, then what became of the last."""
    desk, now, running = desk_in(tmp_path), scene.Scene(), list[str]()
    monkeypatch.setattr(process, "is_running", lambda job: job.folder.name in running)
    one, two = (store.create(configs.from_values({"name": name}), desk.home).folder.name for name in ("one", "two"))
    for job in (one, two):
        queue.add(desk.home, [job])
        running[:] = [job]
        assert job in scene.fragments(now, desk)["head"]
        running.clear()
        queue.remove(desk.home, job)
        assert job in scene.fragments(now, desk)["head"]
    assert not scene.fragments(scene.Scene(), desk)["head"], "who comes later saw no run"
    scene.act(now, desk, json.dumps({"act": "delete", "job": two}))
    assert not scene.fragments(now, desk)["head"], "a deleted one is not shown any more"
