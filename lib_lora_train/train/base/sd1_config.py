"""How an SD 1.x model is built, worked out from the shapes of its tensors, so that other widths need no config file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lib_lora_train.files.reading import read_text
from lib_lora_train.train.base.info import Shapes
from lib_lora_train.train.base.signatures import TEXT_PREFIXES, UNET_PREFIX, VAE_PREFIX
from lib_lora_train.train.errors import BaseError

CONFIG_KEY = "lora_loop.config"
LATENT_SCALE = 0.18215
UNET_HEADS = 8
TEXT_HEAD_WIDTH = 64
GROUPS = 32
STATABLE = frozenset({"attention_head_dim", "num_attention_heads", "norm_num_groups", "hidden_act"})


def infer(shapes: Shapes, path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Configs of the parts found in an LDM layout: keys "unet", "text_encoder", "vae" where the tensors are there.

    What shapes cannot tell (numbers of heads) is SD 1.x's own, unless the file's metadata or `NAME.json` beside it
    has a `lora_loop.config`: a table part → {field: value} for the fields of STATABLE.
    Raises BaseError when a shape makes no such model.
    """
    configs: dict[str, dict[str, Any]] = {}
    try:
        configs["unet"] = unet_config(
            {name.removeprefix(UNET_PREFIX): shape for name, shape in shapes.items() if name.startswith(UNET_PREFIX)}
        )
        for prefix in TEXT_PREFIXES:
            if f"{prefix}embeddings.token_embedding.weight" in shapes and "text_encoder" not in configs:
                configs["text_encoder"] = text_config(shapes, prefix)
        if f"{VAE_PREFIX}decoder.conv_in.weight" in shapes:
            configs["vae"] = vae_config(shapes, VAE_PREFIX)
    except (KeyError, IndexError, ValueError) as error:
        raise BaseError(
            f"{path.name} is no complete SD 1.x checkpoint: {error} is missing or has another form; choose another file."
        ) from error
    for part, fields in _stated(path, metadata).items():
        if part in configs:
            configs[part].update({name: value for name, value in fields.items() if name in STATABLE})
    return configs


def unet_config(shapes: Shapes) -> dict[str, Any]:
    """UNet2DConditionModel's config for LDM names without prefix. Raises KeyError naming a missing tensor."""
    samplers = [
        int(match[1]) for name in shapes if (match := re.fullmatch(r"input_blocks\.(\d+)\.0\.op\.weight", name))
    ]
    last = max(int(match[1]) for name in shapes if (match := re.match(r"input_blocks\.(\d+)\.", name)))
    stride = min(samplers, default=last + 1)
    _check_count("input_blocks", stride, shapes)
    starts = [1, *(index + 1 for index in sorted(samplers))]
    attention = [f"input_blocks.{start}.1.proj_in.weight" in shapes for start in starts]
    to_key = next((shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    if to_key is None:
        raise KeyError("attn2.to_k.weight")
    return {
        "sample_size": 64,
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": [shapes[f"input_blocks.{start}.0.out_layers.3.weight"][0] for start in starts],
        "layers_per_block": stride - 1,
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)],
        "cross_attention_dim": to_key[1],
        "attention_head_dim": UNET_HEADS,  # diffusers' name for the number of heads in SD 1.x
        "norm_num_groups": GROUPS,
    }


def text_config(shapes: Shapes, prefix: str) -> dict[str, Any]:
    """CLIPTextConfig's fields. Raises KeyError naming a missing tensor."""
    rows, width = shapes[f"{prefix}embeddings.token_embedding.weight"]
    pattern = re.compile(re.escape(prefix) + r"encoder\.layers\.(\d+)\.")
    layers = 1 + max((int(match[1]) for name in shapes if (match := pattern.match(name))), default=0)
    _check_count("encoder.layers", layers, shapes)
    return {
        "vocab_size": rows,
        "hidden_size": width,
        "projection_dim": width,
        "intermediate_size": shapes[f"{prefix}encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // TEXT_HEAD_WIDTH),
        "max_position_embeddings": shapes[f"{prefix}embeddings.position_embedding.weight"][0],
        "hidden_act": "quick_gelu",
    }


def vae_config(shapes: Shapes, prefix: str = "") -> dict[str, Any]:
    """AutoencoderKL's config for LDM names, or for diffusers' names. Raises KeyError naming a missing tensor."""
    old = f"{prefix}encoder.down.0.block.0.conv1.weight" in shapes
    block, resnet = ("encoder.down.", ".block.") if old else ("encoder.down_blocks.", ".resnets.")
    pattern = re.compile(re.escape(prefix + block) + r"(\d+)" + re.escape(resnet) + r"(\d+)\.conv1\.weight")
    found = {
        (int(match[1]), int(match[2])): shape for name, shape in shapes.items() if (match := pattern.fullmatch(name))
    }
    if not found:
        raise KeyError(f"{prefix}encoder.down.0.block.0.conv1.weight")
    count = 1 + max(level for level, _ in found)
    resnets = 1 + max(index for _, index in found)
    _check_count("encoder.down", count * resnets, shapes)
    return {
        "sample_size": 512,
        "in_channels": shapes[f"{prefix}encoder.conv_in.weight"][1],
        "out_channels": shapes[f"{prefix}decoder.conv_out.weight"][0],
        "latent_channels": shapes[f"{prefix}decoder.conv_in.weight"][1],
        "block_out_channels": [found[level, 0][0] for level in range(count)],
        "layers_per_block": resnets,
        "down_block_types": ["DownEncoderBlock2D"] * count,
        "up_block_types": ["UpDecoderBlock2D"] * count,
        "norm_num_groups": GROUPS,
        "scaling_factor": LATENT_SCALE,
    }


def _check_count(name: str, count: int, shapes: Shapes) -> None:
    """A number in a name may claim any size; there cannot be more layers than tensors."""
    if not 1 < count + 1 <= len(shapes):
        raise KeyError(f"{name}.{count}")


def _stated(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the file's metadata, else `NAME.json` beside it (which the WebUIs use for notes too), states outright."""
    sibling = path.with_suffix(".json")
    try:
        stated: Any = json.loads(metadata[CONFIG_KEY]) if CONFIG_KEY in metadata else None
        if stated is None and sibling.is_file():
            notes: Any = json.loads(read_text(sibling))
            stated = cast("dict[str, Any]", notes).get(CONFIG_KEY) if isinstance(notes, dict) else None
    except (OSError, ValueError, RecursionError):
        return {}  # somebody else's notes: not ours to complain about
    if not isinstance(stated, dict):
        return {}
    return {part: fields for part, fields in cast("dict[str, Any]", stated).items() if isinstance(fields, dict)}
