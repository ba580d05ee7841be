from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lib_lora_train.train.config import from_values
from lib_lora_train.train.dataset.length import length, make_plan
from lib_lora_train.train.dataset.photos import Dataset, Photo


def dataset(count: int, repeats: int = 0, reg: int = 0) -> Dataset:
    photos = tuple(Photo(Path(f"{n}"), f"{n}", 512, 512, f"{n}", "f", repeats=repeats) for n in range(count))
    beside = tuple(
        Photo(Path(f"r{n}"), f"r{n}", 512 if n % 3 else 4032, 512 if n % 3 else 3024, f"r{n}", "r") for n in range(reg)
    )
    return Dataset(photos, beside)


@pytest.mark.parametrize(
    ("photos", "repeats", "steps"),
    [(10, 30, 3000), (15, 20, 3000), (30, 10, 3000), (50, 10, 5000), (1, 300, 3000), (600, 1, 6000)],
)
def test_automatic_is_the_guides_table(photos: int, repeats: int, steps: int) -> None:
    found = length(dataset(photos), from_values({}))
    assert (found.epochs, found.steps, set(found.repeats)) == (10, steps, {repeats})


@pytest.mark.parametrize(
    ("loop", "repeats", "expected"),
    [
        ({"steps": 777}, 0, (10, 777, 8)),
        ({"steps": 777}, 10, (8, 777, 10)),
        ({"steps": 777, "epochs": 3}, 10, (8, 777, 10)),
        ({"epochs": 4}, 0, (4, 40, 1)),
        ({"epochs": 4}, 10, (4, 400, 10)),
        ({"steps_per_image": 100}, 0, (10, 1000, 10)),
        ({"steps_per_image": 100}, 5, (20, 1000, 5)),
        ({"epochs": 5, "steps_per_image": 100}, 0, (5, 1000, 20)),
    ],
)
def test_what_is_asked_for_wins(loop: dict[str, int], repeats: int, expected: tuple[int, int, int]) -> None:
    found = length(dataset(10, repeats), from_values({"loop": loop}))
    assert (found.epochs, found.steps, found.repeats[0]) == expected


def test_configs_repeats_win_over_folders_and_unnumbered_folders_count_once() -> None:
    mixed = replace(dataset(2, 10), photos=(*dataset(2, 10).photos, *dataset(1).photos))
    assert length(mixed, from_values({})).repeats == (10, 10, 1)
    assert length(mixed, from_values({"dataset": {"repeats": 3}})).repeats == (3, 3, 3)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_shown_steps_are_the_steps_done(batch: int, accumulation: int) -> None:
    config = from_values({"loop": {"epochs": 6, "batch_size": batch, "accumulation": accumulation}})
    for reg in (0, 5, 40):
        data = dataset(7, 3, reg)
        plan = make_plan(data, config)
        assert length(data, config).steps == sum(len(plan.epoch(number).steps) for number in range(1, 7))


def test_fewer_photos_than_the_batch_is_one_short_batch() -> None:
    config = from_values({"loop": {"epochs": 3, "batch_size": 16}, "dataset": {"repeats": 1}})
    assert length(dataset(2), config).steps == 3


def test_no_photo_has_no_length() -> None:
    assert length(dataset(0), from_values({"loop": {"steps": 5}})).steps == 0
