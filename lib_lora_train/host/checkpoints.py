"""Whether a checkpoint file can be used by this WebUI and by the rest of its job, told by the file's header alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.host.modules import optional
from lib_lora_train.keywords.catalogue import CHECKPOINT, Catalogue
from lib_lora_train.keywords.check import Value
from lib_lora_train.keywords.errors import KeywordError
from lib_lora_train.keywords.table import BY_NAME
from lib_lora_train.train.base.signatures import NEO_FAMILIES, family_of

_NONE_AT_ALL: Mapping[str, str] = {
    "lora": "is a LoRA, not a checkpoint; put it into the LoRA folder and write <lora:{stem}:1>",
    "vae": "is a VAE, not a checkpoint; put it into the VAE folder and write <vae:{stem}>",
    "embedding": "is a textual inversion embedding, not a checkpoint; put it into the embeddings folder",
    "controlnet": "is a ControlNet, not a checkpoint; choose a checkpoint",
    "text_encoder": "is a text encoder alone, not a checkpoint; choose a checkpoint",
    "svd": "is a video model, which makes no images from prompts; choose a checkpoint",
}
_LOADERS: Mapping[str, tuple[str, ...]] = {
    "flux": ("backend.diffusion_engine.flux",),
    "sd3": ("backend.diffusion_engine.sd35", "modules.models.sd3.sd3_model"),
    "sd2": ("backend.diffusion_engine.sd20", "modules.sd_models_config"),
    "unet": ("backend.loader",),
    "chroma": ("backend.diffusion_engine.chroma",),
    "flux2": ("backend.diffusion_engine.flux2",),
    "lumina": ("backend.diffusion_engine.lumina",),
    "zimage": ("backend.diffusion_engine.zimage",),
    "qwen": ("backend.diffusion_engine.qwen",),
    "wan": ("backend.diffusion_engine.wan",),
    "anima": ("backend.diffusion_engine.anima",),
    "ernie": ("backend.diffusion_engine.ernie",),
    "krea": ("backend.diffusion_engine.krea",),
}
"""Families that only some WebUIs load, and the modules that do it; one of them is enough."""
_WORDS: Mapping[str, str] = {
    "sd1": "an SD 1.x model",
    "sd2": "an SD 2.x model",
    "sdxl": "an SDXL model",
    "sdxl_refiner": "SDXL's refiner",
    "sd3": "an SD 3 model",
    "flux": "a Flux model",
    **NEO_FAMILIES,
    "unet": "a U-Net alone",
}
_SHARED_LATENTS: Mapping[str, str] = {
    "sdxl_refiner": "sdxl",
    "sd2": "sd1",
    "chroma": "flux",
    "lumina": "flux",
    "zimage": "flux",
    "qwen": "wan",
    "anima": "wan",
    "krea": "wan",
    "ernie": "flux2",
}
"""Families whose latents are those of another one's VAE."""
LATENT = "latent"
"""How the names of upscalers begin that hand on latents; those of one family mean nothing to another."""
_CACHED = 1024


def refuse_misfits(values: Mapping[str, Value], page: str, upscaler: str, catalogue: Catalogue) -> None:
    """Raise KeywordError when a checkpoint of one image's keywords cannot be used.

    `page` and `upscaler` are what the job has where no keyword says otherwise. Files that are not there, other formats
    and families that are not known here are left to the WebUI.
    """
    asked = {name: str(value) for name, value in values.items() if name in BY_NAME and BY_NAME[name].of == CHECKPOINT}
    if not asked:
        return
    files = {entry.name: entry.path for entry in catalogue.entries.get(CHECKPOINT, ())}
    families = {name: _usable(f"<{name}:{file}>", files.get(file, "")) for name, file in asked.items()}
    base = families.get("checkpoint") or _family(files.get(page, ""))[0]
    upscaler = str(values.get("hr_upscaler", upscaler)).casefold()
    for name in ("refiner", "hr_checkpoint"):
        family = families.get(name, "")
        if name == "hr_checkpoint" and not upscaler.startswith(LATENT):
            continue  # the picture itself is handed on, which every family reads
        if {family, base} <= set(_WORDS) and _latents(family) != _latents(base):
            raise KeywordError(
                f"<{name}:{asked[name]}>: it is {_WORDS[family]} and cannot go on with the image of "
                f"{asked.get('checkpoint', page)}, {_WORDS[base]}; choose one of the same kind."
            )


def _usable(written: str, path: str) -> str:
    """The file's family. Raises KeywordError when no WebUI, or not this one, can make images with it."""
    family, fault = _family(path)
    name = Path(path).name
    if fault:
        raise KeywordError(f"{written}: {fault}")
    if family in _NONE_AT_ALL:
        raise KeywordError(f"{written}: {name} {_NONE_AT_ALL[family].format(stem=Path(path).stem)}.")
    if family in _LOADERS and not any(optional(module) is not None for module in _LOADERS[family]):
        raise KeywordError(f"{written}: {name} is {_WORDS[family]}, which this WebUI cannot load; choose another.")
    return family


def _latents(family: str) -> str:
    return _SHARED_LATENTS.get(family, family)


def _family(path: str) -> tuple[str, str]:
    """The family ("" when it is not known) and what is wrong with the file ("" when nothing is)."""
    try:
        state = Path(path).stat()
    except (OSError, ValueError):
        return "", ""
    return _read(path, state.st_size, state.st_mtime_ns) if path.lower().endswith(".safetensors") else ("", "")


@lru_cache(maxsize=_CACHED)
def _read(path: str, _size: int, _changed: int) -> tuple[str, str]:
    try:
        family = family_of(read_header(Path(path)).shapes)
    except FilesError as error:
        return "", str(error)
    return ("" if family == "unknown" else family), ""
