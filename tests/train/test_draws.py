"""What a photo meets at a showing depends on the photo, the repeat, the epoch and the seed: on nothing else."""

from __future__ import annotations

import pytest
import torch

from lib_lora_train.train.draws import Draws, Occasion, draw_sample
from lib_lora_train.train.sections import ObjectiveConfig

SHAPE = (4, 8, 12)
OCCASION = Occasion(seed=7, identity="photo", repeat=0, epoch=1)


def drawn(occasion: Occasion = OCCASION, **options: float) -> Draws:
    return draw_sample(occasion, SHAPE, ObjectiveConfig(**options))  # type: ignore[arg-type]


def test_the_same_occasion_draws_the_same_whatever_was_drawn_before() -> None:
    first = drawn()
    torch.manual_seed(99)
    drawn(Occasion(7, "another", 3, 2))
    torch.rand(5)
    again = drawn()
    assert first.timestep == again.timestep
    assert torch.equal(first.noise, again.noise) and torch.equal(first.posterior, again.posterior)
    assert not torch.equal(first.noise, first.posterior)


def test_drawing_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn(noise_offset=0.1, multires_iterations=3, input_perturbation=0.1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "other",
    [Occasion(8, "photo", 0, 1), Occasion(7, "photo b", 0, 1), Occasion(7, "photo", 1, 1), Occasion(7, "photo", 0, 2)],
    ids=["seed", "photo", "repeat", "epoch"],
)
def test_each_of_them_counts(other: Occasion) -> None:
    assert not torch.equal(drawn().noise, drawn(other).noise)
    assert not torch.equal(drawn().posterior, drawn(other).posterior)


def test_an_option_turned_on_draws_nothing_else_anew() -> None:
    plain = drawn()
    offset = drawn(noise_offset=0.5)
    added = offset.noise - plain.noise
    torch.testing.assert_close(added, added[:, :1, :1].expand(SHAPE))  # one number a channel
    assert added.abs().max() > 0.01
    perturbed = drawn(input_perturbation=0.1)
    assert torch.equal(perturbed.noise, plain.noise) and perturbed.perturbation is not None
    apart = torch.corrcoef(torch.stack([perturbed.perturbation.flatten(), plain.noise.flatten()]))[0, 1]
    assert abs(apart) < 0.3 and perturbed.perturbation.std() == pytest.approx(0.1, rel=0.2)
    for draws in (offset, perturbed, drawn(multires_iterations=4)):
        assert (draws.timestep, draws.posterior.tolist()) == (plain.timestep, plain.posterior.tolist())
    assert drawn(multires_iterations=4).noise.std() == pytest.approx(1, abs=1e-4)
    assert plain.perturbation is None


def test_timesteps_fill_their_range_and_no_more() -> None:
    steps = [drawn(Occasion(1, "p", 0, epoch), min_timestep=200, max_timestep=210).timestep for epoch in range(300)]
    assert set(steps) == set(range(200, 210))
    whole = [drawn(Occasion(1, "p", 0, epoch)).timestep for epoch in range(400)]
    assert min(whole) < 30 and max(whole) > 970
