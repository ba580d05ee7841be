"""Frees the card's memory that the WebUI's model holds. The same model is back at the next Generate, by itself.

Which way is right is told by the modules that are there, not by names and versions:

- `backend.memory_management` and `sd_models.forge_model_reload` (Forge): the engine is dropped; what it was loaded from
  stays known, and the next job loads it again.
- `ldm_patched.modules.model_management` (the old Forge, reForge): all models go to main memory; the next job puts them
  back.
- else (A1111): the model is dropped, as when another checkpoint is chosen; the next job finds none and loads the chosen.

All of it happens under the WebUI's own queue lock, so never in the middle of a picture, and where the WebUI works on its
main thread, there.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lib_lora_train.host.modules import needed, optional
from lib_lora_train.train import card_lock


@lru_cache(maxsize=1)
def tenant(card: str) -> card_lock.Tenant:
    """The WebUI's name beside the card's lock; once started, each trainer has the memory freed before it begins."""
    return card_lock.Tenant(f"the WebUI ({kind()})", free, card)


def kind() -> str:
    """Which of the three ways fits: "Forge", "old Forge" or "A1111"; empty outside a WebUI."""
    models = optional("modules.sd_models")
    if models is None:
        return ""
    if hasattr(models, "forge_model_reload") and optional("backend.memory_management") is not None:
        return "Forge"
    return "old Forge" if optional("ldm_patched.modules.model_management") is not None else "A1111"


def free() -> str:
    """Free the memory, after the job that runs; gives an empty text, or the reason why it could not be done.

    Never call it in a hook of a job: it waits for that job's end.
    """
    ways: dict[str, Callable[[], None]] = {"Forge": _free_forge, "old Forge": _free_old_forge, "A1111": _free_a1111}
    way = ways.get(kind())
    if way is None:
        return "there is no WebUI in this process"
    queue_lock = needed("modules.call_queue").queue_lock
    with queue_lock:
        return _on_main_thread(way)


def is_free() -> bool:
    """Whether the WebUI holds no model on the card now. True outside a WebUI."""
    data = getattr(optional("modules.sd_models"), "model_data", None)
    model = getattr(data, "sd_model", None)
    if kind() == "Forge":
        return not hasattr(model, "forge_objects") or not _forge_memory().current_loaded_models
    if kind() == "old Forge":
        return not needed("ldm_patched.modules.model_management").current_loaded_models
    return model is None


def _on_main_thread(way: Callable[[], None]) -> str:
    """Run it where the WebUI runs its jobs. The WebUI swallows errors there, so the answer says how it went."""

    def told() -> str:
        try:
            way()
        except Exception as error:  # the WebUI's own faults are many, and none may end the page
            return f"{type(error).__name__}: {error}"[:300]
        return ""

    main_thread = optional("modules_forge.main_thread")
    if main_thread is None:
        return told()
    answer: Any = main_thread.run_and_wait_result(told)
    return answer if isinstance(answer, str) else "the WebUI's main thread gave no answer"


def _free_forge() -> None:
    models, memory = needed("modules.sd_models"), _forge_memory()
    memory.unload_all_models()
    models.model_data.sd_model = needed("modules.shared").sd_model = models.FakeInitialModel()  # Neo keeps it in both
    models.model_data.forge_hash = ""  # the next job compares it with what is chosen, and loads
    _forget_conditions()
    gc.collect()
    memory.soft_empty_cache()


def _forge_memory() -> Any:
    return needed("backend.memory_management")


def _free_old_forge() -> None:
    memory = needed("ldm_patched.modules.model_management")
    memory.unload_all_models()
    _forget_conditions()
    gc.collect()
    memory.soft_empty_cache()


def _free_a1111() -> None:
    models = needed("modules.sd_models")
    data = models.model_data
    hijack = needed("modules.sd_hijack").model_hijack
    loaded = [data.sd_model, *(model for model in data.loaded_sd_models if model is not data.sd_model)]
    data.sd_model = None
    data.loaded_sd_models.clear()
    for model in loaded:
        if model is None:
            continue
        if model is loaded[0]:
            hijack.undo_hijack(model)  # it keeps the text encoder and the layers otherwise
        models.send_model_to_trash(model)  # whoever still has the model holds an empty shell
    _forget_conditions()
    del loaded
    gc.collect()
    needed("modules.devices").torch_gc()


def _forget_conditions() -> None:
    """Empty the caches of encoded prompts, which lie on the card, keeping their form."""
    processing = needed("modules.processing")
    for name in ("StableDiffusionProcessing", "StableDiffusionProcessingTxt2Img", "StableDiffusionProcessingImg2Img"):
        owner: Any = getattr(processing, name, None)
        for cache in ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc"):
            values: Any = owner.__dict__.get(cache) if owner is not None else None
            if isinstance(values, list):
                setattr(owner, cache, [None] * len(values))  # type: ignore[reportUnknownArgumentType]
