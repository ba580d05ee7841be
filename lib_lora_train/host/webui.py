"""The adapter for AUTOMATIC1111 and the WebUIs that stayed like it. Everything is asked for when it is needed."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_lora_train.host import names, turns
from lib_lora_train.host.api import Picture
from lib_lora_train.host.modules import attribute, needed, optional
from lib_lora_train.keywords.catalogue import Catalogue, Entry
from lib_lora_train.keywords.check import OptionSpec, Value
from lib_lora_train.keywords.table import BY_NAME, KEYWORDS, OPTION, OPTIONS_ALLOWED
from lib_lora_train.train import card_lock

AUTOMATIC = Entry("Automatic", ("auto", "default"))
NONE = Entry("None", ("built in", "baked"))
PARTS = ("latents_after_sampling", "pixels_after_sampling", "extra_result_images")
"""Lists that a Forge job gathers; a copy needs its own."""


class WebUI:
    """A1111, reForge and Forge Classic: checkpoint and VAE are options that the job's overrides load."""

    family = "AUTOMATIC1111"

    def __init__(self) -> None:
        self.shared = needed("modules.shared")
        self.processing = needed("modules.processing")
        self.sd_models = needed("modules.sd_models")
        self._render_lock = threading.Lock()

    @property
    def name(self) -> str:
        """The family and the version, for people."""
        version = attribute("modules.launch_utils", "git_tag")
        return f"{self.family} {version() if version else ''}".strip()

    @property
    def data_folder(self) -> Path:
        """Where the WebUI keeps what people make."""
        return Path(needed("modules.paths").data_path).absolute()

    @property
    def lora_folder(self) -> Path | None:
        """Where LoRA files are put."""
        given = self.flag("lora_dir")
        return Path(os.path.normpath(Path(given).absolute())) if given else None

    @property
    def lora_folders(self) -> tuple[Path, ...]:
        """Where LoRA files are looked for: the folder above first, then those of `--lora-dirs` (Forge Neo)."""
        more = [Path(os.path.normpath(Path(one).absolute())) for one in self.flag("lora_dirs") or ()]
        return tuple(dict.fromkeys([*([self.lora_folder] if self.lora_folder else []), *more]))

    def flag(self, name: str, default: Any = None) -> Any:
        """A flag of the command line."""
        return getattr(self.shared.cmd_opts, name, default)

    def option(self, name: str, default: Any = None) -> Any:
        """A setting, its default where it was never saved, or `default` where there is none."""
        options = self.shared.opts
        if name in options.data:
            return options.data[name]
        return getattr(options.data_labels.get(name), "default", default)

    def is_non_local(self) -> bool:
        """Whether others may reach the page without a password."""
        flags = ("share", "listen", "ngrok", "server_name")
        locked = self.flag("gradio_auth") or self.flag("gradio_auth_path")
        return any(self.flag(name) for name in flags) and not locked

    @property
    def card(self) -> str:
        """The name under which the card that pictures are drawn on is locked; "" where the processor draws."""
        device = attribute("modules.devices", "device")
        return card_lock.used(getattr(device, "type", "") == "cuda", getattr(device, "index", None) or 0)

    def card_memory(self) -> str:
        """How much of the card is in use, "" where nobody tells."""
        try:
            free, total = self.shared.mem_mon.cuda_mem_get_info()
            return f"{(total - free) / 1e9:.1f} of {total / 1e9:.1f} GB of the card are in use"
        except Exception:  # without a card the WebUI's monitor raises whatever torch raises
            return ""

    # Names ----------------------------------------------------------------------------------------------------------

    def catalogue(self) -> Catalogue:
        """All names of this moment."""
        return Catalogue(names.entries(self.shared, self.sd_models, (AUTOMATIC, NONE, *self.vaes())))

    def vaes(self) -> tuple[Entry, ...]:
        """The VAE files."""
        known = attribute("modules.sd_vae", "vae_dict", {})
        return tuple(Entry(name, (Path(name).stem,), str(path)) for name, path in known.items())

    def options(self) -> Mapping[str, OptionSpec]:
        """What may be set by `<opt:…>`, with type and range."""
        labels: Mapping[str, Any] = self.shared.opts.data_labels
        return {name: names.option_spec(labels[name]) for name in OPTIONS_ALLOWED if name in labels}

    def missing(self, p: Any) -> frozenset[str]:
        """Targets of keywords that this WebUI's jobs do not have at all."""
        labels, kinds = self.shared.opts.data_labels, self.processing
        jobs = [getattr(kinds, f"StableDiffusionProcessing{end}", None) for end in ("Txt2Img", "Img2Img")]
        lacking = [
            row.target
            for row in KEYWORDS
            if row.recipe == "attribute"
            and not hasattr(p, row.target)
            and row.target not in ("inpainting_mask_weight",)
            and not any(hasattr(job, row.target) for job in jobs)
        ]
        lacking += [row.target for row in KEYWORDS if row.recipe == "option" and row.target not in labels]
        return frozenset(lacking)

    @property
    def size_step(self) -> int:
        """The steps in pixels in which this WebUI's sizes go."""
        step = self.option("res_step")
        return step if isinstance(step, int) and step > 0 else 8

    @property
    def calls_functions(self) -> bool:
        """Whether the WebUI calls a function that stands among the fields of a picture's text (A1111 since 1.9)."""
        code = getattr(inspect.unwrap(self.processing.create_infotext), "__code__", None)
        return code is None or "callable" in code.co_names

    def refresh_loras(self) -> None:
        """Let the WebUI look for LoRA files anew; by itself it does so only when one is missing in the prompt."""
        refresh = getattr(optional("networks"), "list_available_networks", None)
        if refresh is not None:
            refresh()

    def is_video(self, p: Any) -> bool:
        """Whether the images of one batch of a job are the frames of one video."""
        return False

    def foreign_tags(self) -> frozenset[str]:
        """Tag names that other extensions have registered."""
        registry = attribute("modules.extra_networks", "extra_network_registry", {})
        aliases = attribute("modules.extra_networks", "extra_network_aliases", {})
        return frozenset(str(name).lower() for name in (*registry, *aliases))

    # What a picture's text says ---------------------------------------------------------------------------------------

    def label_of(self, option: str) -> str:
        """What a picture's text calls an option, "" where it does not name it."""
        return str(getattr(self.shared.opts.data_labels.get(option), "infotext", None) or "")

    def vae_said(self, fields: Mapping[str, str]) -> str:
        """The VAE of a picture's text, "None" where none was loaded, "" where it does not tell."""
        return fields.get("VAE", "") or (NONE.name if self.option("add_vae_name_to_info") else "")

    def has_vae(self, p: Any, name: str) -> bool:
        """Whether the job would use this VAE by itself; "Automatic" counts as none."""
        chosen = self.vae_of(p) or NONE.name
        return (NONE.name if chosen == AUTOMATIC.name else chosen) == name

    def not_by_keyword(self, fields: Mapping[str, str]) -> list[str]:
        """Sentences about what a picture's text says, the page does not have, and no keyword sets."""
        return []

    # One job --------------------------------------------------------------------------------------------------------

    def fixed_seed(self, seed: Any) -> int:
        """A seed of its own for -1, as the WebUI draws it."""
        return int(self.processing.get_fixed_seed(seed))

    def seed_everything(self, seed: int) -> None:
        """Set the WebUI's global stream of noise, as it does itself before it draws an image's noise."""
        needed("modules.rng").manual_seed(seed)

    def styled(self, text: str, styles: Sequence[str], negative: bool) -> str:
        """`text` with saved styles put around it."""
        known = self.shared.prompt_styles
        if not styles or known is None:
            return text
        apply = known.apply_negative_styles_to_prompt if negative else known.apply_styles_to_prompt
        return str(apply(text, list(styles)))

    def checkpoint_of(self, p: Any) -> str:
        """The name of the checkpoint that a job will use when no keyword says otherwise."""
        for wanted in (p.override_settings.get("sd_model_checkpoint"), self.option("sd_model_checkpoint")):
            info = wanted and self.sd_models.checkpoint_aliases.get(wanted)
            if info:
                return str(info.name)
        return str(self.option("sd_model_checkpoint", ""))

    def vae_of(self, p: Any) -> str:
        """The name of the VAE that a job will use when no keyword says otherwise."""
        return str(p.override_settings.get("sd_vae", self.option("sd_vae", "")))

    def loaded(self) -> tuple[str, str]:
        """The checkpoint in memory ("" when there is none) and the VAE of the page."""
        model = attribute("modules.sd_models", "model_data.sd_model")
        info = getattr(model, "sd_checkpoint_info", None)
        return (str(info.name) if info else "", str(self.option("sd_vae", "")))

    def apply(self, p: Any, values: Mapping[str, Value]) -> None:
        """Give a job the settings of its batch, before it starts. Overrides are put back by the WebUI itself."""
        overrides: dict[str, Any] = {}
        was_hires = bool(getattr(p, "enable_hr", False))
        for name, value in values.items():
            if name.startswith(f"{OPTION}:"):
                overrides[name.partition(":")[2]] = value
                continue
            row = BY_NAME[name]
            if row.recipe in ("attribute", "both"):
                setattr(p, row.target, value)
            if row.recipe in ("option", "both"):
                overrides[row.target] = value
            elif row.recipe == "checkpoint":
                overrides.update(self.checkpoint_override(str(value)))
            elif row.recipe == "vae":
                overrides.update(self.vae_override(str(value)))
        if getattr(p, "enable_hr", False):
            self.complete_hires(p, was_hires, values)
        overrides = {name: value for name, value in overrides.items() if name in self.shared.opts.data_labels}
        for name in overrides:  # what is not in the saved settings would not be put back
            self.shared.opts.data.setdefault(name, self.option(name))
        p.override_settings = {**p.override_settings, **overrides}

    def complete_hires(self, p: Any, was_hires: bool, values: Mapping[str, Value]) -> None:
        """What a job needs for hires fix when a keyword switches it on."""
        if p.denoising_strength is None:
            p.denoising_strength = 0.7

    def checkpoint_override(self, name: str) -> dict[str, Any]:
        """The overrides that load a checkpoint."""
        return {"sd_model_checkpoint": name}

    def vae_override(self, name: str) -> dict[str, Any]:
        """The overrides that load a VAE."""
        return {"sd_vae": name}

    def keep_loaded(self, p: Any) -> None:
        """Let a job that makes nothing load nothing either: it is told to use what is in memory."""
        name = self.loaded()[0]
        if name:
            p.override_settings = {**p.override_settings, **self.checkpoint_override(name)}

    def own_lists(self, p: Any) -> None:
        """Give a copied job its own dictionaries and lists; the host shares them between copies."""
        p.extra_generation_params = dict(p.extra_generation_params)
        p.override_settings = dict(p.override_settings)
        p.comments = {}
        for name in PARTS:
            if hasattr(p, name):
                setattr(p, name, [])

    def release(self, p: Any) -> None:
        """Let go of what a finished job holds of the model, so that a switch frees the memory."""
        for name in ("sampler", "c", "uc", "hr_c", "hr_uc", "init_latent", "image_conditioning", "rng", *PARTS):
            if hasattr(p, name):
                setattr(p, name, None)

    def process_images(self, p: Any) -> Any:
        """Run a job inside the running one."""
        return self.processing.process_images(p)

    def stopped(self) -> bool:
        """Whether the person has asked to stop."""
        state = self.shared.state
        return bool(state.interrupted or getattr(state, "stopping_generation", False))

    def expect_batches(self, number: int) -> None:
        """Tell the progress bar how many batches will come, unless somebody has told it already."""
        if self.shared.state.job_count == -1:
            self.shared.state.job_count = number

    def say(self, p: Any, text: str) -> None:
        """A notice under the images of this job."""
        if hasattr(p, "comment"):
            p.comment(text)

    # What a job leaves behind ---------------------------------------------------------------------------------------

    def images_each(self, p: Any) -> int:
        """How many pictures of the list belong to each image: itself, and the mask and its composite if wanted."""
        if getattr(p, "mask_for_overlay", None) is None:
            return 1
        return 1 + bool(self.option("return_mask")) + bool(self.option("return_mask_composite"))

    def grid(self, p: Any, pictures: Sequence[Any], infotext: str, seed: int, prompt: str) -> Any:
        """The grid picture when the page wants one (saved when it is to be saved), else None."""
        wanted, save = self.option("return_grid"), self.option("grid_save")
        if not (wanted or save) or p.do_not_save_grid or (len(pictures) < 2 and self.option("grid_only_if_multiple")):
            return None
        images = needed("modules.images")
        grid = images.image_grid(list(pictures), p.batch_size)
        if self.option("enable_pnginfo"):
            grid.info["parameters"] = infotext
        if save:
            short = not self.option("grid_extended_filename")
            kind = self.option("grid_format")
            images.save_image(
                grid, p.outpath_grids, "grid", seed, prompt, kind, info=infotext, short_filename=short, p=p, grid=True
            )
        return grid if wanted else None

    def write_params(self, infotext: str) -> None:
        """The text that the page's arrow button reads back."""
        if not self.flag("no_prompt_history"):
            (self.data_folder / "params.txt").write_text(infotext, encoding="utf-8")

    # Without a page -------------------------------------------------------------------------------------------------

    def render(self, fields: Mapping[str, Any]) -> Sequence[Picture]:
        """Pictures out of the fields of the txt2img API; nothing is saved by the WebUI."""
        with self._render_lock, needed("modules.call_queue").queue_lock:
            turns.take(self)
            given = {"do_not_save_samples": True, "do_not_save_grid": True, **fields}
            p = self.processing.StableDiffusionProcessingTxt2Img(sd_model=self.shared.sd_model, **given)
            p.outpath_samples = self.option("outdir_samples") or self.option("outdir_txt2img_samples")
            p.outpath_grids = self.option("outdir_grids") or self.option("outdir_txt2img_grids")
            if getattr(p, "enable_hr", False):
                self.complete_hires(p, False, {})
            self.shared.state.begin(job="lora-loop")
            try:
                done = self.process_images(p)
            finally:
                self.shared.state.end()
                p.close()
        first = done.index_of_first_image
        pairs = zip(done.images[first:], done.infotexts[first:], done.all_seeds, strict=False)
        return [Picture(image, text, int(seed)) for image, text, seed in pairs]
