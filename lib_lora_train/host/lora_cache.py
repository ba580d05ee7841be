"""Making a WebUI read LoRA files anew: they keep them by name, also when the file behind the name has changed.

Forge keeps a file's tensors, the patched model and the patches themselves by file name; every WebUI keeps encoded
prompts by the text of the LoRA's tag. A grid compares files, so what was kept before it is let go of first.
"""

from __future__ import annotations

from typing import Any

from lib_lora_train.host.modules import attribute, needed, optional

_PROMPTS = ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc")
_KINDS = ("StableDiffusionProcessing", "StableDiffusionProcessingTxt2Img", "StableDiffusionProcessingImg2Img")


def forget(p: Any) -> None:
    """Let go of everything that the WebUI keeps of LoRA files, and let it look for files anew."""
    networks = optional("networks")
    refresh = getattr(networks, "list_available_networks", None)
    if refresh is not None:
        refresh()
    for name in ("networks_in_memory", "lora_cache"):
        kept = getattr(networks, name, None)
        if isinstance(kept, dict):
            kept.clear()  # pyright: ignore[reportUnknownMemberType]
    tensors = getattr(networks, "load_lora_state_dict", None)
    if hasattr(tensors, "cache_clear"):
        tensors.cache_clear()  # pyright: ignore[reportOptionalMemberAccess]
        _forget_patches(attribute("modules.sd_models", "model_data.sd_model"))
    forget_prompts(p)


def forget_prompts(p: Any) -> None:
    """Empty the caches of encoded prompts, in place: jobs hold the same lists."""
    processing = needed("modules.processing")
    for owner in (p, *(getattr(processing, kind, None) for kind in _KINDS)):
        for name in _PROMPTS:
            kept = getattr(owner, name, None)
            if isinstance(kept, list):
                kept[:] = [None] * len(kept)  # pyright: ignore[reportUnknownArgumentType]


def _forget_patches(model: Any) -> None:
    """Forge: the model as it was patched last, and what its loaders think is in the weights."""
    original = getattr(model, "forge_objects_original", None)
    if original is None:
        return
    model.current_lora_hash = ""
    model.forge_objects_after_applying_lora = original.shallow_copy()
    model.forge_objects = original.shallow_copy()
    for patcher in (original.unet, getattr(original.clip, "patcher", None)):
        loader = getattr(patcher, "lora_loader", None)
        if loader is not None:
            loader.loaded_hash = "forgotten"
