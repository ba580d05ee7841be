"""Options: checked by their declarations, and every refusal names the field, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from lib_lora_train.train import config as configs
from lib_lora_train.train import options
from lib_lora_train.train.errors import ConfigError


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        configs.from_values(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"adapter": {"rank": 4096}}, ("adapter.rank = 4096", "from 1 to 1024")),
        ({"loop": {"steps": 10**9}}, ("loop.steps = 1000000000 steps", "from 0 to 1000000 steps")),
        ({"loop": {"batch_size": 0}}, ("loop.batch_size = 0", "from 1 to 256")),
        ({"dataset": {"resolution": 63}}, ("dataset.resolution = 63 px", "from 64 to 2048 px")),
        ({"optimizer": {"learning_rate": float("nan")}}, ("optimizer.learning_rate = nan", "from 0 to 10")),
        ({"optimizer": {"learning_rate": -1e-4}}, ("optimizer.learning_rate = -0.0001",)),
        ({"optimizer": {"name": "Adam8bit"}}, ("optimizer.name = 'Adam8bit'", "did you mean 'AdamW8bit'")),
        ({"adapter": {"rank": "32"}}, ("adapter.rank = '32'", "a whole number")),
        ({"adapter": {"rank": 1.5}}, ("adapter.rank = 1.5", "a whole number")),
        ({"adapter": {"rank": True}}, ("adapter.rank = True", "a whole number")),
        ({"dataset": {"flip": 1}}, ("dataset.flip = 1", "true or false")),
        ({"samples": {"prompts": "one"}}, ("samples.prompts = 'one'", "a list")),
        ({"samples": {"prompts": [1]}}, ("samples.prompts = 1", "a text")),
        ({"dataset": {"weights": {"a*": "x"}}}, ("dataset.weights = 'x'", "a number")),
        ({"adapter": {"rnak": 4}}, ("adapter.rnak", "did you mean adapter.rank")),
        ({"adapter": 4}, ("[adapter]",)),
        ({"nothing_like_it": 4}, ("nothing_like_it", "known here", "optimizer")),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(values: dict[str, Any], said: tuple[str, ...]) -> None:
    message = refusal(values)
    assert all(words in message for words in said), message


def test_a_whole_number_is_a_number_and_none_where_it_may_be() -> None:
    config = configs.from_values({"adapter": {"alpha": 8}, "optimizer": {"text_encoder_rate": None}})
    assert (config.adapter.alpha, type(config.adapter.alpha)) == (8.0, float)
    assert "learning_rate" in refusal({"optimizer": {"learning_rate": None}})


def test_lists_and_tables_are_copied_for_each_config() -> None:
    one, other = configs.from_values({}), configs.from_values({})
    one.samples.prompts.append("a cat")
    one.optimizer.arguments["weight_decay"] = 1
    assert (other.samples.prompts, other.optimizer.arguments) == ([], {})


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("yes", bool, True),
        ("off", bool, False),
        ("maybe", bool, "maybe"),
        ("1e-4", float, 1e-4),
        ("12", int, 12),
        ("none", float | None, None),
        ("0.5", float | None, 0.5),
        ("a cat --w 64", list[str], ["a cat --w 64"]),
        ("a, b", list[str], ["a", "b"]),
        ('["a cat, sitting", "b"]', list[str], ["a cat, sitting", "b"]),
        ("decouple=True weight_decay=0.2", dict[str, Any], {"decouple": True, "weight_decay": 0.2}),
        ("betas=0.9,0.99 eps=1e-8", dict[str, Any], {"betas": "0.9,0.99", "eps": 1e-8}),
        ("close*=2, far*=0.5", dict[str, float], {"close*": 2, "far*": 0.5}),
        ("= x", str, "= x"),
    ],
)
def test_what_the_command_line_means(text: str, kind: Any, value: Any) -> None:
    assert options.parse(text, kind) == value
