"""Optimizers by name: arguments checked, rates honoured, everything odd said aloud."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_lora_train.train import optimizers
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.sections import OPTIMIZERS, OptimizerConfig

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")


def made(config: OptimizerConfig, rates: tuple[float, ...] = (1e-3,)) -> tuple[Any, tuple[str, ...]]:
    groups = [{"params": [torch.nn.Parameter(torch.ones(3, 4))], "lr": rate} for rate in rates]
    built = optimizers.build(groups, config, CPU)
    return built.optimizer, built.notices


def moved(config: OptimizerConfig, rate: float, steps: int = 3) -> float:
    optimizer, _ = made(config, (rate,))
    [parameter] = optimizer.param_groups[0]["params"]
    for _ in range(steps):
        parameter.grad = torch.linspace(0.5, 1.5, 12).view(3, 4)
        optimizer.step()
    return float((1 - parameter).mean())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_goes_downhill(name: str) -> None:
    assert moved(OptimizerConfig(name=name), 1.0 if name in ("DAdaptAdam", "Prodigy") else 1e-3) > 0


@pytest.mark.parametrize("name", ["AdamW", "Adafactor", "Lion"])
def test_ten_times_the_rate_goes_ten_times_as_far(name: str) -> None:
    config = OptimizerConfig(name=name, arguments={"weight_decay": 0.0})
    assert moved(config, 1e-3) / moved(config, 1e-4) == pytest.approx(10, rel=0.05)


def test_the_guides_names_for_arguments() -> None:
    arguments = {"decouple": True, "use_bias_correction": False, "weight_decay": 0.2, "betas": "0.9,0.99"}
    optimizer, _ = made(OptimizerConfig(name="DAdaptAdam", arguments=arguments), (1.0,))
    group = optimizer.param_groups[0]
    assert (group["weight_decouple"], group["bias_correction"]) == (True, False)
    assert (group["weight_decay"], group["betas"]) == (0.2, (0.9, 0.99))


def test_without_arguments_the_adaptive_ones_are_decoupled_and_corrected() -> None:
    group = made(OptimizerConfig(name="DAdaptAdam"), (1.0,))[0].param_groups[0]
    assert group["weight_decouple"] and group["bias_correction"]
    group = made(OptimizerConfig(name="Prodigy"), (1.0,))[0].param_groups[0]
    assert group["decouple"] and group["use_bias_correction"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("AdamW", {"weight_dekay": 1}, r"weight_dekay is not an argument of AdamW.*did you mean weight_decay"),
        ("Prodigy", {"bias_correction": True}, r"bias_correction.*use_bias_correction"),
        ("AdamW", {"params": 1}, "params is not an argument"),
        ("AdamW", {"lr": 1.0}, "lr is not an argument"),
        ("AdamW", {"betas": [2.0, 0.9]}, "AdamW refused them"),
        ("DAdaptAdam", {"weight_decay": -1.0}, "DAdaptAdam refused them"),
    ],
)
def test_arguments_that_are_wrong(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(OptimizerConfig(name=name, arguments=arguments), (1.0,))


def test_an_adaptive_optimizer_says_that_one_rate_counts() -> None:
    optimizer, notices = made(OptimizerConfig(name="Prodigy"), (1.0, 0.5))
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]
    assert len(notices) == 1 and "one rate for all parts: 1 counts" in notices[0]
    assert "set optimizer.learning_rate to 1" in made(OptimizerConfig(name="DAdaptAdam"), (1e-4,))[1][0]
    assert made(OptimizerConfig(name="AdamW"), (1e-3, 5e-4))[1] == ()


def test_eight_bits_without_a_card_become_plain_adamw_and_it_is_said() -> None:
    optimizer, notices = made(OptimizerConfig(name="AdamW8bit", arguments={"weight_decay": 0.3}))
    assert type(optimizer) is torch.optim.AdamW and optimizer.param_groups[0]["weight_decay"] == 0.3
    assert len(notices) == 1 and "plain AdamW is used" in notices[0]


def test_d_times_lr() -> None:
    assert optimizers.adapted_rate({"lr": 1e-3}) is None
    assert optimizers.adapted_rate({"lr": 0.5, "d": 4e-3}) == 2e-3
    optimizer, _ = made(OptimizerConfig(name="Prodigy"), (1.0,))
    assert optimizers.adapted_rate(optimizer.param_groups[0]) == pytest.approx(1e-6)
