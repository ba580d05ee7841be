"""Recognition from headers alone: families, prediction, formats, and that torch is not needed for it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL

from lib_lora_train.train.base.detect import identify, inspect
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.random_base import Widths, write_random_base
from lib_lora_train.train.base.signatures import REFUSALS, family_of
from lib_lora_train.train.errors import BaseError
from lib_lora_train.train.sections import BaseConfig

UNET = "model.diffusion_model."
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}


def hollow(path: Path, shapes: dict[str, Any], dtype: str = "F16", metadata: dict[str, str] | None = None) -> Path:
    """A file with this header and (sparse) zeros behind it. A value may be (dtype, shape)."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, value in shapes.items():
        kind, shape = value if value and isinstance(value[0], str) else (dtype, value)
        end = position + math.prod(shape) * SIZES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with path.open("rb+") as stream:
        stream.truncate(8 + len(text) + position)
    return path


def shapes_of_a_checkpoint(path: Path) -> dict[str, Any]:
    text = path.read_bytes()
    header = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


FAMILIES = {
    "sd2": {f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3), f"{UNET}input_blocks.1.1.proj_in.weight": (320, 320)},
    "sdxl": {f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3), f"{UNET}label_emb.0.0.weight": (1280, 2816)},
    "sdxl_refiner": {f"{UNET}input_blocks.0.0.weight": (384, 4, 3, 3), f"{UNET}label_emb.0.0.weight": (1536, 2560)},
    "sd3": {f"{UNET}joint_blocks.0.x_block.attn.qkv.weight": (8, 8), "a": (9,), "b": (9,), "c": (9,), "d": (9,)},
    "flux": {"double_blocks.0.img_attn.qkv.weight": (8, 8)},
    "lora": {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (8, 320, 1, 1)},
    "controlnet": {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "embedding": {"emb_params": (4, 768)},
    "vae": {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3)},
    "unet": {"down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3), "conv_in.weight": (320, 4, 3, 3)},
    "text_encoder": {"text_model.embeddings.token_embedding.weight": (49408, 768), "x.weight": (2, 2, 2)},
    "unknown": {"layers.0.weight": (2, 2, 2)},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_and_their_refusals(family: str, tmp_path: Path) -> None:
    path = hollow(tmp_path / "model.safetensors", FAMILIES[family])
    assert identify(path).family == family
    with pytest.raises(BaseError) as caught:
        inspect(path)
    assert str(caught.value) == f"model.safetensors {REFUSALS[family]}."


@pytest.mark.parametrize(
    "name",
    [
        "unet.up.lora_A.weight",
        "unet.up.lora.down.weight",
        "te.hada_w1_a",
        "lora_te1_x.alpha",
        "bundle_emb.x.string_to_param.*",
    ],
)
def test_all_kinds_of_lora(name: str) -> None:
    assert family_of({name: (4, 4)}) == "lora"


def test_a_trainable_base(tiny: Path) -> None:
    info = inspect(tiny)
    assert (info.layout, info.family, info.prediction, info.zero_terminal_snr, info.inpainting, info.dtype) == (
        "ldm",
        "sd1",
        "epsilon",
        False,
        False,
        "fp32",
    )
    assert info.configs["unet"]["block_out_channels"] == [32, 32, 64, 64]
    assert info.configs["text_encoder"]["num_attention_heads"] == 2
    assert info.configs["vae"]["layers_per_block"] == 2


def test_the_real_widths_come_out_of_shapes(tmp_path: Path, tiny: Path) -> None:
    def widen(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if name.endswith("input_blocks.0.0.weight"):
            return (320, 4, 3, 3)
        return shape

    info = inspect(
        hollow(
            tmp_path / "a.safetensors",
            {name: widen(name, shape) for name, shape in shapes_of_a_checkpoint(tiny).items()},
        )
    )
    assert info.dtype == "fp16" and info.configs["unet"]["in_channels"] == 4


@pytest.mark.parametrize("way", ["key", "metadata", "yaml"])
def test_v_prediction_is_seen(way: str, tiny: Path, tmp_path: Path) -> None:
    shapes = shapes_of_a_checkpoint(tiny)
    if way == "key":
        shapes |= {"v_pred": (), "ztsnr": ()}
    if way == "yaml":
        (tmp_path / "v.yaml").write_text(
            'model:\n  params:\n    parameterization: "v"  # as trained\n', encoding="utf-8"
        )
    info = inspect(
        hollow(
            tmp_path / "v.safetensors",
            shapes,
            metadata={"modelspec.prediction_type": "v"} if way == "metadata" else None,
        )
    )
    assert info.prediction == "v_prediction" and info.zero_terminal_snr is (way == "key")


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("first_stage_model.", "has no VAE; choose a VAE file"),
        ("cond_stage_model.", "has no text encoder; choose a full"),
    ],
)
def test_a_missing_part_is_named(prefix: str, words: str, tiny: Path, tmp_path: Path) -> None:
    path = hollow(
        tmp_path / "part.safetensors",
        {name: shape for name, shape in shapes_of_a_checkpoint(tiny).items() if not name.startswith(prefix)},
    )
    with pytest.raises(BaseError, match=words):
        inspect(path)


@pytest.mark.parametrize("missing", ["out.2.weight", "input_blocks.1.0.out_layers.3.weight"])
def test_a_half_unet_is_named(missing: str, tiny: Path, tmp_path: Path) -> None:
    path = hollow(
        tmp_path / "half.safetensors",
        {name: shape for name, shape in shapes_of_a_checkpoint(tiny).items() if name != UNET + missing},
    )
    with pytest.raises(BaseError, match=rf"half\.safetensors is no complete SD 1\.x checkpoint: .*{missing}"):
        inspect(path)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="is no diffusers folder"):
        inspect(tmp_path)
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}', encoding="utf-8")
    with pytest.raises(BaseError, match="is a Flux model"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"addition_embed_type": "text_time"}, "refiner"),
        ({"use_linear_projection": True}, "SD 2.x"),
        ({"_class_name": "UNetSpatioTemporalConditionModel"}, "video model"),
        ({"in_channels": 9}, "inpainting model"),
        ({"class_embed_type": "projection"}, "holds no model that is known"),
        ({}, "has no text encoder"),
    ],
)
def test_folders_by_their_config(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"in_channels": 4, **config}), encoding="utf-8")
    with pytest.raises(BaseError, match="has no weights in its folder unet"):
        inspect(tmp_path)
    hollow(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    with pytest.raises(BaseError, match=words):
        inspect(tmp_path)
    (tmp_path / "unet" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BaseError, match=r"unet/config\.json in .* cannot be read"):
        inspect(tmp_path)


def test_no_choice_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="No base is chosen"):
        inspect(Path())
    for name in ("none.safetensors", "none.ckpt"):
        with pytest.raises(BaseError, match="is not there"):
            inspect(tmp_path / name)


def test_recognition_needs_no_torch(tiny: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path\n"
        "from lib_lora_train.train.base.detect import inspect\n"
        "from lib_lora_train.train.base.fingerprint import fingerprint\n"
        "from lib_lora_train.train.base.tokenizer import load_tokenizer\n"
        "print(inspect(Path(sys.argv[1])).family, load_tokenizer().count('a photo'), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sd1", "2", "False"]


def changed(tiny: Path, path: Path, shapes: dict[str, Any]) -> Path:
    return hollow(path, {**shapes_of_a_checkpoint(tiny), **shapes})


@pytest.mark.parametrize(
    "shapes",
    [
        {f"{UNET}input_blocks.0.0.weight": ()},
        {f"{UNET}input_blocks.0.0.weight": (4,)},
        {f"{UNET}out.2.weight": ()},
        {f"{UNET}input_blocks.999999999.0.op.weight": (4,)},
        {f"{UNET}label_emb.0.0.weight": ()},
        {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408,)},
        {"cond_stage_model.transformer.text_model.encoder.layers.999999999.x": (1,)},
        {"first_stage_model.encoder.down.0.block.999999999.conv1.weight": (1,)},
        {"first_stage_model.encoder.down.999999999.block.0.conv1.weight": (1,)},
        {"first_stage_model.encoder.conv_in.weight": (1,)},
    ],
)
def test_shapes_that_make_no_model_are_a_sentence(shapes: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    path = changed(tiny, tmp_path / "odd.safetensors", shapes)
    with pytest.raises(BaseError, match=r"^odd\.safetensors .*\.$"):
        load_base(BaseConfig(path=str(path)))


@pytest.mark.parametrize(
    "fields",
    [
        {"attention_head_dim": 7},
        {"attention_head_dim": 0},
        {"attention_head_dim": "many"},
        {"norm_num_groups": 5},
        {"attention_head_dim": None},
    ],
)
def test_a_stated_config_that_fits_nothing_is_a_sentence(fields: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    metadata = {"lora_loop.config": json.dumps({"unet": {**fields, "layers_per_block": 10**9}})}
    path = hollow(tmp_path / "odd.safetensors", shapes_of_a_checkpoint(tiny), metadata=metadata)
    with pytest.raises(BaseError, match=r"\.$"):
        load_base(BaseConfig(path=str(path)))


@pytest.mark.parametrize("channels", [5, 8])
def test_other_tasks_are_told_by_their_channels(channels: int, tiny: Path, tmp_path: Path) -> None:
    path = changed(tiny, tmp_path / "task.safetensors", {f"{UNET}input_blocks.0.0.weight": (32, channels, 3, 3)})
    with pytest.raises(BaseError, match=rf"made for another task \({channels} input channels\)"):
        inspect(path)


def test_parts_that_do_not_fit_are_told_before_tensors_are_read(tiny: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.safetensors"
    write_random_base(wide, Widths(unet=(32, 32), vae=(32, 32), text=64, text_layers=1, text_heads=1))
    shapes = {name: shape for name, shape in shapes_of_a_checkpoint(tiny).items() if not name.startswith("cond_stage")}
    shapes |= {name: shape for name, shape in shapes_of_a_checkpoint(wide).items() if name.startswith("cond_stage")}
    with pytest.raises(BaseError, match=r"its U-Net takes 32 numbers a token, its text encoder gives 64"):
        load_base(BaseConfig(path=str(hollow(tmp_path / "mixed.safetensors", shapes))))
    missing = {name: shape for name, shape in shapes_of_a_checkpoint(tiny).items() if ".attn1.to_q." not in name}
    with pytest.raises(BaseError, match=r"it lacks model\.diffusion_model\.\S+to_q\.weight, .* and \d+ more; choose"):
        load_base(BaseConfig(path=str(hollow(tmp_path / "lacking.safetensors", missing))))


def test_a_vae_of_another_family_is_told(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sdxl-vae"
    folder.mkdir()
    config = {**inspect(tiny).configs["vae"], "scaling_factor": 0.13025}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    names = AutoencoderKL(**config).state_dict()
    hollow(
        folder / "diffusion_pytorch_model.safetensors", {name: tuple(tensor.shape) for name, tensor in names.items()}
    )
    with pytest.raises(BaseError, match=r"sdxl-vae is of another family \(4 channels scaled by 0\.13025"):
        load_base(BaseConfig(path=str(tiny), vae=str(folder)))
    with pytest.raises(BaseError, match=r"none\.safetensors is not there"):
        load_base(BaseConfig(path=str(tiny), vae=str(tmp_path / "none.safetensors")))
    other = hollow(tmp_path / "lora.safetensors", FAMILIES["lora"])
    with pytest.raises(
        BaseError, match=r"lora\.safetensors is no VAE .*; choose a VAE file, or leave the VAE field empty"
    ):
        load_base(BaseConfig(path=str(tiny), vae=str(other)))
