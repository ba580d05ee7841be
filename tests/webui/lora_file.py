"""LoRA files for tests in real WebUIs: a few modules of a checkpoint of any width, written without torch."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

from lib_lora_train.files.safetensors_header import read_header

MODULES = {
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v": "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_v.weight",
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v": "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight",
    "lora_te_text_model_encoder_layers_0_self_attn_v_proj": "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.v_proj.weight",
}
RANK = 2


def write_lora(file: Path, base: Path, seed: int) -> None:
    """Put a LoRA for `base` in the place of `file`, as a trainer does: a new file renamed over the old one."""
    shapes = read_header(base).shapes
    dice = random.Random(seed)
    table: dict[str, object] = {}
    data = b""
    for name, key in MODULES.items():
        out, into = shapes[key]
        for end, shape in (("lora_down", [RANK, into]), ("lora_up", [out, RANK])):
            numbers = [dice.gauss(0, 0.2) for _ in range(shape[0] * shape[1])]
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
            place = [len(data), len(data) + len(packed)]
            table[f"{name}.{end}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": place}
            data += packed
        table[f"{name}.alpha"] = {"dtype": "F32", "shape": [], "data_offsets": [len(data), len(data) + 4]}
        data += struct.pack("<f", RANK)
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    new = file.with_suffix(".new")
    new.write_bytes(struct.pack("<Q", len(head)) + head + data)
    new.replace(file)
