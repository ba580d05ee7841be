"""Losses, scores and what they speak for: only what was measured, with its grounds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from lib_lora_train.grid import scores, scoring
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.manifest import Manifest
from lib_lora_train.grid.numbers import Losses, losses
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.recommend import recommend
from lib_lora_train.grid.render import draw_missing
from lib_lora_train.grid.scores import Score, Spread, Standing, cosine, spread
from tests.grid.files import Painter, kohya, make_plan, write_lora, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("numbers"), "x", 3)


def test_losses_come_from_the_jobs_diary_without_counting_repeated_steps_twice(run: Run, tmp_path: Path) -> None:
    events = [
        {"kind": "step", "step": 1, "epoch": 1, "loss": 0.9},
        {"kind": "step", "step": 2, "epoch": 1, "loss": 5.0},
        {"kind": "state", "status": "stopped"},
        {"kind": "step", "step": 2, "epoch": 1, "loss": 0.7},  # resumed: the same step again
        {"kind": "saved", "step": 2, "epoch": 1, "held_out": 0.95},
        {"kind": "step", "step": 3, "epoch": 2, "loss": "nan"},
        {"kind": "step", "step": 4, "epoch": 2, "loss": 0.5},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + '\n[1]\n{"torn')
    found = losses(run.usable, tmp_path)
    assert found["x-000001"] == Losses(pytest.approx(0.8), 0.95)
    assert found["x-000002"] == Losses(0.5, None) and found["x-000003"] == Losses()
    assert losses(run.usable)["x-000001"] == Losses()


def test_losses_in_the_metadata_go_first(tmp_path: Path) -> None:
    texts = kohya("y", 1) | {"ss_lora_loop_loss": "0.25", "ss_lora_loop_held_out_loss": "nan"}
    write_lora(tmp_path / "y-000001.safetensors", 1, texts)
    from lib_lora_train.grid import discover

    assert losses(discover.find(str(tmp_path)).usable)["y-000001"] == Losses(0.25, None)


def test_cosines_and_spreads() -> None:
    assert cosine([1, 0], [1, 0]) == 1 and cosine([1, 0], [0, 2]) == 0 and cosine([0, 0], [1, 1]) == 0
    assert cosine([1, 1], [1, 0]) == pytest.approx(math.sqrt(0.5))
    assert spread([]) is None and spread([None]) is None
    assert spread([1.0]) == Spread(1.0, 0.0, 1)
    assert spread([1.0, 3.0, None]) == Spread(2.0, pytest.approx(math.sqrt(2)), 2)


def standing(
    epoch: int, weight: float, likeness: float, obedience: float | None = None, deviation: float = 0.02
) -> Standing:
    seen = None if obedience is None else Spread(obedience, 0.01, 4)
    return Standing(epoch, weight, Spread(likeness, deviation, 4), seen)


def test_of_those_as_like_as_the_best_the_most_obedient_is_recommended(run: Run) -> None:
    table = [
        Standing(-1, 0.0, Spread(0.4, 0.02, 4), Spread(0.33, 0.01, 4)),
        standing(0, 1.0, 0.60, 0.32),
        standing(1, 0.8, 0.71, 0.31),
        standing(1, 1.0, 0.70, 0.29),
        standing(2, 1.0, 0.72, 0.22),
    ]
    found = recommend(run.usable, table, {}, "dino-small")
    assert (found.epoch, found.weight) == (1, 0.8)
    assert (
        found.grounds[0] == "Epoch 2 at weight 0.8 has a likeness to the training photos of 0.710 ± 0.020 (dino-small)."
    )
    assert "cannot be told from the best (Epoch 3 at weight 1, 0.720 ± 0.020), whose spread is 0.020" in found.sentence
    assert "0.310 ± 0.010; others as like come down to 0.220" in found.sentence


def test_without_obedience_the_earlier_epoch_wins_a_tie(run: Run) -> None:
    found = recommend(run.usable, [standing(0, 1.0, 0.70), standing(1, 1.0, 0.71), standing(2, 1.0, 0.60)], {})
    assert (found.epoch, found.weight) == (0, 1.0)


def test_few_pictures_are_called_few(run: Run) -> None:
    one = Standing(0, 1.0, Spread(0.7, 0.0, 1), None)
    assert "rests on 1 picture each: add seeds" in recommend(run.usable, [one], {}).sentence


def test_held_out_loss_recommends_an_epoch_and_no_weight(run: Run) -> None:
    table = {"x-000001": Losses(0.2, 0.30), "x-000002": Losses(0.1, 0.25), "x-000003": Losses(0.05, 0.31)}
    found = recommend(run.usable, [], table)
    assert (found.epoch, found.weight) == (1, None)
    assert "rises to 0.3100 by epoch 3" in found.sentence and "by heart" in found.sentence
    still = {name: Losses(None, 0.3 - 0.1 * number) for number, name in enumerate(table)}
    assert "still falling" in recommend(run.usable, [], still).sentence


def test_training_loss_alone_recommends_nothing(run: Run) -> None:
    found = recommend(run.usable, [], {"x-000001": Losses(0.2), "x-000002": Losses(0.1)})
    assert found.epoch is None and found.sentence.startswith("No recommendation")


class Eye:
    """Sees the colour of a picture's middle, and reads a prompt's length."""

    name = "eye"
    reads_text = True

    def __init__(self) -> None:
        self.looked = 0

    def picture(self, path: Path) -> Sequence[float]:
        from PIL import Image

        self.looked += 1
        with Image.open(path) as image:
            return [float(band) + 1 for band in image.convert("RGB").getpixel((9, 9))]  # type: ignore[union-attr]

    def text(self, prompt: str) -> Sequence[float]:
        return [1.0, float(len(prompt)), 3.0]


def test_pictures_are_scored_once_and_leaks_are_measured_against_the_control(run: Run, tmp_path: Path) -> None:
    plan = make_plan(run)
    manifest = Manifest.open(tmp_path)
    draw_missing(plan, manifest, Painter(["x-000003"]), lambda *_: None)
    eye, told = Eye(), []
    photos = [manifest.folder / plan_file for plan_file in ("cells/" + plan.cells[0].key + ".png", "gone.png")]
    found = scoring.score_all(plan, manifest, eye, photos, lambda *count: told.append(count))
    assert len(found) == len(plan.cells) - 8 and told[-1] == (20, 20)
    assert found[plan.cells[0].key].likeness == pytest.approx(1.0)
    looked = eye.looked
    assert scoring.score_all(plan, manifest, eye, [], lambda *_: None).keys() == found.keys()
    assert eye.looked == looked
    table = scores.standings(plan, found)
    assert [(one.epoch, one.weight) for one in table] == [(-1, 0.0), (0, 0.5), (0, 1.0), (1, 0.5), (1, 1.0)]
    drift = [one.drift for one in table]
    assert drift[0] == Spread(0.0, 0.0, 2)
    places = [place for place in plan.places if place[2:] in ((1, 0, 0, 0), (1, 1, 0, 0))]
    expected = [
        found[plan.places[place]].likeness - found[plan.places[place._replace(weight=-1, epoch=-1)]].likeness  # type: ignore[operator]
        for place in places
    ]
    assert drift[1] and drift[1].mean == pytest.approx(sum(expected) / 2) and drift[1].count == 2
    assert table[1].likeness and table[1].likeness.count == 2 and table[1].obedience and table[1].obedience.count == 4


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ('{"model_type": "clip"}', "clip"),
        ('{"model_type": "dinov2"}', "dino"),
        ('{"model_type": "gpt2"}', ""),
        ("[]", ""),
        ("{", ""),
    ],
)
def test_a_folder_with_a_model_is_known_by_its_config(tmp_path: Path, config: str, kind: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert scores.kind_of_folder(tmp_path) == ""  # no weights
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert scores.kind_of_folder(tmp_path) == kind


def test_obedience_needs_no_trigger_but_likeness_does(run: Run) -> None:
    plan = make_plan(run, prompts=(GridPrompt("out", "a teapot", trigger=False),), seeds=(1,))
    table = scores.standings(plan, {key: Score(0.5, 0.3) for key in plan.by_key})
    assert all(one.likeness is None and one.obedience for one in table)


def test_photos_are_chosen_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MAX_PHOTOS", 4)
    for number in range(10):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    (tmp_path / "note.txt").write_text("")
    assert [path.name for path in scoring.photos_in(tmp_path)] == ["0.jpg", "3.jpg", "6.jpg", "9.jpg"]
