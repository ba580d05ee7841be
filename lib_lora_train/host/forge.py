"""The adapter for Forge and the WebUIs made of it: models are loaded by parameters, and a VAE is a module."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib_lora_train.host.modules import attribute, needed
from lib_lora_train.host.webui import AUTOMATIC, NONE, WebUI
from lib_lora_train.keywords.catalogue import Entry
from lib_lora_train.keywords.check import Value

CHECKPOINT = "sd_model_checkpoint"
MODULES = "forge_additional_modules"
SAME = "Use same choices"
_MODULE = re.compile(r"Module \d+")
ENCODERS = ("text_encoder", "text_encoders", "clip")
VAES = ("vae", "vaes")
"""What folders of text encoders and of VAEs are called, in Forge and in ComfyUI."""


class Forge(WebUI):
    """Forge 2024 on, Neo, reForge on Forge's back end: found by `sd_models.forge_model_reload`."""

    family = "Forge"

    def __init__(self) -> None:
        super().__init__()
        self._put_back: Any = None

    @property
    def name(self) -> str:
        """The family, the version, and the release where there is one (Neo)."""
        return f"{super().name} {attribute('modules_forge.forge_version', 'release', '')}".strip()

    def vaes(self) -> tuple[Entry, ...]:
        """The VAE files; the list is filled with the page, so it is asked for where there is none."""
        return tuple(
            Entry(name, (Path(name).stem,), str(path))
            for name, path in self._modules().items()
            if not self.is_text_encoder(str(path))
        )

    def _modules(self) -> Mapping[str, Any]:
        """All modules by file name, VAEs and text encoders."""
        entry = needed("modules_forge.main_entry")
        if not entry.module_list:
            entry.refresh_models()
        return entry.module_list

    def is_text_encoder(self, path: str) -> bool:
        """Whether a module is a text encoder: by the folders of the command line, then by the nearest folder's name."""
        real = os.path.realpath(path)
        for flag, verdict in (("text_encoder_dirs", True), ("vae_dirs", False), ("vae_dir", False)):
            given = self.flag(flag) or ()
            folders = [given] if isinstance(given, (str, Path)) else given
            if any(Path(real).is_relative_to(os.path.realpath(folder)) for folder in folders):
                return verdict
        nearest = (part.lower() for one in (path, real) for part in reversed(Path(one).parent.parts))
        return next((part in ENCODERS for part in nearest if part in (*ENCODERS, *VAES)), False)

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

    def vae_said(self, fields: Mapping[str, str]) -> str:
        """The VAE among the modules of a picture's text (A1111 writes one alone), "None" where there is none."""
        named = [fields[key] for key in fields if _MODULE.fullmatch(key)] or [fields.get("VAE", "")]
        known = {Path(entry.name).stem: entry.name for entry in self.vaes()}
        stems = [stem for name in named for stem in (name, Path(name).stem)]
        return next((known[stem] for stem in stems if stem in known), NONE.name)

    def has_vae(self, p: Any, name: str) -> bool:
        """Whether the job would use this VAE by itself."""
        known = {entry.name for entry in self.vaes()}
        return [one for one in self.vae_of(p).split(", ") if one in known] == [name] * (name != NONE.name)

    def not_by_keyword(self, fields: Mapping[str, str]) -> list[str]:
        """Text encoders that are not those of the page."""
        vaes = {Path(entry.name).stem for entry in self.vaes()}
        said = {fields[key] for key in fields if _MODULE.fullmatch(key)} - vaes
        here = {Path(str(path)).stem for path in self.option(MODULES) or ()} - vaes
        if not said or said == here:
            return []
        names = ", ".join(sorted(said))
        return [f"It was drawn with the text encoder {names}: choose it in the page's VAE / Text Encoder."]

    def vae_override(self, name: str) -> dict[str, Any]:
        """The VAE instead of the page's; its text encoders stay. The built-in VAE is no module."""
        known = self._modules()
        current: list[Any] = self.option(MODULES) or []
        kept = [str(path) for path in current if self.is_text_encoder(str(path))]
        return {MODULES: kept if name in (AUTOMATIC.name, NONE.name) else [*kept, known[name]]}

    def complete_hires(self, p: Any, was_hires: bool, values: Mapping[str, Value]) -> None:
        """Fields without which hires fix fails here, and a CFG scale that would drop the negative prompt unasked."""
        super().complete_hires(p, was_hires, values)
        if getattr(p, "hr_additional_modules", None) is None:
            p.hr_additional_modules = [SAME]
        if getattr(p, "hr_upscaler", None) is None:  # Neo takes None for a mode of its own latents, and fails
            p.hr_upscaler = getattr(self.shared, "latent_upscale_default_mode", None)
        if not was_hires and "hr_cfg" not in values:
            p.hr_cfg = p.cfg_scale

    def is_video(self, p: Any) -> bool:
        """Whether the page's preset, or the model in memory if the job uses it, makes videos (Neo: Wan)."""
        frames = attribute("modules_forge.presets", "is_video")
        if frames is None or int(p.batch_size) < 2:
            return False
        model = attribute("modules.sd_models", "model_data.sd_model")
        wan = getattr(model, "is_wan", False) and attribute("backend.args", "dynamic_args.wan", False)
        chosen = self.loaded()[0] == self.checkpoint_of(p)
        return frames(self.option("forge_preset", "")) > 1 or bool(wan and chosen)

    def keep_loaded(self, p: Any) -> None:
        """A job that makes nothing is let pass as the gallery's Upscale button is, which loads no model beforehand."""
        if self.loaded()[0]:
            p.txt2img_upscale = True

    def process_images(self, p: Any) -> Any:
        """Run a job inside the running one, its checkpoint and modules chosen beforehand (see `_chosen`)."""
        with self._chosen(p):
            return super().process_images(p)

    @contextmanager
    def _chosen(self, p: Any) -> Generator[None, None, None]:
        """Choose what the job's overrides name, and put the page's choice back afterwards.

        Where the WebUI chooses by itself it also moves the model out of the GPU's memory, even one that is what was
        chosen: that costs a checkpoint that is kept from image to image its whole load each time.
        """
        choose = attribute("modules.sysinfo", "set_config")
        names = [name for name in (CHECKPOINT, MODULES) if name in p.override_settings]
        if choose is None or not names or not hasattr(self.processing, "need_global_unload"):
            yield
            return
        wanted = {name: p.override_settings.pop(name) for name in names}
        page = {name: self.option(name) for name in names}
        data = self.sd_models.model_data
        ours = data.forge_loading_parameters is self._put_back  # the order to unload came from here
        keep = ours or not self.processing.need_global_unload
        try:
            choose(wanted, is_api=True, run_callbacks=False, save_config=False)
            if keep and str(data.forge_loading_parameters) == data.forge_hash:
                self.processing.need_global_unload = False
            yield
        finally:
            choose(page, run_callbacks=False, save_config=False)
            self._put_back = data.forge_loading_parameters


def _joined(paths: Sequence[Any] | None) -> str:
    return ", ".join(sorted(Path(str(path)).name for path in paths or ()))
