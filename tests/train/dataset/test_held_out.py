"""Which photos are held out: so many, the same ones whatever their names, with their copies, never more than half."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.train.config import from_values
from lib_lora_train.train.dataset.held_out import hold_out
from lib_lora_train.train.dataset.photos import Dataset, Photo
from lib_lora_train.train.errors import DatasetError
from tests.pictures import save
from tests.train.dataset.test_report import check


def photo(name: str, content: str) -> Photo:
    return Photo(Path(name), name, 512, 512, content, "f")


def photos(count: int) -> Dataset:
    return Dataset(tuple(photo(f"{number}.png", f"content {number}") for number in range(count)))


def held(found: Dataset, asked: float, seed: int = 1, **more: Any) -> Dataset:
    return hold_out(found, from_values({"seed": seed, "dataset": {"held_out": asked}}), **more)


@pytest.mark.parametrize(("asked", "count"), [(0, 0), (0.01, 1), (0.1, 1), (0.3, 3), (0.5, 5), (1, 1), (4, 4), (5, 5)])
def test_a_number_or_a_share(asked: float, count: int) -> None:
    found = held(photos(10), asked)
    assert len(found.held_out) == count and len(found.photos) == 10 - count
    assert {one.name for one in (*found.photos, *found.held_out)} == {one.name for one in photos(10).photos}
    assert not found.errors


def test_the_choice_is_of_content_and_seed_not_of_names_and_order() -> None:
    chosen = {one.identity for one in held(photos(40), 5).held_out}
    renamed = Dataset(tuple(replace(one, name=f"z{one.name}") for one in reversed(photos(40).photos)))
    assert {one.identity for one in held(renamed, 5).held_out} == chosen
    assert any({one.identity for one in held(photos(40), 5, seed).held_out} != chosen for seed in range(2, 9))
    assert {one.identity for one in held(photos(40), 6).held_out} > chosen  # more of them are these and others


def test_exact_copies_stay_on_one_side() -> None:
    twins = [photo(f"{number} again.png", f"content {number}#2") for number in range(10)]
    for seed in range(20):
        found = held(Dataset((*photos(10).photos, *twins)), 4, seed)
        assert {one.content for one in found.held_out}.isdisjoint(one.content for one in found.photos)
        assert len(found.held_out) == 4


@pytest.mark.parametrize(("count", "asked", "cure"), [(7, 4, "use 3 or fewer"), (1, 0.1, "add photos"), (9, 0.6, "4")])
def test_more_than_half_is_refused_with_the_number_that_would_do(count: int, asked: float, cure: str) -> None:
    found = held(photos(count), asked)
    assert found.held_out == () and len(found.photos) == count
    with pytest.raises(DatasetError, match=f"dataset.held_out = {asked:g} .*{cure}"):
        found.require_trainable()


def test_photos_stay_on_the_side_that_a_run_began_with() -> None:
    begun = held(photos(10), 3)
    before = frozenset(one.identity for one in begun.held_out)
    later = Dataset(tuple(one for one in photos(14).photos if one.identity != min(before)))
    found = held(later, 3, before=before)
    assert {one.identity for one in found.held_out} == before - {min(before)}


def test_check_names_them_and_counts_the_steps_without_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        save(tmp_path / "10_ohwx man" / f"{number}.png", (320, 320), seed=number, caption="ohwx man")
    sheet = tmp_path / "sheet.png"
    words = (str(tmp_path / "10_ohwx man"), "--set", "dataset.held_out=2", "--set", "loop.epochs=1")
    assert check(*words, "--sheet", str(sheet)) == 0
    text = capsys.readouterr().out
    assert "2 photos are held out of training: " in text and "Steps: 40 " in text and sheet.is_file()
    assert check(*words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["steps"], len(told["photos"]), len(told["held_out"])) == (40, 4, 2)
    assert all(one["repeats"] == 0 and one["name"] in text for one in told["held_out"])
    assert check(str(tmp_path / "10_ohwx man"), "--set", "dataset.held_out=4") == 3
    assert "keep more than half of 6 photos out of training: use 3 or fewer" in capsys.readouterr().out
