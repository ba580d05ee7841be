"""Making a WebUI read LoRA files anew: they keep them by name, also when the file behind the name has changed.

Forge keeps a file's tensors, the patched model and the patches themselves by file name, A1111 the patched layers; every
WebUI keeps encoded prompts by the text of the LoRA's tag. So what was kept is let go of when a file has changed since a
job named it, and before a grid, which compares files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from lib_lora_train.host.modules import attribute, needed, optional

Stamp = tuple[str, int, int]
"""A LoRA file as a job has found it: path, size, time of change."""
_PROMPTS = ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc")
_KINDS = ("StableDiffusionProcessing", "StableDiffusionProcessingTxt2Img", "StableDiffusionProcessingImg2Img")
_TEXTS = ("all_prompts", "all_hr_prompts")
_TAG = re.compile(r"<lora:([^:>]+)")
_PATCHED = "network_current_names"
"""A1111: what its layers say is in their weights; a layer with other names is restored and patched anew."""
_seen: dict[str, Stamp] = {}


def forget_changed(p: Any) -> None:
    """Let go of what the WebUI keeps when a file that this job names is another than the last job found."""
    texts = {str(text) for name in _TEXTS for text in getattr(p, name, None) or ()}
    names = {match[1].strip() for text in texts for match in _TAG.finditer(text)}
    now = _stamps(names)
    changed = any(name in _seen and _seen[name] != stamp for name, stamp in now.items())
    _seen.update(now)
    if changed:
        forget(p)


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
    for network in getattr(networks, "loaded_networks", None) or ():
        network.mtime = 0  # A1111 reads those anew that are older than their file
    tensors = getattr(networks, "load_lora_state_dict", None)
    if hasattr(tensors, "cache_clear"):
        tensors.cache_clear()  # pyright: ignore[reportOptionalMemberAccess]
    data = attribute("modules.sd_models", "model_data")
    for model in (getattr(data, "sd_model", None), *(getattr(data, "loaded_sd_models", None) or ())):
        _forget_patches(model)
        _forget_layers(model)
    forget_prompts(p)


def forget_prompts(p: Any) -> None:
    """Empty the caches of encoded prompts, in place: jobs hold the same lists."""
    processing = needed("modules.processing")
    for owner in (p, *(getattr(processing, kind, None) for kind in _KINDS)):
        for name in _PROMPTS:
            kept = getattr(owner, name, None)
            if isinstance(kept, list):
                kept[:] = [None] * len(kept)  # pyright: ignore[reportUnknownArgumentType]


def _stamps(names: Iterable[str]) -> dict[str, Stamp]:
    """The files behind names as they are now; what is not there is left out."""
    networks = optional("networks")
    known: list[Mapping[str, Any]] = [
        cast("Mapping[str, Any]", getattr(networks, table, None) or {})
        for table in ("available_network_aliases", "available_networks")
    ]
    found: dict[str, Stamp] = {}
    for name in names:
        entry = next((table[name] for table in known if name in table), None)
        if entry is None:
            continue
        try:
            path = Path(entry.filename)
            state = path.stat()
        except (OSError, ValueError):
            continue
        found[name] = (str(path), state.st_size, state.st_mtime_ns)
    return found


def _forget_patches(model: Any) -> None:
    """Forge: the model as it was patched last, and what its loaders think is in the weights."""
    original = getattr(model, "forge_objects_original", None)
    if original is None or not hasattr(model, "current_lora_hash"):
        return
    model.current_lora_hash = ""
    model.forge_objects_after_applying_lora = original.shallow_copy()
    model.forge_objects = original.shallow_copy()
    for patcher in (original.unet, getattr(original.clip, "patcher", None)):
        loader = getattr(patcher, "lora_loader", None)
        if loader is not None:
            loader.loaded_hash = "forgotten"


def _forget_layers(model: Any) -> None:
    """A1111: which files the layers are patched with. The next job restores the layers and patches them anew."""
    layers: Any = getattr(model, "modules", None)
    if getattr(model, "forge_objects_original", None) is not None or not callable(layers):
        return
    for layer in cast("Iterable[Any]", layers()):
        if getattr(layer, _PATCHED, ()):
            setattr(layer, _PATCHED, (("forgotten", 0.0, 0.0, None),))
