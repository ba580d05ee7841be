"""The plan: every place has its cell, equal cells are one, the order is the cheapest, and keys mean what they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_lora_train.grid import plan
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.errors import GridError
from lib_lora_train.grid.plan import CONTROL, Axis, Checkpoint, Place
from lib_lora_train.grid.prompts import GridPrompt
from tests.grid.files import make_plan, write_lora, write_run

BASES = tuple(Checkpoint(f"{name}.safetensors", Path(f"{name}.safetensors"), name * 64) for name in "abc")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("plan"), "x", 4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_place_has_its_cell_and_every_cell_a_place(run: Run, data: st.DataObject) -> None:
    weights = tuple(data.draw(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0, 1.2]), min_size=1, max_size=4)))
    epochs = tuple(
        data.draw(st.lists(st.sampled_from(run.usable), min_size=1, max_size=4, unique_by=lambda epoch: epoch.name))
    )
    seeds = tuple(data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)))
    prompts = tuple(
        GridPrompt(text, text)
        for text in data.draw(st.lists(st.sampled_from(["a", "b", "{c|d}"]), min_size=1, max_size=3))
    )
    bases = BASES[: data.draw(st.integers(1, 3))]
    axes = (Axis("cfg_scale", (4, 7)),) if data.draw(st.booleans()) else ()
    control = data.draw(st.booleans()) or not any(weights)
    made = make_plan(
        run, epochs=epochs, weights=weights, seeds=seeds, prompts=prompts, checkpoints=bases, axes=axes, control=control
    )
    distinct = sorted({weight for weight in weights if weight})
    has_control = control or 0 in weights
    each = len(bases) * len(prompts) * len(seeds) * (2 if axes else 1)
    assert len(made.places) == (len(epochs) * len(distinct) + has_control) * each
    assert set(made.places.values()) == {cell.key for cell in made.cells} == set(made.by_key)
    for place, key in made.places.items():
        cell = made.by_key[key]
        assert cell.checkpoint == bases[place.checkpoint] and cell.seed == seeds[place.seed]
        assert (cell.epoch is None) == (place.epoch == CONTROL) == (cell.weight == 0)
        assert cell.text == made.drawn(place.prompt, place.seed).text
        if cell.epoch:
            assert cell.epoch == epochs[place.epoch] and cell.weight == made.weights[place.weight]
            assert cell.prompt.endswith(f"<lora:{cell.epoch.name}:{cell.weight:g}>")
    loads = [
        key
        for key, _ in itertools.groupby((cell.checkpoint.name, cell.epoch and cell.epoch.name) for cell in made.cells)
    ]
    assert len(loads) == len(set(loads)), "a checkpoint or a LoRA is loaded twice"
    assert [cell.key for batch in made.batches(made.cells, 3) for cell in batch] == [cell.key for cell in made.cells]
    assert all(len({cell.lora_set for cell in batch}) == 1 and len(batch) <= 3 for batch in made.batches(made.cells, 3))


def test_the_control_is_drawn_once_for_all_weights(run: Run) -> None:
    made = make_plan(run)
    controls = [cell for cell in made.cells if cell.epoch is None]
    assert len(controls) == 4 and len(made.cells) == 4 + 4 * 2 * 4
    assert all("<lora" not in cell.prompt for cell in controls)


def test_the_same_prompt_twice_is_drawn_once(run: Run) -> None:
    card = (GridPrompt("one", "ohwx cat"), GridPrompt("two", "[trigger]"))
    made = make_plan(run, prompts=card, seeds=(1,), weights=(1.0,), control=False)
    assert len(made.places) == 8 and len(made.cells) == 4
    assert made.places[Place(0, 0, 0, 0, 0, 0)] == made.places[Place(0, 0, 1, 0, 0, 0)]


def test_a_key_changes_with_everything_that_changes_the_picture_and_with_nothing_else(run: Run, tmp_path: Path) -> None:
    def key(run: Run = run, **changes: object) -> str:
        made = make_plan(
            run, **{"weights": (1.0,), "control": False, "seeds": (1,), "prompts": (GridPrompt("p", "x"),)} | changes
        )
        return made.cells[0].key

    again = write_run(tmp_path / "same", "x", 4)
    renamed = write_run(tmp_path / "renamed", "y", 4)
    retrained = tmp_path / "new"
    write_lora(retrained / "x-000001.safetensors", 77)
    from lib_lora_train.grid import discover

    assert key() == key(again) == key(renamed)  # contents and settings count, names do not
    others = [
        key(discover.find(str(retrained))),
        key(weights=(0.9,)),
        key(seeds=(2,)),
        key(prompts=(GridPrompt("p", "y"),)),
        key(prompts=(GridPrompt("p", "x", "bad"),)),
        key(checkpoints=BASES[:1]),
        key(axes=(Axis("cfg_scale", (9,)),)),
        key(epochs=run.usable[1:]),
    ]
    assert len({key(), *others}) == len(others) + 1


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("0,0.8,1", (0, 0.8, 1)),
        ("0.2-1.0:0.2", (0.2, 0.4, 0.6, 0.8, 1.0)),
        ("1, 1,0", (1, 0)),
        ("-0.5,0-1:0.5", (-0.5, 0, 0.5, 1)),
    ],
)
def test_weights_are_read(text: str, weights: tuple[float, ...]) -> None:
    assert plan.read_weights(text) == weights


@pytest.mark.parametrize("text", ["", "a", "1,2x", "1-0:0.5", "0-1:0", "0-1:nan", "nan", "99", "0-1:1e-9", "1;2"])
def test_wrong_weights_are_named(text: str) -> None:
    with pytest.raises(GridError, match="--weights"):
        plan.read_weights(text)


def test_nothing_to_draw_and_far_too_much_are_refused(run: Run) -> None:
    with pytest.raises(GridError, match="no file that can be used"):
        make_plan(run, epochs=())
    with pytest.raises(GridError, match="no weight to draw with"):
        make_plan(run, weights=(), control=False)
    with pytest.raises(GridError, match="at least one prompt"):
        make_plan(run, prompts=())
    with pytest.raises(GridError, match=r"would be 2,000,000 pictures|pictures; choose fewer"):
        make_plan(run, seeds=tuple(range(20_000)), prompts=(GridPrompt("p", "x"),))
