# pyright: basic
"""Write a model as a single file in the original (LDM) layout: the inverse of the loader."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib_lora_train.files.atomic import replacing
from lib_lora_train.train.base.names import ldm_candidates
from lib_lora_train.train.base.sd1_config import CONFIG_KEY, TEXT_HEAD_WIDTH, UNET_HEADS

_FORMATS = {"fp32": ("F32", torch.float32), "fp16": ("F16", torch.float16), "bf16": ("BF16", torch.bfloat16)}
Models = Mapping[str, nn.Module]


def to_ldm(models: Models) -> dict[str, Tensor]:
    """All tensors of "unet", "text_encoder" and "vae" under their LDM names and in their LDM shapes."""
    return {name: tensor for part, model in models.items() for name, tensor in ldm_tensors(part, model)}


def ldm_tensors(part: str, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The same for one part, in the model's order."""
    config: Any = model.config
    candidates = ldm_candidates(part, config if part != "text_encoder" else {})
    for name, tensor in model.state_dict().items():
        # The VAE's attention is made of 1x1 convolutions there.
        convolution = part == "vae" and ".attentions." in name and tensor.ndim == 2
        yield candidates(name)[0], tensor[:, :, None, None] if convolution else tensor


def write_base(path: Path, models: Models, dtype: str = "fp16", metadata: Mapping[str, str] | None = None) -> None:
    """Write a single-file checkpoint, whole or not at all; `dtype` is "fp16", "bf16" or "fp32".

    What the loader could not tell from shapes is put into the metadata. Raises DiskError.
    """
    tensors = to_ldm(models)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_tensors(path, shapes, tensors.items(), dtype, {**stated_config(models), **(metadata or {})})


def stated_config(models: Models) -> dict[str, str]:
    """Metadata for numbers of heads that are not SD 1.x's own."""
    unet: Any = models["unet"].config
    text: Any = models["text_encoder"].config
    stated: dict[str, dict[str, Any]] = {}
    if unet.attention_head_dim != UNET_HEADS:
        stated["unet"] = {"attention_head_dim": unet.attention_head_dim}
    if text.num_attention_heads != max(1, text.hidden_size // TEXT_HEAD_WIDTH):
        stated["text_encoder"] = {"num_attention_heads": text.num_attention_heads}
    return {CONFIG_KEY: json.dumps(stated)} if stated else {}


def write_tensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    values: Iterable[tuple[str, Tensor]],
    dtype: str,
    metadata: Mapping[str, str],
) -> None:
    """Write a `.safetensors` file tensor by tensor, so that no more than one is held besides the model.

    `values` come in the order of `shapes`. Raises DiskError.
    """
    label, kind = _FORMATS[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    position = 0
    for name, shape in shapes.items():
        end = position + math.prod(shape) * kind.itemsize
        header[name] = {"dtype": label, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for (name, shape), (given, tensor) in zip(shapes.items(), values, strict=True):
            if name != given or shape != tuple(tensor.shape):
                raise ValueError(f"{given} {tuple(tensor.shape)} came where {name} {shape} was announced")
            plain = tensor.detach().to(device="cpu", dtype=kind).contiguous()
            stream.write(plain.flatten().view(torch.uint8).numpy().data)
