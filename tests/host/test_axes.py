"""The axes of the X/Y/Z plot: whatever stands in the prompt, each cell names one epoch at one weight; added once."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lora_train.host import axes
from lib_lora_train.host.errors import RequestError
from tests.grid.files import write_lora, write_run

NAMES = ["None", "x-000001", "x-000003"]


@pytest.fixture(autouse=True)
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A WebUI's list of LoRAs, and its plot with one axis."""
    write_run(tmp_path, "x", 3)
    networks: Any = ModuleType("networks")
    networks.available_networks = {
        path.stem: SimpleNamespace(filename=str(path)) for path in tmp_path.glob("*.safetensors")
    }
    plot = SimpleNamespace(axis_options=[SimpleNamespace(label="Seed")], AxisOption=option)
    script = type("Script", (), {"__module__": "xyz_grid.py"})
    scripts: Any = ModuleType("modules.scripts")
    scripts.scripts_data = [SimpleNamespace(script_class=script, module=plot)]
    monkeypatch.setitem(sys.modules, "networks", networks)
    monkeypatch.setitem(sys.modules, "modules", ModuleType("modules"))
    monkeypatch.setitem(sys.modules, "modules.scripts", scripts)
    return plot


def option(label: str, kind: type, apply: Any, **more: Any) -> Any:
    return SimpleNamespace(label=label, type=kind, apply=apply, **more)


@pytest.mark.parametrize(
    "prompt", ["a cat <lora:x-000002:0.8> sat", "a cat <lora:x:0.3:0.4> sat", "a cat sat", "a <lora:X-000003>"]
)
def test_each_cell_names_one_epoch_at_one_weight_in_either_order(webui: Any, prompt: str) -> None:
    axes.add()
    epoch, weight = webui.axis_options[1], webui.axis_options[2]
    for name, value, epoch_first in itertools.product(NAMES, (0.5, 1.0), (True, False)):
        p = SimpleNamespace(prompt=prompt)
        steps = [lambda p=p, n=name: epoch.apply(p, n, NAMES), lambda p=p, v=value: weight.apply(p, v, [0.5, 1.0])]
        for step in steps if epoch_first else reversed(steps):
            step()
        found = [part for part in p.prompt.split("<") if part.startswith("lora:")]
        if name == "None":
            assert found == [], (p.prompt, epoch_first)
        else:
            assert [part.split(">")[0] for part in found] == [f"lora:{name}:{value:g}"], (p.prompt, epoch_first)


def test_an_epoch_alone_keeps_the_weight_that_was_written(webui: Any) -> None:
    axes.add()
    p = SimpleNamespace(prompt="a <lora:detail:0.2> <lora:x-000002:0.8:0.6> b")
    webui.axis_options[1].apply(p, "x-000003", NAMES)
    assert p.prompt == "a <lora:detail:0.2> <lora:x-000003:0.8:0.6> b"


def test_they_are_added_once_with_one_for_each_keyword(webui: Any) -> None:
    axes.add()
    labels = [one.label for one in webui.axis_options]
    axes.add()
    assert [one.label for one in webui.axis_options] == labels and len(set(labels)) == len(labels)
    steps = next(one for one in webui.axis_options if one.label == "[LoRA Loop] steps")
    p = SimpleNamespace(prompt="a cat")
    steps.apply(p, "7", ["7", "9"])
    assert p.prompt == "a cat <steps:7>"


def test_the_list_offers_no_lora_first_and_runs_in_their_order(webui: Any) -> None:
    axes.add()
    assert webui.axis_options[1].choices() == ["None", "x", "x-000001", "x-000002", "x-000003"]
    assert webui.axis_options[1].cost > 0


@pytest.mark.parametrize(
    ("typed", "drawn"),
    [
        (["None", "1", "3"], ["None", "x-000001", "x-000003"]),
        (["1-4", "final"], ["x-000001", "x-000002", "x-000003"]),
        (["none", "final", "1"], ["None", "x-000003", "x-000001"]),
        (["last:2"], ["x-000002", "x-000003"]),
        (["x-000002", "None"], ["x-000002", "None"]),
        (["all"], ["x-000001", "x-000002", "x-000003"]),
    ],
)
def test_epochs_are_taken_as_people_type_them(typed: list[str], drawn: list[str], webui: Any, tmp_path: Path) -> None:
    """The plot asks each axis before it counts its pictures, and goes on with the list that it has handed over."""
    write_lora(tmp_path / "detail.safetensors", 9)
    sys.modules["networks"].available_networks["detail"] = SimpleNamespace(  # type: ignore[attr-defined]
        filename=str(tmp_path / "detail.safetensors")
    )
    axes.add()
    webui.axis_options[1].confirm(SimpleNamespace(prompt="a cat <lora:detail:0.4> <lora:x:0.8>"), typed)
    assert typed == drawn
    p = SimpleNamespace(prompt="a cat <lora:x:0.8>")
    webui.axis_options[1].apply(p, typed[-1], typed)
    assert p.prompt == ("a cat " if typed[-1] == "None" else f"a cat <lora:{typed[-1]}:0.8>")


@pytest.mark.parametrize(
    ("prompt", "typed", "words"),
    [
        ("a cat", "2", "'2' is no LoRA file .* must name the LoRA, as in <lora:NAME:1>; there are x, x-000001"),
        ("a cat <lora:x:1>", "7", "Epochs '7': x has no such epoch .* it has epoch 1, epoch 2, epoch 3"),
        ("a cat <lora:x:1>", "y", "Epochs 'y': x has no such epoch"),
        ("a cat <lora:gone:1>", "y", "'y' is no LoRA file"),
    ],
)
def test_what_is_not_there_stops_the_plot_before_it_begins(prompt: str, typed: str, words: str, webui: Any) -> None:
    axes.add()
    with pytest.raises(RequestError, match=words):
        webui.axis_options[1].confirm(SimpleNamespace(prompt=prompt), [typed])


def test_a_webui_without_the_plot_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.modules["modules.scripts"].scripts_data = []  # type: ignore[attr-defined]
    axes.add()
