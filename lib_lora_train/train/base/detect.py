"""Recognise a base by its header, before any memory is used for it, and refuse what cannot be trained.

Torch-free, except for pickled files, which only torch can open and which must be asked for.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lib_lora_train.files.reading import read_text
from lib_lora_train.files.safetensors_header import TensorHeader
from lib_lora_train.train.base import folder, sd1_config
from lib_lora_train.train.base.header import PICKLES, QUANTISED, header_of, number_format
from lib_lora_train.train.base.info import PARTS, BaseInfo
from lib_lora_train.train.base.signatures import REFUSALS, UNET_PREFIX, family_of
from lib_lora_train.train.errors import BaseError

_PARTS_IN_WORDS = {"unet": "U-Net", "text_encoder": "text encoder", "vae": "VAE"}


def inspect(path: Path, allow_pickle: bool = False, vae: Path | None = None) -> BaseInfo:
    """What `path` is, if it can be trained on. `vae` is the VAE that takes the place of the checkpoint's own.

    Raises BaseError, with the cure, for every other file: damaged, pickled (unless `allow_pickle`), of a family that
    is not supported, an inpainting model, quantised weights, a part missing.
    """
    info = identify(path, allow_pickle)
    if info.dtype in QUANTISED:
        cure = "choose the fp16, bf16 or fp32 file of this model"
        raise BaseError(
            f"{info.name} holds {info.dtype} weights, which are for drawing only and cannot be trained on; {cure}."
        )
    if info.family in REFUSALS:
        raise BaseError(f"{info.name} {REFUSALS[info.family]}.")
    channels = info.configs.get("unet", {}).get("in_channels", 4)
    if channels != 4:
        kind = "an inpainting model" if info.inpainting else "made for another task"
        cure = "choose the ordinary model it was made from"
        raise BaseError(f"{info.name} is {kind} ({channels} input channels), which is not trained on; {cure}.")
    for part in PARTS:
        if part not in info.configs and not (part == "vae" and vae):
            cure = "choose a VAE file in the VAE field" if part == "vae" else "choose a full checkpoint"
            raise BaseError(f"{info.name} has no {_PARTS_IN_WORDS[part]}; {cure}.")
    return info


def identify(path: Path, allow_pickle: bool = False) -> BaseInfo:
    """What `path` is, trainable or not. Raises BaseError when it is damaged, or pickled and not allowed to be."""
    if not path.name:
        raise BaseError("No base is chosen; choose a checkpoint (.safetensors) or a diffusers folder.")
    if path.is_dir():
        return folder.identify_folder(path, allow_pickle)
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        raise BaseError(
            f"{path.name} is a GGUF file, which cannot be trained on; choose the fp16 or fp32 .safetensors of this model."
        )
    if suffix in PICKLES and path.exists():
        return _identify(path, _pickled_header(path, allow_pickle))
    return _identify(path, header_of(path))


def _pickled_header(path: Path, allow_pickle: bool) -> TensorHeader:
    if not allow_pickle:
        cure = "convert it to .safetensors first, or tick 'allow pickle' if you trust where it came from"
        raise BaseError(f"{path.name} is a pickled file, which can run code when it is opened; {cure}.")
    from lib_lora_train.train.base.tensors import open_tensors

    return open_tensors(path, allow_pickle).header


def _identify(path: Path, header: TensorHeader) -> BaseInfo:
    shapes = header.shapes
    family = family_of(shapes)
    prediction, ztsnr = _prediction(path, header)
    info = BaseInfo(path, "none", family, prediction, ztsnr, dtype=number_format(header.tensors))
    if family not in ("sd1", "sd2", "sdxl", "sdxl_refiner"):
        return info
    first = shapes.get(f"{UNET_PREFIX}input_blocks.0.0.weight", ())
    inpainting = len(first) == 4 and first[1] == 9
    info = dataclasses.replace(info, layout="ldm", inpainting=inpainting, files=dict.fromkeys(PARTS, path))
    if family != "sd1":
        return info
    return dataclasses.replace(info, configs=sd1_config.infer(shapes, path, header.metadata))


def _prediction(path: Path, header: TensorHeader) -> tuple[str, bool]:
    """v-prediction and zero terminal SNR, as model makers mark them: key, metadata, or a YAML beside the file."""
    stated = header.metadata.get("modelspec.prediction_type", "").lower()
    velocity = "v_pred" in header.tensors or stated in ("v", "v_prediction", "v-prediction") or _yaml_says_v(path)
    return "v_prediction" if velocity else "epsilon", "ztsnr" in header.tensors


def _yaml_says_v(path: Path) -> bool:
    try:
        text = read_text(path.with_suffix(".yaml"), errors="replace")
    except OSError:
        return False
    return any(
        line.split("#")[0].replace(" ", "").replace("'", '"') in ('parameterization:"v"', "parameterization:v")
        for line in text.splitlines()
    )
