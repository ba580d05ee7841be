"""Which WebUI this is: asked of what it has, never of its name."""

from __future__ import annotations

from functools import lru_cache

from lib_lora_train.host.forge import Forge
from lib_lora_train.host.modules import needed, optional
from lib_lora_train.host.webui import WebUI


@lru_cache(maxsize=1)
def find() -> WebUI:
    """The adapter for the WebUI that we run in; the same object each time. Raises HostError outside of one.

    A WebUI that can load by parameters (`forge_model_reload`) and has Forge's entry is Forge-like, any other A1111-like.
    """
    models = needed("modules.sd_models")
    if hasattr(models, "forge_model_reload") and optional("modules_forge.main_entry") is not None:
        return Forge()
    return WebUI()
