"""The estimate against what it estimates: exact counts of parameters and optimizer state, and torch's own counter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_lora_train.demo.models import BASE as SMALL
from lib_lora_train.jobs import card
from lib_lora_train.train import config as configs
from lib_lora_train.train import estimate, optimizers
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.length import Length
from lib_lora_train.train.sections import OPTIMIZERS
from lib_lora_train.train.setup import attach
from tests.runs import Workshop


def config(**values: object) -> TrainConfig:
    return configs.from_values({"name": "cat", **values})


@pytest.mark.parametrize(
    "adapter",
    [
        {"rank": 3},
        {"rank": 2, "conv_rank": 5},
        {"rank": 4, "text_encoder": False},
        {"rank": 4, "unet": False},
    ],
)
def test_parameters_are_counted_exactly_from_the_header(workshop: Workshop, adapter: dict[str, object]) -> None:
    one = config(base={"path": str(workshop.base)}, adapter=adapter)
    base = load_base(one.base)
    facts = estimate.base_facts(workshop.base)
    assert facts.unet == sum(parameter.numel() for parameter in base.unet.parameters())
    assert facts.text == sum(parameter.numel() for parameter in base.text_encoder.parameters())
    found = attach(one, base)
    assert estimate.parameters(one, facts) == sum(parameter.numel() for parameter in found.parameters)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "AdamW8bit"])
def test_optimizer_states_are_what_is_counted_on(name: str) -> None:
    parameters = [torch.nn.Parameter(torch.ones(64, 512)), torch.nn.Parameter(torch.ones(512, 64))]
    one = config(optimizer={"name": name, "learning_rate": 1.0 if name in ("DAdaptAdam", "Prodigy") else 1e-4})
    optimizer = optimizers.build([{"params": parameters, "lr": 1e-4}], one.optimizer, torch.device("cpu")).optimizer
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.rand_like(parameter)
        optimizer.step()
    held = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    each = held / sum(parameter.numel() for parameter in parameters)
    assert each == pytest.approx(estimate.STATES[name], abs=0.2)


def test_the_parts_move_as_they_must() -> None:
    def total(**values: object) -> float:
        return estimate.memory(config(**values)).total

    plain = total()
    assert total(loop={"batch_size": 4}) > plain > total(loop={"gradient_checkpointing": True})
    assert total(dataset={"resolution": 768}) > plain > total(adapter={"rank": 4})
    assert total(optimizer={"name": "AdamW8bit"}) < plain < total(optimizer={"name": "Prodigy", "learning_rate": 1.0})
    assert total(loop={"precision": "fp32"}) > 1.7 * plain and total(cache={"latents": "off"}) > plain
    assert total(adapter={"text_encoder": False}) < plain
    drawn = estimate.memory(config(samples={"prompts": ["a --w 2048 --h 2048"]}))
    assert drawn.total == drawn.sampling > drawn.training
    twice = estimate.flops(config(loop={"accumulation": 2}))
    assert twice == pytest.approx(2 * estimate.flops(config()))


def test_the_guide_s_own_timing_is_what_the_share_was_taken_from() -> None:
    one = config(
        loop={"batch_size": 3, "gradient_checkpointing": True},
        dataset={"resolution": 768, "bucket_max": 1280},
        adapter={"rank": 192},
    )
    assert estimate.step_seconds(one, 97.5) == pytest.approx(0.8, rel=0.4)


def test_a_forward_pass_has_as_many_operations_as_torch_counts() -> None:
    from diffusers import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        inputs = torch.empty(1, 4, 64, 64), torch.zeros(1), torch.empty(1, 77, 768)
    with FlopCounterMode(display=False) as counter:
        unet(*inputs)
    one = config(adapter={"text_encoder": False})
    assert sum(parameter.numel() for parameter in unet.parameters()) == estimate.SD15.unet
    assert estimate.flops(one) / 3 == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_the_operations_of_another_base_are_counted_from_its_header(workshop: Workshop) -> None:
    """By the ratio of weights alone the small base was reckoned three times too fast."""
    from torch.utils.flop_counter import FlopCounterMode

    for path in (SMALL, workshop.base):
        base, side = load_base(config(base={"path": str(path)}).base), 16
        inputs = (
            torch.randn(1, 4, side, side),
            torch.zeros(1),
            torch.randn(1, 77, base.unet.config["cross_attention_dim"]),
        )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            base.unet(*inputs)
        facts = estimate.base_facts(path)
        assert facts.pixel_flops * side**2 == pytest.approx(counter.get_total_flops(), rel=0.15), path.name


def test_both_ways_of_naming_have_the_same_levels() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    shapes = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    assert estimate._pixel_flops(shapes, False) == pytest.approx(estimate.PIXEL_FLOPS, rel=0.02)
    assert estimate._pixel_flops({"input_blocks.x.0.weight": (4, 4), "down_blocks.99999999.w": (4, 4)}, True) > 0


def test_a_run_far_from_the_size_of_its_base_is_warned_of() -> None:
    small = estimate.base_facts(SMALL)
    assert small.size == 128
    far = estimate.size_warning(config(base={"path": str(SMALL)}), small)
    assert "small.safetensors was trained on pictures of 128 px" in far and "this run trains at 512 px" in far
    assert not estimate.size_warning(config(dataset={"resolution": 768}), estimate.SD15)
    fitting = estimate.changed(config(base={"path": str(SMALL)}), estimate.at_size(128))
    assert not estimate.size_warning(fitting, small) and fitting.dataset.bucket_step == 16


def test_the_time_on_a_processor_counts_samples_too(tmp_path: Path) -> None:
    small, one = (
        estimate.base_facts(SMALL),
        config(dataset={"resolution": 128, "bucket_min": 64}, loop={"batch_size": 4}),
    )
    sampled = estimate.changed(one, {"samples.prompts": ["a cat --s 12"]})
    length, cpu = Length(3, 288, (), ""), card.Card("CPU", 0.0, 0.0, 0.1)
    plain, drawn = (card.processor_seconds(each, small, cpu, length, tmp_path) for each in (one, sampled))
    assert plain is not None and drawn is not None and 60 < plain < drawn < 2 * plain
    assert card.processor_seconds(one, small, card.Card("CPU", 0.0, 0.0), length, tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((6.9, 8.0, 2280.0, 1500), "fits: 6.9 of 8.0 GB, about 38 min, 1,500 steps"),
        ((9.2, 8.0, None, 10), "does not fit: 9.2 of 8.0 GB, 10 steps"),
        ((1.0, 8.0, 36000.0, 1), "fits: 1.0 of 8.0 GB, about 10.0 h, 1 step"),
    ],
)
def test_the_sentence(arguments: tuple[float, float, float | None, int], said: str) -> None:
    assert estimate.sentence(*arguments) == said


def test_a_base_that_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(Exception, match=r"x\.safetensors"):
        estimate.base_facts(tmp_path / "x.safetensors")
