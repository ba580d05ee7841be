"""Which WebUI this is: asked of what it has, never of its name."""

from __future__ import annotations

from functools import lru_cache

from lib_lora_train.host.errors import HostError
from lib_lora_train.host.forge import Forge
from lib_lora_train.host.modules import needed, optional
from lib_lora_train.host.webui import WebUI

NEEDED = (
    ("modules.sd_models", "checkpoint_aliases"),
    ("modules.shared", "latent_upscale_modes"),
    ("modules.processing", "create_infotext"),
)
"""What every WebUI has that LoRA Loop works in, and what others that look alike (SD.Next) have not."""


@lru_cache(maxsize=1)
def find() -> WebUI:
    """The adapter for the WebUI that we run in; the same object each time. Raises HostError outside of one, and in one
    that lacks what is needed.

    A WebUI that can load by parameters (`forge_model_reload`) and has Forge's entry is Forge-like, any other A1111-like.
    """
    for module, name in NEEDED:
        if not hasattr(needed(module), name):
            raise HostError(
                f"LoRA Loop does not work in this WebUI, which has no {module}.{name}: use AUTOMATIC1111 1.6 or newer, "
                "Forge, Forge Neo, reForge or Forge Classic."
            )
    models = needed("modules.sd_models")
    if hasattr(models, "forge_model_reload") and optional("modules_forge.main_entry") is not None:
        return Forge()
    return WebUI()
