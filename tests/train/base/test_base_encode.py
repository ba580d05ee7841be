"""Text, images and predictions: shapes, clip skip, chunks, scales, and no waiting for the device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from peft import LoraConfig, inject_adapter_in_model
from torch.utils._python_dispatch import TorchDispatchMode

from lib_lora_train.train.base.family import BaseModel, LoadOptions
from lib_lora_train.train.base.load import check_latents, load_base
from lib_lora_train.train.base.sd1 import vae_dtype
from lib_lora_train.train.errors import ConfigError, NotFinite
from lib_lora_train.train.sections import BaseConfig

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def encode(base: BaseModel, captions: list[str], max_tokens: int = 75, clip_skip: int = 1) -> torch.Tensor:
    return base.family.encode_text(
        base.text_encoder, base.family.tokenize(base.tokenizer, captions, max_tokens), clip_skip
    )


def test_base_is_frozen_and_knows_its_schedule(base: BaseModel) -> None:
    assert not any(
        weight.requires_grad for part in (base.unet, base.vae, base.text_encoder) for weight in part.parameters()
    )
    assert base.prediction == "epsilon" and base.latent_scale == 0.18215 and len(base.alphas_cumprod) == 1000
    assert len(base.hashes.sha256) == 64 and base.vae_hashes is None


def test_clip_skip_is_the_hidden_state_with_the_final_norm(base: BaseModel) -> None:
    ids = base.family.tokenize(base.tokenizer, ["a photo of a cat", "x"], 75)
    found = base.text_encoder(ids.flatten(0, 1), output_hidden_states=True)
    assert torch.equal(encode(base, ["a photo of a cat", "x"]), found.last_hidden_state)
    wanted = base.text_encoder.text_model.final_layer_norm(found.hidden_states[-2])
    skipped = encode(base, ["a photo of a cat", "x"], clip_skip=2)
    assert torch.equal(skipped, wanted) and not torch.equal(skipped, found.last_hidden_state)


def test_clip_skip_beyond_the_layers_is_refused(base: BaseModel) -> None:
    with pytest.raises(ConfigError, match=r"clip_skip = 3, but this base's text encoder has 2 layers; choose 1 … 2\."):
        encode(base, ["x"], clip_skip=3)


def test_chunks_are_encoded_each_alone_side_by_side(base: BaseModel) -> None:
    caption = "cat " * 75 + "dog"
    both = encode(base, [caption, "x"], 150)
    assert both.shape == (2, 154, 32)
    torch.testing.assert_close(both[:1, :77], encode(base, ["cat " * 75]))
    torch.testing.assert_close(both[:1, 77:], encode(base, ["dog"]))
    torch.testing.assert_close(both[1:, 77:], encode(base, [""]))


def test_latents_are_scaled_and_mean_decodes(base: BaseModel) -> None:
    pixels = torch.rand(2, 3, 64, 96) * 2 - 1
    mean, deviation = base.family.encode_images(base.vae, pixels)
    found = base.vae.encode(pixels).latent_dist
    assert mean.shape == deviation.shape == (2, 4, 8, 12) and mean.dtype == torch.float32
    torch.testing.assert_close(mean, found.mean * 0.18215)
    torch.testing.assert_close(deviation, found.std * 0.18215)
    decoded = base.vae.decode(found.mean).sample
    torch.testing.assert_close(base.family.decode(base.vae, mean), decoded, rtol=1e-3, atol=1e-4)


def test_autocast_around_does_not_reach_the_vae(base: BaseModel) -> None:
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    plain, _ = base.family.encode_images(base.vae, pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around, _ = base.family.encode_images(base.vae, pixels)
        decoded = base.family.decode(base.vae, around)
    assert torch.equal(plain, around) and torch.equal(decoded, base.family.decode(base.vae, plain))


def test_vae_is_never_fp16() -> None:
    assert vae_dtype(LoadOptions(vae_dtype=torch.float16, device="cuda")) == torch.float32
    assert vae_dtype(LoadOptions(vae_dtype=torch.bfloat16, device="cuda")) == torch.bfloat16
    assert vae_dtype(LoadOptions(vae_dtype=torch.bfloat16, device="cpu")) == torch.float32


def test_prediction_is_float32_in_any_dtype(tiny: Path) -> None:
    half = load_base(BaseConfig(path=str(tiny)), LoadOptions(dtype=torch.bfloat16))
    context = encode(half, ["a cat"])
    assert context.dtype == torch.bfloat16
    out = half.family.predict(half.unet, torch.randn(1, 4, 16, 16), torch.tensor([10]), context)
    assert out.dtype == torch.float32 and out.shape == (1, 4, 16, 16) and out.isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = half.family.predict(half.unet, torch.randn(1, 4, 16, 16), torch.tensor([10]), encode(half, ["a cat"]))
    assert again.isfinite().all()


def test_attention_kernels_agree(tiny: Path, base: BaseModel) -> None:
    eager = load_base(BaseConfig(path=str(tiny)), LoadOptions(attention="eager"))
    assert {type(one) for one in eager.unet.attn_processors.values()} == {AttnProcessor}
    assert {type(one) for one in base.unet.attn_processors.values()} == {AttnProcessor2_0}
    context = encode(base, ["a cat"])
    torch.testing.assert_close(encode(eager, ["a cat"]), context, rtol=1e-4, atol=1e-4)
    noisy, steps = torch.randn(2, 4, 16, 8), torch.tensor([1, 999])
    both = [one.family.predict(one.unet, noisy, steps, context.expand(2, -1, -1)) for one in (base, eager)]
    torch.testing.assert_close(both[0], both[1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="xFormers is not installed"):
        load_base(BaseConfig(path=str(tiny)), LoadOptions(attention="xformers"))


class NoWaiting(TorchDispatchMode):
    """Fails where a value would be read back from the device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(function) and "nonzero" not in str(function), function
        return function(*args, **(kwargs or {}))


def test_a_step_never_waits_for_the_device(base: BaseModel) -> None:
    ids = base.family.tokenize(base.tokenizer, ["a cat", "a dog"], 150)
    with NoWaiting():
        context = base.family.encode_text(base.text_encoder, ids, 2)
        base.family.predict(base.unet, torch.randn(2, 4, 16, 8), torch.tensor([1, 999]), context)
        with pytest.raises(AssertionError):
            context.sum().item()


def test_a_step_depends_on_no_value(base: BaseModel) -> None:
    """On the meta device there are no values to look at."""
    unet, text_encoder = copy.deepcopy(base.unet).to("meta"), copy.deepcopy(base.text_encoder).to("meta")
    context = base.family.encode_text(text_encoder, torch.zeros(2, 2, 77, dtype=torch.int64, device="meta"), 2)
    steps = torch.zeros(2, dtype=torch.int64, device="meta")
    assert base.family.predict(unet, torch.zeros(2, 4, 16, 8, device="meta"), steps, context).device.type == "meta"


def test_prediction_and_schedule_can_be_overridden(tiny: Path) -> None:
    loaded = load_base(BaseConfig(path=str(tiny), prediction="v_prediction"), zero_terminal_snr=True)
    assert loaded.prediction == "v_prediction" and loaded.zero_terminal_snr and loaded.alphas_cumprod[-1] == 0


def test_latents_that_are_not_finite_name_the_vae(base: BaseModel) -> None:
    check_latents(base, torch.zeros(1, 4, 8, 8), "a.png")
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(
            NotFinite, match=r"the VAE of tiny\.safetensors gives latents that are not finite for a\.png"
        ):
            check_latents(base, torch.tensor([0.0, bad]), "a.png")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_with_and_without_checkpointing_are_equal(dtype: torch.dtype, tiny: Path) -> None:
    found = []
    for checkpointed in (False, True):
        base = load_base(BaseConfig(path=str(tiny)), LoadOptions(dtype=dtype))
        torch.manual_seed(0)
        for model, targets in ((base.unet, ["to_q", "to_out.0", "proj_in"]), (base.text_encoder, ["q_proj", "fc1"])):
            inject_adapter_in_model(LoraConfig(r=2, target_modules=targets, init_lora_weights="gaussian"), model)
        if checkpointed:
            base.family.checkpoint_gradients(base.unet, base.text_encoder)
        noisy = torch.randn(2, 4, 16, 8, generator=torch.Generator().manual_seed(1))
        with torch.enable_grad():
            context = encode(base, ["a cat", "a dog"], clip_skip=2)
            base.family.predict(base.unet, noisy, torch.tensor([1, 999]), context).square().mean().backward()
        trained = [
            weight for model in (base.unet, base.text_encoder) for weight in model.parameters() if weight.requires_grad
        ]
        found.append([weight.grad for weight in trained])
    plain, checkpointed_grads = found
    assert sum(gradient is not None for gradient in plain) > 100
    for left, right in zip(plain, checkpointed_grads, strict=True):
        assert left is right is None or torch.equal(left, right)
    assert sum(float(gradient.abs().sum()) > 0 for gradient in plain[-8:] if gradient is not None) >= 2
