"""LoRA on the base: which modules, which names, which numbers, and that it can be taken away again."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

from lib_lora_train.train import config as configs
from lib_lora_train.train.adapters import Adapter
from lib_lora_train.train.adapters.lora import attach_lora, targets
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.random_base import WIDTHS
from lib_lora_train.train.base.sd1 import build
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.errors import BaseError
from lib_lora_train.train.sections import AdapterConfig, BaseConfig
from lib_lora_train.train.setup import attach, start_from
from tests.runs import Workshop

pytestmark = pytest.mark.torch

LATENTS = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([10, 700])


@pytest.fixture(scope="module")
def loaded(workshop: Workshop) -> BaseModel:
    return load_base(BaseConfig(path=str(workshop.base)))


@pytest.fixture
def base(loaded: BaseModel) -> BaseModel:
    """A base of the test's own, for adapters are put into it."""
    return dataclasses.replace(loaded, unet=copy.deepcopy(loaded.unet), text_encoder=copy.deepcopy(loaded.text_encoder))


@pytest.fixture(scope="module")
def full() -> dict[str, torch.nn.Module]:
    """SD 1.5 at its real width, without memory."""
    parts = WIDTHS["full"].configs()
    with init_empty_weights():
        return {name: build(name, parts[name]) for name in ("unet", "text_encoder")}


def config(**adapter: Any) -> TrainConfig:
    loop = {"gradient_checkpointing": adapter.pop("gradient_checkpointing", False)}
    return configs.from_values({"seed": 5, "adapter": {"rank": 4, "alpha": 2, **adapter}, "loop": loop})


def filled(base: BaseModel, options: TrainConfig) -> Adapter:
    """An adapter that has learned something."""
    adapter = attach(options, base)
    generator = torch.Generator().manual_seed(9)
    for parameter in adapter.parameters:
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return adapter


def answer(base: BaseModel) -> torch.Tensor:
    ids = base.family.tokenize(base.tokenizer, ["a cat", "a dog"], 75)
    return base.family.predict(base.unet, LATENTS, TIMES, base.family.encode_text(base.text_encoder, ids))


@pytest.mark.parametrize(("part", "conv", "count"), [("unet", 0, 192), ("unet", 8, 278), ("text_encoder", 0, 72)])
def test_the_real_width_has_kohyas_number_of_targets(full: dict[str, Any], part: str, conv: int, count: int) -> None:
    found = targets(full[part], AdapterConfig(rank=16, alpha=8, conv_rank=conv, conv_alpha=4))
    assert len(found) == len({target.path for target in found}) == count
    wide = [target for target in found if len(target.weight) == 4 and target.weight[-1] == 3]
    assert all((target.rank, target.alpha) == (conv, 4) for target in wide) and bool(wide) == bool(conv)
    assert all((target.rank, target.alpha) == (16, 8) for target in found if target not in wide)


def test_names_shapes_and_first_numbers_are_kohyas(base: BaseModel) -> None:
    tensors = attach(config(), base).tensors()
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert {f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.alpha"} < tensors.keys()
    for module in (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj",
        "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn2_to_out_0",
        "lora_unet_down_blocks_1_attentions_1_proj_in",
        "lora_te_text_model_encoder_layers_1_self_attn_out_proj",
        "lora_te_text_model_encoder_layers_0_mlp_fc2",
    ):
        down, up, alpha = (tensors[f"{module}.{half}"] for half in ("lora_down.weight", "lora_up.weight", "alpha"))
        bound = 1 / math.sqrt(down[0].numel())  # kaiming_uniform with a = sqrt 5
        assert down.shape[0] == up.shape[1] == 4 and (alpha.shape, float(alpha)) == ((), 2.0)
        assert 0.8 * bound < down.abs().max() <= bound and not up.any()
    assert next(iter(tensors)).startswith("lora_te_")  # kohya's order of groups
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def test_only_the_adapter_is_trained_and_another_target_changes_no_first_number(base: BaseModel) -> None:
    other = copy.deepcopy(base.unet)
    adapter = attach(config(), base)
    trained = [p for model in (base.unet, base.text_encoder) for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in adapter.parameters}
    with_conv = attach_lora("unet", other, "lora_unet", config(conv_rank=3).adapter, 5).parameters
    assert len(with_conv) > len(adapter.parts[1].parameters)
    for name, parameter in adapter.parts[1].parameters.items():
        assert torch.equal(with_conv[name], parameter)


def gradients(base: BaseModel, checkpointing: bool) -> dict[str, torch.Tensor]:
    adapter = filled(base, config(gradient_checkpointing=checkpointing, conv_rank=2))
    base.unet.train()
    base.text_encoder.train()
    answer(base).square().mean().backward()
    return {name: p.grad for part in adapter.parts for name, p in part.parameters.items() if p.grad is not None}


def test_gradient_checkpointing_changes_no_gradient(base: BaseModel) -> None:
    other = dataclasses.replace(base, unet=copy.deepcopy(base.unet), text_encoder=copy.deepcopy(base.text_encoder))
    plain, saved = gradients(base, False), gradients(other, True)
    assert other.unet.is_gradient_checkpointing and other.text_encoder.is_gradient_checkpointing
    assert plain.keys() == saved.keys() and any(name.startswith("lora_te") for name in plain)
    assert all(gradient.any() for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, rtol=1e-4, atol=1e-7)


def test_without_the_adapter_the_base_is_exactly_itself(base: BaseModel) -> None:
    expected = answer(base)
    adapter = filled(base, config(conv_rank=2))
    changed = answer(base)
    assert (changed - expected).abs().max() > 1e-3
    with adapter.disabled():
        assert torch.equal(answer(base), expected)
    assert torch.equal(answer(base), changed)
    assert all(parameter.requires_grad for parameter in adapter.parameters)


@pytest.mark.parametrize("dropout", ["dropout", "rank_dropout", "module_dropout"])
def test_dropouts_act_in_training_only_and_keep_the_mean(base: BaseModel, dropout: str) -> None:
    adapter = filled(base, config(text_encoder=False, conv_rank=2, **{dropout: 0.5}))
    base.unet.eval()
    expected = answer(base)
    assert torch.equal(answer(base), expected)
    base.unet.train()
    torch.manual_seed(0)
    assert not torch.equal(answer(base), expected)
    name = next(iter(adapter.parts[0].targets))
    down, up = (adapter.parts[0].parameters[f"{name}.lora_{half}.weight"] for half in ("down", "up"))
    layer = next(
        module
        for module in base.unet.modules()
        if getattr(module, "lora_A", None) and module.lora_A["default"].weight is down
    )
    inputs = torch.ones(1, down.shape[1], 1, 1) if down.dim() == 4 else torch.ones(1, 1, down.shape[1])
    whole = (up.flatten(1) @ down.flatten(1) @ torch.ones(down[0].numel())) * 0.5  # alpha / rank
    plain = layer.base_layer(inputs).flatten()
    deltas = torch.stack([layer(inputs).flatten() - plain for _ in range(600)])
    assert deltas.std(0).max() > 1e-4
    mean = whole / 2 if dropout == "module_dropout" else whole  # kohya's module dropout does not scale up
    torch.testing.assert_close(deltas.mean(0), mean, rtol=0.35, atol=float(whole.abs().max()) * 0.15)


def test_rank_stabilised_alpha_gives_hosts_the_trained_scale(base: BaseModel) -> None:
    expected = answer(base)
    adapter = filled(base, config(rslora=True, text_encoder=False))
    alpha = next(value for name, value in adapter.tensors().items() if name.endswith(".alpha"))
    assert float(alpha) / 4 == pytest.approx(2 / math.sqrt(4))
    trained = answer(base)
    _merge(base, adapter.tensors())
    with adapter.disabled():
        torch.testing.assert_close(answer(base), trained, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(trained, expected, atol=1e-3)


@torch.no_grad()
def _merge(base: BaseModel, tensors: dict[str, torch.Tensor]) -> None:
    """What a host does: up @ down * alpha / rank on the base's own weights."""
    for path, module in base.unet.named_modules():
        name = "lora_unet_" + path.replace(".", "_")
        if f"{name}.alpha" in tensors:
            down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
            delta = (up.flatten(1) @ down.flatten(1)) * (tensors[f"{name}.alpha"] / down.shape[0])
            module.base_layer.weight += delta.view(module.base_layer.weight.shape)


@pytest.mark.parametrize(("alpha", "without_alphas"), [(8.0, False), (2.0, True)])
def test_going_on_from_a_file_has_the_effect_that_the_file_had(
    loaded: BaseModel, base: BaseModel, tmp_path: Path, alpha: float, without_alphas: bool
) -> None:
    first = dataclasses.replace(
        loaded, unet=copy.deepcopy(loaded.unet), text_encoder=copy.deepcopy(loaded.text_encoder)
    )
    made = filled(first, config(alpha=4.0 if without_alphas else 3.0))  # 4.0 is the rank: what no alpha means
    tensors = {name: value.contiguous() for name, value in made.tensors().items()}
    save_file(
        {n: v for n, v in tensors.items() if not (without_alphas and n.endswith(".alpha"))}, tmp_path / "a.safetensors"
    )
    adapter = attach(config(alpha=alpha), base)
    assert start_from(adapter, tmp_path / "a.safetensors") == []
    torch.testing.assert_close(answer(base), answer(first), rtol=1e-4, atol=1e-5)


def test_a_file_that_does_not_fit_is_refused_and_what_is_left_out_is_told(base: BaseModel, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    adapter = attach(config(), base)
    tensors = {name: value.clone() for name, value in adapter.tensors().items()}
    save_file({**tensors, "lora_unet_x.alpha": torch.ones(())}, path)
    assert start_from(adapter, path) == ["lora_unet_x.alpha"]
    down = next(name for name in tensors if name.endswith("down.weight"))
    save_file({**tensors, down: torch.zeros(7, *tensors[down].shape[1:])}, path)
    with pytest.raises(BaseError, match=rf"1 of \d+ tensors are missing or of another rank, first {down}"):
        start_from(adapter, path)
    path.write_bytes(b"nonsense")
    with pytest.raises(BaseError, match=r"a\.safetensors cannot be read"):
        start_from(adapter, path)


def test_a_rate_of_zero_leaves_the_text_encoder_out(base: BaseModel) -> None:
    options = configs.from_values({"adapter": {"rank": 4, "alpha": 2}, "optimizer": {"text_encoder_rate": 0.0}})
    assert [part.name for part in attach(options, base).parts] == ["unet"]
