"""The small base's journey in the form: its preset is offered, its size followed, minutes are said on a processor."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lib_lora_train.demo.models import BASE
from lib_lora_train.jobs import card as cards
from lib_lora_train.jobs.card import Card
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue, Entry
from lib_lora_train.ui.train import form
from lib_lora_train.ui.train.desk import Answers, Desk
from tests.ui.train.host import Folders, desk_in


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(cards, "ask_driver", list)
    base = tmp_path / "small.safetensors"
    shutil.copyfile(BASE, base)
    return desk_in(tmp_path, base)


def with_processor(desk: Desk, tflops: float) -> None:
    import time

    desk._cards = (time.monotonic(), [Card("CPU", 0.0, 0.0, tflops)])


def answers(desk: Desk, preset: str, base: str = "small.safetensors") -> Answers:
    folder, who = desk.sample_photos()
    return Answers(who.trigger, who.trigger, who.class_word, base, folder, preset, desk.values_of(preset, base))


def test_its_preset_is_offered_and_the_others_follow_its_size(desk: Desk) -> None:
    assert desk.preset_for("small.safetensors", "person") == "small-base" != desk.preset_for("nothing", "person")
    assert desk.preset_for("nothing", "thing") == "object"
    values = desk.values_of("person", "small.safetensors")
    names = ("resolution", "bucket_min", "bucket_max", "bucket_step")
    assert [values[f"dataset.{name}"] for name in names] == ["128", "64", "256", "16"]
    assert values["adapter.rank"] == "128"  # the rest is the preset's
    assert desk.values_of("person", "")["dataset.resolution"] == "768"
    assert "128 px" in desk.about_base("small.safetensors") and "sample_photos" in desk.about_base("small.safetensors")


def test_minutes_are_said_on_a_processor_and_none_where_nobody_can_tell(desk: Desk) -> None:
    with_processor(desk, 0.1)
    prepared = desk.prepare(answers(desk, "small-base"), thorough=False)
    assert prepared.report.trainable and not prepared.warning
    assert "the processor trains: about " in prepared.sentence and " min, 288 steps." in prepared.sentence
    with_processor(desk, 0.0)
    assert "slowly: 288 steps" in desk.prepare(answers(desk, "small-base"), thorough=False).sentence


def test_a_check_at_another_size_than_the_base_s_own_warns(desk: Desk) -> None:
    with_processor(desk, 0.1)
    given = answers(desk, "object")
    far = replace(given, options=form.shown(desk.preset("object")))
    prepared = desk.prepare(far, thorough=False)
    assert "trained on pictures of 128 px, and this run trains at 512 px" in prepared.warning
    assert " h, 400 steps" in prepared.sentence
    assert not desk.prepare(given, thorough=False).warning


def test_the_sample_photos_are_drawn_once_and_only_where_it_is_allowed(desk: Desk) -> None:
    folder, who = desk.sample_photos()
    assert len(list(Path(folder).glob("*.jpg"))) == 16 and who.trigger == "zorpi"
    before = {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()}
    assert desk.sample_photos()[0] == folder
    assert {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()} == before


def test_the_loaded_checkpoint_is_offered_first_and_not_the_first_of_the_alphabet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = tuple(
        Entry(f"{name}.safetensors", (f"{name}.safetensors [12ab]",), f"/m/{name}.safetensors") for name in "abc"
    )
    monkeypatch.setattr(Folders, "catalogue", lambda _self: Catalogue({CHECKPOINT: entries}))
    assert desk.first_base() == "a.safetensors"
    monkeypatch.setattr(
        Folders,
        "option",
        lambda _self, name, default=None: {"sd_model_checkpoint": "b.safetensors [12ab]"}.get(name, default),
    )
    assert desk.first_base() == "b.safetensors"
    monkeypatch.setattr(Folders, "option", lambda _self, _name, default=None: "gone.safetensors [9]")
    assert desk.first_base() == "a.safetensors"


def test_a_form_that_a_browser_kept_is_put_back_but_nothing_private_or_impossible() -> None:
    kept = {
        "adapter_rank": "7", "loop_precision": "fp32", "optimizer_name": "None such", "adapter_unet": "yes",
        "adapter_text_encoder": False, "log_notify": "https://example.org/secret", "base_allow_pickle": True,
        "samples_prompts": "a\nb", "loop_steps": ["1"], "unknown": "x", "seed": "9" * 30_000,
    }  # fmt: skip
    assert form.restored(json.loads(json.dumps(kept))) == {
        "adapter.rank": "7", "loop.precision": "fp32", "adapter.text_encoder": False, "samples.prompts": "a\nb",
    }  # fmt: skip
