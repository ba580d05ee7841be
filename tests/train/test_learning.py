"""Training *learns*: a LoRA trained by the worker, painted by another implementation, looked at by the judge.

Alpha is half of the rank, so that it matters where it counts; the text encoder is trained; every place stands in the captions, so
that it matters which caption belongs to which photo; photos of other creatures keep the class as the base knows it. The levels
stand well away from what was measured with all of it at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lora_train.demo.judge import shipped_judge
from lib_lora_train.demo.models import BASE
from lib_lora_train.demo.paint import Painter, sample
from lib_lora_train.demo.score import Examiner, Score, exam
from lib_lora_train.demo.world.characters import COUNT, character, write_others, write_set
from lib_lora_train.jobs import store
from lib_lora_train.train import config as configs
from lib_lora_train.train.job import Job
from tests.runs import events, run

WHO = character("zorpi")
STEPS, BATCH, RANK, ALPHA, RATE, TEXT_RATE = 240, 4, 16, 8.0, 2e-3, 6e-3
DRAWING = 8
PLACE = "on a beach"

LIKENESS, LEAK, OBEDIENCE_LOST, SAME_PICTURE = 0.7, 0.35, 0.2, 1.0


@dataclass(frozen=True)
class Learned:
    """What came of one run."""

    score: Score
    base: Score
    difference: float
    """Between the trainer's own picture and the file's, mean of 0 … 255."""
    change: float
    """The same between the base's and the trained one's."""


def train(folder: Path) -> Job:
    """One run over the character's photos and as many of others."""
    write_set(WHO, folder / "photos")
    write_others(WHO, folder / "others")
    values = {
        "name": "zorpi",
        "trigger": WHO.trigger,
        "class_word": WHO.class_word,
        "base": {"path": str(BASE)},
        "dataset": {
            "path": str(folder / "photos"),
            "resolution": 128,
            "bucket_min": 64,
            "bucket_max": 256,
            "bucket_step": 16,
            "repeats": STEPS * BATCH // COUNT // 2,
            "regularisation": str(folder / "others"),
        },
        "adapter": {"rank": RANK, "alpha": ALPHA},
        "optimizer": {"learning_rate": RATE, "text_encoder_rate": TEXT_RATE},
        "loop": {"steps": STEPS, "batch_size": BATCH},
        "samples": {
            "prompts": [f"a photo of [trigger], {PLACE} --w 128 --h 128 --s {DRAWING} --l 5 --d 1 --ss dpmpp_2m"]
        },
        "save": {"patience": 0.0},
        "log": {"tensorboard": False},
    }
    job = store.create(configs.from_values(values), folder, folder / "job")
    assert run(job) == 0
    return job


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("learning")
    job = train(folder)
    judge, painter = shipped_judge(), Painter(BASE)
    questions = exam(WHO, (1,))
    wanted = [sample(one.prompt, one.seed, DRAWING) for one in questions.questions]
    before = painter.paint(wanted)
    with painter.wearing(job.out / "zorpi.safetensors"):
        after = painter.paint(wanted)
    examiner = Examiner(WHO, judge, sorted((folder / "photos").glob("zorpi-*.jpg")), before)
    drawn = {event["file"].endswith("-base.png"): job.samples / event["file"] for event in events(job, "sample")}
    at = [one.prompt for one in questions.questions].index(f"a photo of {WHO.prompt}, {PLACE}")
    return Learned(
        score=examiner.score(after),
        base=examiner.score(before),
        difference=_distance(Image.open(drawn[False]), after[at]),
        change=_distance(Image.open(drawn[True]), after[at]),
    )


def _distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.mark.slow
def test_the_trigger_shows_the_character(learned: Learned) -> None:
    assert learned.base.likeness == pytest.approx(0, abs=1e-6)
    assert learned.score.likeness > LIKENESS


@pytest.mark.slow
def test_without_the_trigger_others_stay_others(learned: Learned) -> None:
    assert learned.score.leak < LEAK


@pytest.mark.slow
def test_places_are_obeyed_as_before(learned: Learned) -> None:
    assert learned.score.obedience >= learned.base.obedience - OBEDIENCE_LOST


@pytest.mark.slow
def test_the_file_holds_what_was_trained(learned: Learned) -> None:
    """The worker draws with its own adapter; the painter with the file, by kohya's formula."""
    assert learned.change > 3 * SAME_PICTURE
    assert learned.difference < SAME_PICTURE
