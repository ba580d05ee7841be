"""The adapter for Forge and the WebUIs made of it: models are loaded by parameters, and a VAE is a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_lora_train.host.modules import attribute, needed
from lib_lora_train.host.webui import AUTOMATIC, NONE, WebUI
from lib_lora_train.keywords.catalogue import Entry
from lib_lora_train.keywords.check import Value

MODULES = "forge_additional_modules"
SAME = "Use same choices"


class Forge(WebUI):
    """Forge 2024 on, Neo, reForge on Forge's back end: found by `sd_models.forge_model_reload`."""

    family = "Forge"

    def vaes(self) -> tuple[Entry, ...]:
        """The VAE files; the list is filled with the page, so it is asked for where there is none."""
        entry = needed("modules_forge.main_entry")
        if not entry.module_list:
            entry.refresh_models()
        return tuple(
            Entry(name, (Path(name).stem,), str(path))
            for name, path in entry.module_list.items()
            if not _is_text_encoder(str(path))
        )

    def vae_of(self, p: Any) -> str:
        """The names of the modules of the page, the VAE among them."""
        given: Any = p.override_settings.get(MODULES, self.option(MODULES, []))
        return _joined(given)

    def loaded(self) -> tuple[str, str]:
        """What the model in memory was loaded from."""
        model = attribute("modules.sd_models", "model_data.sd_model")
        info = getattr(model, "sd_checkpoint_info", None)
        parameters = attribute("modules.sd_models", "model_data.forge_loading_parameters", {})
        return (str(info.name) if info else "", _joined(parameters.get("additional_modules") or []))

    def vae_override(self, name: str) -> dict[str, Any]:
        """The VAE instead of the page's; its text encoders stay. The built-in VAE is no module."""
        self.vaes()
        known: Mapping[str, str] = needed("modules_forge.main_entry").module_list
        current: list[Any] = self.option(MODULES) or []
        kept = [str(path) for path in current if _is_text_encoder(str(path))]
        return {MODULES: kept if name in (AUTOMATIC.name, NONE.name) else [*kept, known[name]]}

    def complete_hires(self, p: Any, was_hires: bool, values: Mapping[str, Value]) -> None:
        """Fields without which hires fix fails here, and a CFG scale that would drop the negative prompt unasked."""
        super().complete_hires(p, was_hires, values)
        if getattr(p, "hr_additional_modules", None) is None:
            p.hr_additional_modules = [SAME]
        if not was_hires and "hr_cfg" not in values:
            p.hr_cfg = p.cfg_scale

    def keep_loaded(self, p: Any) -> None:
        """The checkpoint and the modules that are in memory."""
        super().keep_loaded(p)
        parameters = attribute("modules.sd_models", "model_data.forge_loading_parameters", {})
        if self.loaded()[0] and parameters.get("additional_modules") is not None:
            p.override_settings = {**p.override_settings, MODULES: list(parameters["additional_modules"])}


def _is_text_encoder(path: str) -> bool:
    return "text_encoder" in path.replace("\\", "/").split("/")


def _joined(paths: Sequence[Any] | None) -> str:
    return ", ".join(sorted(Path(str(path)).name for path in paths or ()))
