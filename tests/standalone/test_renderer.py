"""Drawing without a WebUI: the LoRA has the effect it was trained to have, leaves no trace, and faults end one cell."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora_train.grid import discover
from lib_lora_train.grid.plan import Cell, Checkpoint, Plan
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.render import Failure, Picture
from lib_lora_train.standalone.renderer import Standalone, infotext, problem_of, sample_of
from lib_lora_train.train import samples
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.errors import BaseError
from lib_lora_train.train.job import Job
from lib_lora_train.train.sections import BaseConfig
from lib_lora_train.train.setup import attach, start_from
from tests.grid.files import make_plan
from tests.runs import Workshop

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def plan(trained: Job, workshop: Workshop) -> Plan:
    run = discover.find(str(trained.folder))
    checkpoints = (Checkpoint("tiny.safetensors", workshop.base, "0" * 64),)
    return make_plan(run, checkpoints=checkpoints, seeds=(5,), prompts=(GridPrompt("p", "[trigger], red mat", "dog"),))


@pytest.fixture(scope="module")
def renderer() -> Standalone:
    return Standalone()


def draw(renderer: Standalone, cell: Cell) -> Picture:
    [answer] = renderer.draw([cell])
    assert isinstance(answer, Picture), answer
    return answer


def pixels(picture: Picture) -> numpy.ndarray:
    return numpy.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"), dtype=numpy.int16)


def cell_of(plan: Plan, epoch: str, weight: float) -> Cell:
    return next(
        cell for cell in plan.cells if (cell.epoch.name if cell.epoch else "") == epoch and cell.weight == weight
    )


@pytest.mark.parametrize("epoch", ["cat-000001", "cat-000003"])
def test_a_file_has_the_effect_that_the_trainers_own_adapter_has(
    plan: Plan, renderer: Standalone, trained: Job, workshop: Workshop, epoch: str
) -> None:
    """The file's numbers, read back into the adapter that wrote them, draw the same picture."""
    cell = cell_of(plan, epoch, 1.0)
    drawn = pixels(draw(renderer, cell))
    base = load_base(BaseConfig(path=str(workshop.base)))
    adapter = attach(trained.config(), base)
    start_from(adapter, trained.out / f"{epoch}.safetensors")
    for model in (base.unet, base.text_encoder, base.vae):
        model.eval()
    cpu = torch.device("cpu")
    with torch.no_grad():
        direct = samples.draw(base, sample_of(cell), samples.contexts(base, sample_of(cell), 1, cpu), cpu)
    expected = numpy.asarray(direct, dtype=numpy.int16)
    without = pixels(draw(renderer, cell_of(plan, "", 0.0)))
    assert numpy.abs(drawn - expected).max() <= 2
    assert numpy.abs(drawn - without).mean() > 2


def test_a_lora_leaves_no_trace_and_the_order_does_not_matter(plan: Plan) -> None:
    fresh = [draw(Standalone(), cell_of(plan, *what)).png for what in (("", 0.0), ("cat-000002", 0.5))]
    renderer = Standalone()
    order = [
        ("cat-000003", 1.0),
        ("", 0.0),
        ("cat-000001", 0.5),
        ("cat-000002", 0.5),
        ("cat-000002", 1.0),
        ("", 0.0),
        ("cat-000002", 0.5),
    ]
    drawn = {what: draw(renderer, cell_of(plan, *what)).png for what in order}
    assert drawn["", 0.0] == fresh[0] and drawn["cat-000002", 0.5] == fresh[1]
    assert len(set(drawn.values())) == len(drawn)


def test_each_lora_is_read_once_and_the_base_once(plan: Plan) -> None:
    renderer = Standalone()
    for batch in plan.batches(plan.cells):
        renderer.draw(batch)
    assert renderer.loads == {"checkpoints": 1, "loras": 3}


def test_the_png_says_how_it_was_made(plan: Plan, renderer: Standalone) -> None:
    cell = cell_of(plan, "cat-000002", 0.5)
    picture = draw(renderer, cell)
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.size == (64, 48) and image.info["parameters"] == picture.infotext == infotext(cell)
    assert picture.infotext == (
        "ohwx cat, red mat <lora:cat-000002:0.5>\nNegative prompt: dog\n"
        "Steps: 4, Sampler: euler, CFG scale: 7, Seed: 5, Size: 64x48, Model hash: 0000000000, Model: tiny"
    )
    deeper = dataclasses.replace(cell, settings={**cell.settings, "clip_skip": 2})
    assert infotext(deeper).endswith("Clip skip: 2") and draw(renderer, deeper).png != picture.png


def changed(plan: Plan, path: Path) -> Cell:
    """The cell of the second epoch with another file."""
    cell = cell_of(plan, "cat-000002", 0.5)
    assert cell.epoch
    file = dataclasses.replace(cell.epoch.file, path=path)
    return dataclasses.replace(cell, epoch=dataclasses.replace(cell.epoch, file=file))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("gone", "bad.safetensors is gone; put it back"),
        ("wide", "choose the base it was trained on"),
        ("strange", "does not fit the base: 1 of"),
        ("nan", "not finite"),
        ("lycoris", "only a WebUI can draw with"),
        ("cut", "incomplete"),
        ("huge", "one flat colour"),
    ],
)
def test_a_file_that_cannot_be_used_ends_its_own_cell_only(
    plan: Plan, renderer: Standalone, trained: Job, tmp_path: Path, fault: str, said: str
) -> None:
    before = draw(renderer, cell_of(plan, "", 0.0)).png
    tensors = load_file(trained.out / "cat-000002.safetensors")
    name = next(name for name in tensors if name.endswith("attn2_to_k.lora_down.weight"))
    bad = tmp_path / "bad.safetensors"
    if fault == "wide":
        tensors[name] = torch.zeros(2, 77)
    elif fault == "strange":
        tensors["lora_unet_nowhere.lora_down.weight"] = tensors["lora_unet_nowhere.lora_up.weight"] = torch.zeros(2, 2)
    elif fault == "nan":
        tensors[name][0, 0] = float("nan")
    elif fault == "lycoris":
        tensors["lora_unet_mid_block.hada_w1_a"] = torch.zeros(2, 2)
    elif fault == "huge":
        tensors = {key: tensor.float() * 1e18 for key, tensor in tensors.items()}
    if fault != "gone":
        save_file({key: tensor.clone() for key, tensor in tensors.items()}, bad)
    if fault == "cut":
        bad.write_bytes(bad.read_bytes()[:-100])
    [answer] = renderer.draw([changed(plan, bad)])
    assert isinstance(answer, Failure) and said in answer.reason and "\n" not in answer.reason
    assert draw(renderer, cell_of(plan, "", 0.0)).png == before


def test_no_memory_for_one_size_is_said_and_the_rest_goes_on(
    plan: Plan, renderer: Standalone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = samples.draw

    def too_large(base: object, sample: samples.Sample, *rest: object) -> object:
        if sample.width > 100:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(base, sample, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(samples, "draw", too_large)
    small = cell_of(plan, "cat-000001", 1.0)
    large = dataclasses.replace(small, settings={**small.settings, "width": 2048})
    first, second = renderer.draw([large, small])
    assert isinstance(first, Failure) and "memory does not suffice" in first.reason
    assert isinstance(second, Picture)


def test_a_base_that_cannot_be_used_ends_the_grid(plan: Plan, tmp_path: Path) -> None:
    cell = dataclasses.replace(plan.cells[0], checkpoint=Checkpoint("no", tmp_path / "no.safetensors", "1" * 64))
    with pytest.raises(BaseError):
        Standalone().draw([cell])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("width", 100, "not a multiple of 8"),
        ("width", 4096, "out of range: use 64 to 2048"),
        ("steps", 2.5, "not a whole number"),
        ("steps", "many", "out of range"),
        ("sampler_name", "lms", "is not a sampler; there are euler_a"),
        ("scheduler", "karras", "no setting of the standalone renderer"),
        ("cfg_scale", 4.5, ""),
    ],
)
def test_settings_are_checked_before_anything_is_drawn(name: str, value: object, said: str) -> None:
    assert said in problem_of({name: value}) and bool(problem_of({name: value})) == bool(said)
