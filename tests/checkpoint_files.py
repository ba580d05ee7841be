"""Checkpoint files that are small and hold zeros, but whose heads look like those of real models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Shapes = Mapping[str, Sequence[int]]
UNET = "model.diffusion_model."
SD1: Shapes = {f"{UNET}input_blocks.0.0.weight": [8, 4, 3, 3], f"{UNET}input_blocks.1.1.proj_in.weight": [8, 8, 1, 1]}
SDXL: Shapes = {f"{UNET}input_blocks.0.0.weight": [8, 4, 3, 3], f"{UNET}label_emb.0.0.weight": [8, 2816]}
REFINER: Shapes = {f"{UNET}input_blocks.0.0.weight": [8, 4, 3, 3], f"{UNET}label_emb.0.0.weight": [8, 2560]}
FLUX: Shapes = {"double_blocks.0.img_attn.qkv.weight": [8, 8]}
SD3: Shapes = {f"{UNET}joint_blocks.0.context_block.attn.qkv.weight": [8, 8]}
LORA: Shapes = {"lora_unet_a.lora_down.weight": [4, 8], "lora_unet_a.lora_up.weight": [8, 4]}
VAE: Shapes = {"encoder.conv_in.weight": [8, 3, 3, 3], "decoder.conv_in.weight": [8, 4, 3, 3]}
EMBEDDING: Shapes = {"emb_params": [2, 8]}
CONTROLNET: Shapes = {"control_model.input_blocks.0.0.weight": [8, 4, 3, 3]}
NOVEL: Shapes = {f"layer.{number}.of.a.new.kind": [8, 8] for number in range(9)}


def write(path: Path, shapes: Shapes) -> None:
    """A safetensors file of zeros."""
    table: dict[str, Any] = {}
    end = 0
    for key, shape in shapes.items():
        table[key] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + 2 * math.prod(shape)]}
        end += 2 * math.prod(shape)
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
