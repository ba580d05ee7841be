"""The form is the declarations: every option has a field, and what a field shows is read back as the same value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora_train.train import config as configs
from lib_lora_train.train import presets
from lib_lora_train.train.errors import ConfigError
from lib_lora_train.ui.train import form


def test_every_option_has_a_field_or_a_place_on_the_first_page() -> None:
    names = [field.name for field in form.fields()]
    assert sorted([*names, *form.FIRST, *form.BY_SERVER]) == sorted(configs.known())
    rank = next(field for field in form.fields() if field.name == "adapter.rank")
    assert (rank.label, rank.section, rank.kind) == ("Rank", "adapter", "text")
    assert rank.told == form.BETWEEN.join((rank.help, "·", "1 … 1024", "·", "Default:", "32"))
    assert next(field.label for field in form.fields() if field.name == "base.vae") == "VAE"


@pytest.mark.parametrize("path", sorted(presets.SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_preset_goes_through_the_form_unchanged(path: Any) -> None:
    config = configs.from_values(presets.read(path).values)
    [run] = form.runs(form.shown(config), {}).variants
    assert run.config == config


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-9, 9.0), st.integers(1, 1024), st.booleans(), st.sampled_from([None, True, False]))
def test_values_come_back_exactly(rate: float, rank: int, upscale: bool, zero: bool | None) -> None:
    config = configs.from_values(
        {
            "expert": True,
            "optimizer": {"learning_rate": rate, "arguments": {"betas": [0.9, 0.99], "decouple": True}},
            "adapter": {"rank": rank},
            "dataset": {"upscale": upscale},
            "objective": {"zero_terminal_snr": zero},
        }
    )
    [run] = form.runs(form.shown(config), {}).variants
    assert run.config == config


def test_comma_lists_make_the_product() -> None:
    found = form.runs({"adapter.rank": "8, 16", "optimizer.learning_rate": "1e-4,2e-4"}, {"name": "me"})
    assert [variant.config.adapter.rank for variant in found.variants] == [8, 8, 16, 16]
    assert len({variant.name for variant in found.variants}) == 4


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("adapter.rank", "0", "out of range"),
        ("adapter.rank", "many", "adapter.rank"),
        ("adapter.rank", "", "is empty"),
        ("adapter.rank", None, "adapter.rank"),
        ("adapter.rank", ["8"], "adapter.rank"),
        ("adapter.rank", True, "adapter.rank"),
        ("adapter.rank", "1e999", "adapter.rank"),
        ("optimizer.name", "eval", "not known"),
        ("dataset.upscale", "yes", "dataset.upscale"),
        ("optimizer.arguments", "{", "cannot be read"),
        ("dataset.prefix", "x" * 30_000, "too long"),
        ("dataset.prefix", "a\x00b", "no setting has"),
        ("save.copy_to", "/etc", "not a field"),
        ("__class__", "x", "not a field"),
        ("samples.prompts", {"path": "/etc/passwd"}, "samples.prompts"),
    ],
)
def test_s1_what_no_form_would_send_is_refused_with_the_field(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        form.runs({name: value}, {"name": "me"})
