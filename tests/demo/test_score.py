"""Painting with a LoRA file, and the arithmetic of the scores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lib_lora_train.demo.judge import Opinion, shipped_judge
from lib_lora_train.demo.models import BASE
from lib_lora_train.demo.paint import Painter, sample
from lib_lora_train.demo.score import Examiner, Question, base_questions, exam, obedience, shares
from lib_lora_train.demo.world.characters import CHARACTERS, FAMILIAR_PLACES, Character, character, scenes, write_set
from lib_lora_train.demo.world.labels import LABELS
from lib_lora_train.demo.world.scene import draw
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.train import samples


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(BASE)


def test_a_batch_is_what_the_trainer_draws_one_by_one(painter: Painter) -> None:
    wanted = [sample("a photo of a cat", 1, 2), sample("two red cars, in the snow", 2, 2)]
    for one, found in zip(wanted, painter.paint(wanted), strict=True):
        alone = samples.draw(painter.base, one, samples.contexts(painter.base, one, 1, painter.device), painter.device)
        assert np.abs(np.asarray(found, dtype=int) - np.asarray(alone, dtype=int)).max() <= 2


def test_a_lora_is_worn_by_its_alpha_and_taken_off_again(painter: Painter, tmp_path: Path) -> None:
    weight = painter.base.text_encoder.text_model.encoder.layers[0].mlp.fc1.weight
    before = weight.clone()
    name = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    tensors = {
        f"{name}.lora_down.weight": torch.ones(4, 96),
        f"{name}.lora_up.weight": torch.ones(384, 4),
        f"{name}.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "one.safetensors")
    with painter.wearing(tmp_path / "one.safetensors", 0.5):
        assert torch.allclose(weight, before + 0.5 * (2 / 4) * 4)
    assert torch.equal(weight, before)
    with painter.wearing(None):
        assert torch.equal(weight, before)


def test_a_lora_of_another_base_is_refused_and_changes_nothing(painter: Painter, tmp_path: Path) -> None:
    save_file({"lora_unet_elsewhere.lora_down.weight": torch.ones(1, 1)}, tmp_path / "other.safetensors")
    with pytest.raises(LoraLoopError, match="for another base"), painter.wearing(tmp_path / "other.safetensors"):
        pass


@pytest.mark.parametrize("one", CHARACTERS, ids=lambda one: one.trigger)
def test_an_exam_asks_the_same_with_the_trigger_and_without(one: Character) -> None:
    asked = exam(one)
    assert len(asked.with_trigger) == len(asked.without) == 12
    for first, second in zip(asked.with_trigger, asked.without, strict=True):
        assert one.trigger in first.prompt and one.trigger not in second.prompt
        assert (first.seed, first.wanted) == (second.seed, second.wanted)
    places = {dict(question.wanted)["place"] for question in asked.with_trigger}
    assert len(places & set(FAMILIAR_PLACES)) == len(places - set(FAMILIAR_PLACES)) == 3


def test_the_base_is_asked_for_everything() -> None:
    questions = base_questions()
    assert len(questions) >= 120 and len({one.prompt for one in questions}) == len(questions)
    for label in ("kind", "colour", "place", "count"):
        assert set(Counter(dict(one.wanted)[label] for one in questions)) == set(LABELS[label])


def test_shares_count_what_is_named_right() -> None:
    def sure(label: str, *values: str) -> torch.Tensor:
        return torch.eye(len(LABELS[label]))[[LABELS[label].index(value) for value in values]]

    seen = Opinion(
        {"kind": sure("kind", "cat", "dog"), "place": sure("place", "at night", "at night")}, torch.zeros(2, 48)
    )
    questions = [
        Question("", 1, (("kind", "cat"), ("place", "at night"))),
        Question("", 1, (("kind", "cat"), ("place", "at night"))),
    ]
    assert shares(seen, questions) == {"kind": 0.5, "place": 1.0, "all": 0.5}
    assert obedience(seen, questions) == 0.75


def test_photos_of_a_character_score_1_and_the_base_0(tmp_path: Path) -> None:
    who, other = character("krumi"), character("zorpi")
    write_set(who, tmp_path, 6)
    base = [draw(scene) for scene in scenes(other, 12)]
    examiner = Examiner(who, shipped_judge(), sorted(tmp_path.glob("*.jpg")), base)
    assert examiner.score(base).likeness == pytest.approx(0, abs=1e-6)
    found = examiner.score([draw(scene) for scene in scenes(who, 6, seed=3)] + base[6:])
    assert 0.85 < found.likeness < 1.15
    assert found.leak == pytest.approx(0, abs=1e-6)
