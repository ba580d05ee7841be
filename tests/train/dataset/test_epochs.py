from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.train.dataset.captions import caption_for
from lib_lora_train.train.dataset.epochs import Plan
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.sections import DatasetConfig

SHAPES = [(512, 512), (3024, 4032), (4032, 3024), (1080, 1920), (600, 600)]


def photos(sizes: list[tuple[int, int]], prefix: str = "p") -> tuple[Photo, ...]:
    return tuple(
        Photo(Path(f"{prefix}{n}"), f"{prefix}{n}", *size, f"{prefix}{n}", "f", caption=f"caption {prefix}{n}")
        for n, size in enumerate(sizes)
    )


def plan(
    sizes: list[tuple[int, int]],
    repeats: int = 10,
    reg: list[tuple[int, int]] | None = None,
    batch: int = 1,
    accumulation: int = 1,
    **options: object,
) -> Plan:
    return Plan(
        photos(sizes),
        photos(reg or [], "r"),
        (repeats,) * len(sizes),
        DatasetConfig(**options),
        1234,
        batch,
        accumulation,
    )


plans = st.builds(
    Plan,
    photos=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=12).map(photos),
    regularisation=st.lists(st.sampled_from(SHAPES), max_size=9).map(lambda sizes: photos(sizes, "r")),
    repeats=st.just(()),
    dataset=st.just(DatasetConfig()),
    seed=st.integers(0, 2**63 - 1),
    batch_size=st.integers(1, 5),
    accumulation=st.integers(1, 4),
).flatmap(
    lambda made: st.lists(st.integers(1, 6), min_size=len(made.photos), max_size=len(made.photos)).map(
        lambda repeats: Plan(
            made.photos,
            made.regularisation,
            tuple(repeats),
            made.dataset,
            made.seed,
            made.batch_size,
            made.accumulation,
        )
    )
)

PHONE = [(3024, 4032)] * 7 + [(4032, 3024)] * 4 + [(1080, 1920)] * 3 + [(1000, 1000)] * 2
MIXED = [
    (800, 600),
    (640, 480),
    (1920, 1080),
    (1080, 1350),
    (2000, 3000),
    (3000, 2000),
    (512, 512),
    (768, 1024),
    (2048, 2048),
    (1200, 400),
    (450, 2000),
]

GOLDEN = [
    (PHONE, 512, [(384, 640, 30), (448, 576, 70), (512, 512, 20), (576, 448, 40)], {1: 160, 2: 80, 3: 55, 4: 41}),
    (PHONE, 768, [(576, 1024, 30), (640, 896, 70), (768, 768, 20), (896, 640, 40)], {1: 160, 2: 80, 3: 55, 4: 41}),
    (
        MIXED,
        512,
        [
            (256, 1024, 10),
            (384, 640, 10),
            (448, 576, 20),
            (512, 512, 20),
            (576, 448, 20),
            (640, 384, 20),
            (832, 256, 10),
        ],
        {1: 110, 2: 55, 3: 40, 4: 29},
    ),
    (
        MIXED,
        768,
        [
            (256, 1024, 10),
            (640, 896, 20),
            (704, 832, 10),
            (768, 768, 20),
            (896, 640, 30),
            (1024, 320, 10),
            (1024, 576, 10),
        ],
        {1: 110, 2: 55, 3: 40, 4: 30},
    ),
]


@pytest.mark.parametrize(("sizes", "resolution", "buckets", "lengths"), GOLDEN)
def test_buckets_and_epoch_lengths_are_kohyas(
    sizes: list[tuple[int, int]], resolution: int, buckets: list[tuple[int, int, int]], lengths: dict[int, int]
) -> None:
    for batch, batches in lengths.items():
        for accumulation in (1, 2, 4):
            made = plan(sizes, 10, None, batch, accumulation, resolution=resolution, upscale=True)
            assert made.bucket_counts(1) == {(width, height): count for width, height, count in buckets}
            assert made.batches_per_epoch(1) == batches == len(made.epoch(1).batches)
            assert made.steps_per_epoch(1) == -(-batches // accumulation) == len(made.epoch(1).steps)


@settings(deadline=None, max_examples=60)
@given(plans)
def test_each_photo_comes_exactly_its_repeats_and_counts_are_exact(made: Plan) -> None:
    total = 0
    for number in (1, 2, 3):
        epoch = made.epoch(number)
        own = Counter(
            (item.photo_index, item.repeat)
            for batch in epoch.batches
            for item in batch.items
            if not item.is_regularisation
        )
        assert own == {(index, repeat): 1 for index, count in enumerate(made.repeats) for repeat in range(count)}
        assert all(0 < len(batch.items) <= made.batch_size for batch in epoch.batches)
        assert all(item.placement.bucket == batch.bucket for batch in epoch.batches for item in batch.items)
        assert [batch for step in epoch.steps for batch in step] == list(epoch.batches)
        seen = Counter(batch.bucket for batch in epoch.batches for _ in batch.items)
        assert made.bucket_counts(number) == dict(sorted(seen.items()))
        assert made.steps_per_epoch(number) == len(epoch.steps)
        total += len(epoch.steps)
        assert made.total_steps(number) == total
        assert made.epochs_for(total) == number
        assert made.position(total) == (number + 1, 0)


@settings(deadline=None, max_examples=40)
@given(plans)
def test_regularisation_takes_turns_through_all(made: Plan) -> None:
    used: Counter[int] = Counter()
    for number in range(1, 5):
        items = [item for batch in made.epoch(number).batches for item in batch.items if item.is_regularisation]
        assert len(items) == (sum(made.repeats) if made.regularisation else 0)
        assert len({(item.photo_index, item.repeat) for item in items}) == len(items)
        used.update(item.photo_index for item in items)
    if made.regularisation:
        counts = [used[index] for index in range(len(made.regularisation))]
        assert max(counts) - min(counts) <= 1


def test_photo_i_always_comes_with_caption_i_over_three_shuffled_epochs() -> None:
    made = plan(PHONE, 2, MIXED, batch=3, shuffle=True)
    orders: list[list[str]] = []
    for number in (1, 2, 3):
        items = [item for batch in made.epoch(number).batches for item in batch.items]
        for item in items:
            whole = made.regularisation if item.is_regularisation else made.photos
            assert whole[item.photo_index] is item.photo
            assert (
                caption_for(item.photo, item.repeat, number, made.seed, made.dataset, "")
                == f"caption {item.photo.name}"
            )
        orders.append([item.photo.name for item in items])
    assert orders[0] != orders[1] != orders[2]


def test_same_seed_same_epoch_other_seed_other_order() -> None:
    made = plan(PHONE, 3, batch=2)
    assert made.epoch(4) == plan(PHONE, 3, batch=2).epoch(4)
    other = Plan(made.photos, (), made.repeats, made.dataset, 99, 2)
    assert other.epoch(4) != made.epoch(4)


def test_adding_a_photo_keeps_the_order_of_the_others() -> None:
    few, more = plan(PHONE[:6], 2), plan(PHONE[:7], 2)

    def order(made: Plan) -> list[tuple[str, int]]:
        items = [item for batch in made.epoch(1).batches for item in batch.items]
        names = sorted(items, key=lambda item: item.photo.name)
        return [(item.photo.name, item.repeat) for item in names if item.photo.name != "p6"]

    assert sorted(order(few)) == sorted(order(more))
    bucket = [item.photo.name for batch in plan(PHONE[:6], 2, batch=100).epoch(1).batches for item in batch.items]
    grown = [item.photo.name for batch in plan(PHONE[:7], 2, batch=100).epoch(1).batches for item in batch.items]
    assert bucket == [name for name in grown if name != "p6"]


def test_order_within_a_bucket_does_not_follow_the_batch_size() -> None:
    def members(batch: int) -> list[tuple[str, int]]:
        made = plan([(512, 512)] * 9, 2, batch=batch)
        return [(item.photo.name, item.repeat) for group in made.epoch(1).batches for item in group.items]

    assert sorted(members(1)) == sorted(members(4))
    whole = members(100)
    made = plan([(512, 512)] * 9, 2, batch=4)
    for group in made.epoch(1).batches:
        names = [(item.photo.name, item.repeat) for item in group.items]
        start = whole.index(names[0])
        assert whole[start : start + len(names)] == names


def test_position_within_epochs() -> None:
    made = plan([(512, 512)] * 5, 1, batch=2, accumulation=2)
    assert made.steps_per_epoch(1) == 2
    assert [made.position(step) for step in range(5)] == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]


def test_a_hundred_thousand_photos_are_planned_in_seconds() -> None:
    made = plan([SHAPES[n % 5] for n in range(100_000)], 1, batch=4)
    assert len(made.epoch(1).batches) == made.batches_per_epoch(1)
