"""The epoch grid's form: what the API may send, and what is refused with the field's name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lib_lora_train.host.errors import RequestError
from lib_lora_train.host.grid_form import GridForm


def test_a_list_an_object_and_what_is_left_out() -> None:
    assert GridForm.read(["cat", "last:3", "0,1"]) == GridForm(run="cat", epochs="last:3", weights="0,1")
    assert GridForm.read([{"run": "cat", "seeds": 2.0, "control": False}]) == GridForm(
        run="cat", seeds=2, control=False
    )
    everything = [getattr(GridForm(run="cat"), one.name) for one in fields(GridForm)]
    assert GridForm.read(everything) == GridForm(run="cat")
    assert GridForm.read([{"run": "cat", "axis": None}]) == GridForm(run="cat")


def test_every_field_is_named_and_explained() -> None:
    assert all(one.metadata["label"] and one.metadata["help"].endswith(".") for one in fields(GridForm))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "choose the LoRA"),
        ([{"run": "  "}], "choose the LoRA"),
        ([{"run": 7}], "run is not a text"),
        ([{"run": "x" * 70_000}], "run is not a text"),
        ([{"run": "cat", "seeds": True}], "seeds = True is not a whole number"),
        ([{"run": "cat", "seeds": 1.5}], "seeds = 1.5"),
        ([{"run": "cat", "seeds": 1000}], "more than 64"),
        ([{"run": "cat", "control": "yes"}], "control = 'yes' is not true or false"),
        ([{"run": "cat", "format": "gif"}], "format = 'gif' is not known: use one of png, jpeg, webp"),
        ([{"run": "cat", "folder": "/"}], "no field 'folder'"),
    ],
)
def test_what_is_wrong_is_named(given: list[Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        GridForm.read(given)
