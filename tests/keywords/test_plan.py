"""The plan of batches: every image once, with its settings; batches not too large; models loaded as seldom as can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.keywords.plan import Needs, plan

LOADS = st.tuples(st.sampled_from("abc"), st.sampled_from("xy"))
NEEDS = st.builds(Needs, LOADS, st.integers(0, 2))
JOBS = st.lists(NEEDS, min_size=1, max_size=24)


@given(JOBS, st.integers(1, 8), LOADS, st.booleans())
def test_every_image_gets_its_settings_exactly_once(
    needs: list[Needs], size: int, loaded: tuple[str, str], alone: bool
) -> None:
    made = plan(needs, size, loaded, alone)
    assert sorted(made.order) == list(range(len(needs)))
    for part in made.parts:
        assert len({needs[number] for number in part.images}) == 1
        assert 1 <= part.batch_size <= size
        assert len(part.images) == part.batches * part.batch_size
        assert list(part.images) == sorted(part.images)
        assert not alone or part.batches == 1


@given(JOBS, st.integers(1, 8), LOADS)
def test_loads_are_minimal(needs: list[Needs], size: int, loaded: tuple[str, str]) -> None:
    """No order loads less: each combination of files is loaded once, and not at all when it is loaded already; the
    dearest file (the first) is changed once for each."""
    made = plan(needs, size, loaded)
    order = [needs[number].loads for number in made.order]
    walked = [loaded, *order]
    assert sum(one != two for one, two in zip(walked, order, strict=False)) == made.loads
    combinations = set(order)
    assert made.loads == len(combinations) - (loaded in combinations)
    checkpoints = [load[0] for load in order]
    changes = sum(one != two for one, two in zip([loaded[0], *checkpoints], checkpoints, strict=False))
    assert changes == len(set(checkpoints)) - (loaded[0] in checkpoints)


@given(JOBS, st.integers(1, 8))
def test_no_more_batches_than_needed(needs: list[Needs], size: int) -> None:
    made = plan(needs, size)
    assert made.batches == sum(-(-needs.count(need) // size) for need in set(needs))


@given(JOBS, st.integers(1, 8), LOADS)
def test_the_order_can_be_put_back(needs: list[Needs], size: int, loaded: tuple[str, str]) -> None:
    made = plan(needs, size, loaded)
    pictures = dict(zip(made.order, (f"picture {number}" for number in made.order), strict=True))
    assert [pictures[number] for number in range(len(needs))] == [f"picture {n}" for n in range(len(needs))]


def test_equal_images_are_one_part_and_nothing_is_said() -> None:
    made = plan([Needs(("a", "x"))] * 8, 4, ("a", "x"))
    assert made.is_simple and made.words() == "" and made.loads == 0
    assert [(part.batch_size, part.batches) for part in made.parts] == [(4, 2)]


def test_the_rest_of_a_group_has_a_batch_of_its_own_size() -> None:
    made = plan([Needs()] * 7, 3)
    assert [(part.images, part.batch_size) for part in made.parts] == [((0, 1, 2, 3, 4, 5), 3), ((6,), 1)]


def test_what_is_loaded_comes_first_and_it_says_what_it_did() -> None:
    needs = [Needs(("b", ""), 1), Needs(("a", ""), 1), Needs(("b", ""), 2)]
    made = plan(needs, 2, ("a", ""))
    assert made.order == (1, 0, 2)
    assert made.words() == (
        "3 images in 3 batches, for 3 different sets of settings (2 batches of 2 would have mixed them); "
        "made in the order that loads least, shown in yours; 1 model load."
    )
