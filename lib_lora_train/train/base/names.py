"""The names of SD 1.x's tensors: diffusers' and transformers' to those of the original (LDM) layout.

Each function takes a tensor's name in the model and gives its name in a single-file checkpoint, so loading looks each
of the model's own tensors up, and writing goes the same way: one table for both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lib_lora_train.train.base.signatures import TEXT_PREFIXES, UNET_PREFIX, VAE_PREFIX

Candidates = Callable[[str], tuple[str, ...]]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_HEADS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_VAE_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
_BLOCK = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def unet_name(name: str, config: Mapping[str, Any]) -> str:
    """LDM name (without prefix) of the U-Net's tensor `name`; `config` is UNet2DConditionModel's."""
    stride = int(config["layers_per_block"]) + 1
    if match := _BLOCK.fullmatch(name):
        side, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * stride}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            place = 2 if "CrossAttn" in config["up_block_types"][block] else 1
            return f"output_blocks.{(block + 1) * stride - 1}.{place}.{rest}"
        number = block * stride + index
        stem = f"input_blocks.{number + 1}" if side == "down_blocks" else f"output_blocks.{number}"
        return f"{stem}.0.{_head(rest, _RESNET)}" if kind == "resnets" else f"{stem}.1.{rest}"
    if match := _MIDDLE.fullmatch(name):
        return (
            f"middle_block.{2 * int(match[2])}.{_head(match[3], _RESNET)}"
            if match[1] == "resnets"
            else f"middle_block.1.{match[3]}"
        )
    return _head(name, _UNET_HEADS)


def vae_name(name: str, config: Mapping[str, Any]) -> str:
    """LDM name (without prefix) of the VAE's tensor `name`; `config` is AutoencoderKL's."""
    side, _, inner = name.partition(".")
    if side not in ("encoder", "decoder"):
        return name
    shortcut = {"conv_shortcut": "nin_shortcut"}
    if match := _BLOCK.fullmatch(inner):
        block, kind, index, rest = int(match[2]), match[3], match[4], match[5]
        stem = (
            f"{side}.down.{block}"
            if match[1] == "down_blocks"
            else f"{side}.up.{len(config['block_out_channels']) - 1 - block}"
        )
        sampler = {"downsamplers": "downsample", "upsamplers": "upsample"}.get(kind)
        return f"{stem}.{sampler}.{rest}" if sampler else f"{stem}.block.{index}.{_head(rest, shortcut)}"
    if match := _MIDDLE.fullmatch(inner):
        index, rest = int(match[2]) + 1, match[3]
        return (
            f"{side}.mid.block_{index}.{_head(rest, shortcut)}"
            if match[1] == "resnets"
            else f"{side}.mid.attn_{index}.{_head(rest, _VAE_ATTENTION)}"
        )
    return f"{side}.{_head(inner, {'conv_norm_out': 'norm_out'})}"


def text_name(name: str, _config: Mapping[str, Any] | None = None) -> str:
    """LDM name (without prefix) of the text encoder's tensor `name`."""
    return name.removeprefix("text_model.")


def ldm_candidates(part: str, config: Mapping[str, Any]) -> Candidates:
    """For a part of the model: name in the model → names it may have in a single file, the usual one first."""
    if part == "unet":
        return lambda name: (UNET_PREFIX + unet_name(name, config),)
    if part == "vae":
        return lambda name: (VAE_PREFIX + vae_name(name, config), vae_name(name, config))
    return lambda name: tuple(prefix + text_name(name) for prefix in TEXT_PREFIXES)


def diffusers_candidates(part: str) -> Candidates:
    """As `ldm_candidates` for the files of a diffusers folder; older VAEs name their attention differently."""
    if part == "vae":
        return lambda name: (name, _inner(name, _VAE_OLD_ATTENTION))
    return lambda name: (name,)


def _head(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def _inner(name: str, table: Mapping[str, str]) -> str:
    stem, found, rest = name.partition(".attentions.0.")
    return stem + found + _head(rest, table) if found else name
