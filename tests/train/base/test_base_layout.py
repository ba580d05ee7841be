"""Both layouts give the same model, the writer is the loader's inverse, and the names are the library's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from lib_lora_train.train.base.family import BaseModel, LoadOptions
from lib_lora_train.train.base.layout import to_ldm, write_base
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.random_base import Widths, write_random_base
from lib_lora_train.train.sections import BaseConfig

pytestmark = pytest.mark.torch


def parts(base: BaseModel) -> dict[str, torch.nn.Module]:
    return {"unet": base.unet, "text_encoder": base.text_encoder, "vae": base.vae}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].shape == right[name].shape and torch.equal(left[name], right[name]) for name in left
    )


def outputs(base: BaseModel) -> list[Tensor]:
    family = base.family
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        context = family.encode_text(base.text_encoder, family.tokenize(base.tokenizer, ["a cat, a dog"], 75))
    mean, deviation = family.encode_images(base.vae, torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1)
    with torch.no_grad():
        predicted = family.predict(base.unet, mean, torch.tensor([500]), context)
    return [context, mean, deviation, predicted, family.decode(base.vae, mean)]


@pytest.fixture(scope="module")
def folder(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diffusers") / "model"
    for name, model in parts(base).items():
        model.save_pretrained(path / name)  # type: ignore[operator]
    DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(path / "scheduler")
    (path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}), encoding="utf-8")
    return path


def test_names_are_diffusers_own(tiny: Path, base: BaseModel) -> None:
    file = load_file(tiny)
    unet = convert_ldm_unet_checkpoint(dict(file), dict(base.unet.config))
    vae = convert_ldm_vae_checkpoint(dict(file), dict(base.vae.config))
    text = convert_ldm_clip_checkpoint(dict(file))
    assert same(unet, base.unet.state_dict())
    assert same(vae, base.vae.state_dict())
    assert same(
        {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in text.items()},
        base.text_encoder.state_dict(),
    )


def test_writing_is_the_inverse_of_loading(tiny: Path, base: BaseModel, tmp_path: Path) -> None:
    assert same(to_ldm(parts(base)), load_file(tiny))
    write_base(tmp_path / "again.safetensors", parts(base), "fp32")
    assert (tmp_path / "again.safetensors").read_bytes() == tiny.read_bytes()


def test_a_folder_gives_the_same_model(folder: Path, base: BaseModel) -> None:
    loaded = load_base(BaseConfig(path=str(folder)))
    assert loaded.info.layout == "diffusers" and not loaded.extras
    for left, right in zip(outputs(base), outputs(loaded), strict=True):
        assert torch.equal(left, right)


def test_a_folder_of_fp16_variants(folder: Path, base: BaseModel, tmp_path: Path) -> None:
    for name, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("text_encoder", CLIPTextModel)):
        kind.from_pretrained(folder / name, torch_dtype=torch.float16).save_pretrained(tmp_path / name, variant="fp16")
    loaded = load_base(BaseConfig(path=str(tmp_path)))
    assert loaded.info.dtype == "fp16"
    assert same(
        loaded.unet.state_dict(), {name: tensor.half().float() for name, tensor in base.unet.state_dict().items()}
    )


def test_a_folder_with_old_vae_names(folder: Path, base: BaseModel, tmp_path: Path) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        for new, before in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        renamed[name] = tensor
    assert renamed.keys() != tensors.keys()
    (tmp_path / "config.json").write_bytes((folder / "vae" / "config.json").read_bytes())
    save_file(renamed, tmp_path / "diffusion_pytorch_model.safetensors")
    loaded = load_base(BaseConfig(path=str(folder), vae=str(tmp_path)))
    assert same(loaded.vae.state_dict(), base.vae.state_dict())


@pytest.mark.parametrize(
    "widths",
    [
        Widths(unet=(32, 64), vae=(32, 64, 32), text=64, text_layers=3, text_heads=4),
        Widths(unet=(64, 32, 96), vae=(32,), text=128, text_layers=1, text_heads=2),
    ],
)
def test_any_widths(widths: Widths, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    write_random_base(path, widths, dtype="fp32")
    loaded = load_base(BaseConfig(path=str(path)))
    wanted = widths.configs()
    for name, model in parts(loaded).items():
        fields = model.config.to_dict() if name == "text_encoder" else dict(model.config)  # type: ignore[union-attr, arg-type]
        assert {
            field: list(fields[field]) if isinstance(fields[field], tuple) else fields[field] for field in wanted[name]
        } == wanted[name]
    assert same(to_ldm(parts(loaded)), load_file(path))
    context = loaded.family.encode_text(loaded.text_encoder, loaded.family.tokenize(loaded.tokenizer, ["x"], 75))
    assert loaded.family.predict(loaded.unet, torch.randn(1, 4, 16, 16), torch.tensor([1]), context).isfinite().all()


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_number_formats(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_random_base(path, "tiny", seed=3, dtype=dtype)
    loaded = load_base(BaseConfig(path=str(path)), LoadOptions(dtype=torch.bfloat16, vae_dtype=torch.float16))
    assert loaded.info.dtype == dtype
    assert loaded.unet.dtype == loaded.text_encoder.dtype == torch.bfloat16
    assert loaded.vae.dtype == torch.float32
    assert torch.equal(
        loaded.unet.conv_in.weight, load_file(path)["model.diffusion_model.input_blocks.0.0.weight"].to(torch.bfloat16)
    )


def test_older_text_encoder_names_extra_keys_and_leftovers(tiny: Path, base: BaseModel, tmp_path: Path) -> None:
    tensors = {
        name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in load_file(tiny).items()
    }
    tensors["cond_stage_model.transformer.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["model_ema.diffusion_modelinput_blocks00weight"] = torch.zeros(3)
    tensors["alphas_cumprod"] = torch.zeros(1000)
    tensors["merge.recipe"] = torch.zeros(2)
    save_file(
        tensors,
        tmp_path / "merge.safetensors",
        {"lora_loop.config": json.dumps({"text_encoder": {"num_attention_heads": 2}})},
    )
    loaded = load_base(BaseConfig(path=str(tmp_path / "merge.safetensors")))
    assert loaded.extras == ("merge.recipe",)
    for left, right in zip(outputs(base), outputs(loaded), strict=True):
        assert torch.equal(left, right)


def test_heads_from_a_file_beside(tiny: Path, tmp_path: Path) -> None:
    save_file(load_file(tiny), tmp_path / "plain.safetensors")
    (tmp_path / "plain.json").write_text('{"description": "my notes", "activation text": "x"}', encoding="utf-8")
    assert load_base(BaseConfig(path=str(tmp_path / "plain.safetensors"))).text_encoder.config.num_attention_heads == 1
    (tmp_path / "plain.json").write_text(
        '{"lora_loop.config": {"text_encoder": {"num_attention_heads": 4}}}', encoding="utf-8"
    )
    assert load_base(BaseConfig(path=str(tmp_path / "plain.safetensors"))).text_encoder.config.num_attention_heads == 4


@pytest.mark.parametrize("form", ["bare", "prefixed", "diffusers", "checkpoint"])
def test_another_vae(form: str, tiny: Path, base: BaseModel, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_random_base(other, "tiny", seed=9, dtype="fp32")
    prefix = "first_stage_model."
    vae = {name: tensor for name, tensor in load_file(other).items() if name.startswith(prefix)}
    path = tmp_path / "vae.safetensors"
    if form == "checkpoint":
        path = other
    elif form == "diffusers":
        path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    else:
        save_file({name.removeprefix(prefix) if form == "bare" else name: tensor for name, tensor in vae.items()}, path)
    loaded = load_base(BaseConfig(path=str(tiny), vae=str(path)))
    wanted = to_ldm({"vae": base.vae}) if form == "diffusers" else vae
    assert same(to_ldm({"vae": loaded.vae}), wanted)
    assert (
        not loaded.extras and loaded.vae_hashes is not None and same(loaded.unet.state_dict(), base.unet.state_dict())
    )


def test_a_checkpoint_without_vae_takes_the_given_one(tiny: Path, base: BaseModel, tmp_path: Path) -> None:
    save_file(
        {name: tensor for name, tensor in load_file(tiny).items() if not name.startswith("first_stage_model.")},
        tmp_path / "a.safetensors",
    )
    loaded = load_base(BaseConfig(path=str(tmp_path / "a.safetensors"), vae=str(tiny)))
    assert same(loaded.vae.state_dict(), base.vae.state_dict())


def test_pickled_checkpoint_when_allowed(tiny: Path, base: BaseModel, tmp_path: Path) -> None:
    for name, legacy in (("new.ckpt", True), ("old.pt", False)):
        torch.save({"state_dict": load_file(tiny), "epoch": 3}, tmp_path / name, _use_new_zipfile_serialization=legacy)
        loaded = load_base(BaseConfig(path=str(tmp_path / name), allow_pickle=True))
        assert same(loaded.unet.state_dict(), base.unet.state_dict())
