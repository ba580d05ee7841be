"""Recognise a diffusers folder: `unet/`, `text_encoder/`, `vae/`, `scheduler/`, `tokenizer/` with their configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from lib_lora_train.files.reading import read_text
from lib_lora_train.train.base.header import header_of, number_format
from lib_lora_train.train.base.info import PARTS, BaseInfo
from lib_lora_train.train.errors import BaseError

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_VARIANTS = ("", ".fp16", ".bf16", ".fp32", ".non_ema")


def identify_folder(path: Path, allow_pickle: bool = False) -> BaseInfo:
    """What the diffusers folder `path` is. Raises BaseError when it is none, damaged, or holds pickled weights only."""
    if not (path / "unet" / "config.json").is_file():
        return BaseInfo(path, "none", _without_unet(path))
    files: dict[str, Path] = {}
    configs: dict[str, Mapping[str, Any]] = {}
    for part in PARTS:
        if (path / part / "config.json").is_file():
            files[part] = weights_in(path / part, allow_pickle)
            configs[part] = read_json(path / part / "config.json")
    scheduler = read_json(path / "scheduler" / "scheduler_config.json", needed=False)
    weights = files["unet"]
    dtype = number_format(header_of(weights).tensors) if weights.suffix == ".safetensors" else ""
    return BaseInfo(
        path,
        "diffusers",
        _family(path, configs["unet"]),
        prediction="v_prediction" if scheduler.get("prediction_type") == "v_prediction" else "epsilon",
        zero_terminal_snr=scheduler.get("rescale_betas_zero_snr") is True,
        inpainting=configs["unet"].get("in_channels") == 9,
        dtype=dtype,
        configs=configs,
        files=files,
    )


def weights_in(folder: Path, allow_pickle: bool = False) -> Path:
    """The weight file of a part's folder; the plain one before its fp16 variant.

    Raises BaseError when there is none, or only a pickled one and those are not allowed.
    """
    for suffix in (".safetensors", ".bin"):
        for variant in _VARIANTS:
            for stem in _STEMS:
                file = folder / f"{stem}{variant}{suffix}"
                if not file.is_file():
                    continue
                if suffix == ".bin" and not allow_pickle:
                    cure = "convert the folder to .safetensors first, or tick 'allow pickle' if you trust where it came from"
                    raise BaseError(
                        f"{folder.name}/{file.name} is a pickled file, which can run code when it is opened; {cure}."
                    )
                return file
    if any(folder.glob("*-of-*.safetensors")):
        raise BaseError(
            f"{folder.name} of {folder.parent.name} is split over several files, which is not supported; save it as one .safetensors file."
        )
    raise BaseError(
        f"{folder.parent.name} has no weights in its folder {folder.name}; copy or download the folder again."
    )


def read_json(path: Path, needed: bool = True) -> dict[str, Any]:
    """A config file's table; an empty one when it is not `needed` and not there. Raises BaseError when unreadable."""
    if not needed and not path.is_file():
        return {}
    try:
        value: Any = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise BaseError(
            f"{path.parent.name}/{path.name} in {path.parent.parent} cannot be read ({str(error)[:80]}); copy or download the folder again."
        ) from error
    if not isinstance(value, dict):
        raise BaseError(
            f"{path.parent.name}/{path.name} in {path.parent.parent} is not a config file; copy or download the folder again."
        )
    return cast("dict[str, Any]", value)


def _without_unet(path: Path) -> str:
    kind = str(read_json(path / "transformer" / "config.json", needed=False).get("_class_name", ""))
    if kind:
        return "flux" if "Flux" in kind else "sd3" if "SD3" in kind else "unknown"
    if (path / "config.json").is_file() and read_json(path / "config.json").get("_class_name") == "AutoencoderKL":
        return "vae"
    raise BaseError(
        f"{path.name} is no diffusers folder (it has no unet/config.json); choose that folder, or a .safetensors file."
    )


def _family(path: Path, unet: Mapping[str, Any]) -> Literal["sd1", "sd2", "sdxl", "sdxl_refiner", "svd", "unknown"]:
    if unet.get("_class_name", "UNet2DConditionModel") != "UNet2DConditionModel":
        return "svd" if "Temporal" in str(unet.get("_class_name")) else "unknown"
    if unet.get("addition_embed_type") == "text_time":
        return "sdxl" if (path / "text_encoder").is_dir() else "sdxl_refiner"
    if unet.get("addition_embed_type") or unet.get("class_embed_type"):
        return "unknown"
    return "sd2" if unet.get("use_linear_projection") else "sd1"
