"""The course of the learning rate is that of the Hugging Face schedulers."""

from __future__ import annotations

import pytest
import torch
from transformers import get_scheduler

from lib_lora_train.train.schedule import multiplier
from lib_lora_train.train.sections import SCHEDULERS, OptimizerConfig

TOTAL = 40


def theirs(name: str, warmup: int, **options: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    full = name if name != "constant" else "constant_with_warmup"
    schedule = get_scheduler(full, optimizer, warmup, TOTAL, scheduler_specific_kwargs=options)
    rates: list[float] = []
    for _ in range(TOTAL + 1):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_rate_at_every_step(name: str, warmup: int) -> None:
    options = {"cosine_with_restarts": {"num_cycles": 3}, "polynomial": {"power": 2.0}}.get(name, {})
    config = OptimizerConfig(scheduler=name, warmup=float(warmup), cycles=3, power=2.0)
    ours = [multiplier(step, TOTAL, config) for step in range(TOTAL + 1)]
    assert ours == pytest.approx(theirs(name, warmup, **options), abs=1e-9)


def test_warm_up_below_one_is_a_share_of_all_steps() -> None:
    share, count = OptimizerConfig(warmup=0.1), OptimizerConfig(warmup=4.0)
    assert [multiplier(s, TOTAL, share) for s in range(9)] == [multiplier(s, TOTAL, count) for s in range(9)]
    assert multiplier(0, 1, OptimizerConfig(warmup=0.0)) == 1
