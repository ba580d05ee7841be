"""The table of keywords. Reading, checking, the plan, the adapters, the infotext and the docs all follow it.

A keyword's recipe says how its value reaches the WebUI. All recipes but `IMAGE` and `TEXT` hold for a whole batch, so
images whose values differ never share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lib_lora_train.keywords.catalogue import CHECKPOINT, SAMPLER, SCHEDULER, STYLE, UPSCALER, VAE

Mode = Literal["txt2img", "hires", "img2img", "inpaint"]
Kind = Literal["whole", "number", "switch", "name", "names", "size", "text", "choice"]
Recipe = Literal["attribute", "option", "both", "checkpoint", "vae", "image", "job", "text"]

EVERYWHERE: tuple[Mode, ...] = ("txt2img", "hires", "img2img", "inpaint")
SECOND_PASS: tuple[Mode, ...] = ("hires",)
FROM_IMAGE: tuple[Mode, ...] = ("img2img", "inpaint")
MASKED: tuple[Mode, ...] = ("inpaint",)
LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class Keyword:
    """One keyword. `target` is the WebUI's attribute or option, `label` its key in the infotext ("" if it has none)."""

    name: str
    kind: Kind
    recipe: Recipe
    target: str
    label: str
    help: str
    low: float = 0
    high: float = 0
    aliases: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = EVERYWHERE
    of: str = ""
    step: int = 1
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The values allowed, for people."""
        if self.kind in ("whole", "number", "size"):
            return f"{self.low:g} to {self.high:g}" if self.high < 1e6 else f"{self.low:g} or more"
        if self.kind == "switch":
            return "on or off"
        return ", ".join(self.choices) if self.choices else f"a {self.of}'s name" if self.of else "text"


def _rows() -> tuple[Keyword, ...]:
    return (*_models(), *_sampling(), *_images(), *_hires(), *_from_image(), *_job())


def _models() -> tuple[Keyword, ...]:
    return (
        Keyword("checkpoint", "name", "checkpoint", "sd_model_checkpoint", "Model", "The checkpoint.", of=CHECKPOINT, aliases=("model", "ckpt")),
        Keyword("vae", "name", "vae", "sd_vae", "VAE", "The VAE; `automatic` and `none` are names too.", of=VAE),
        Keyword("refiner", "name", "attribute", "refiner_checkpoint", "Refiner", "The checkpoint that finishes the image.", of=CHECKPOINT, aliases=("refiner_checkpoint",)),
        Keyword("refiner_switch_at", "number", "attribute", "refiner_switch_at", "Refiner switch at", "After which part of the steps the refiner takes over.", 0.01, 1),
        Keyword("clip_skip", "whole", "option", "CLIP_stop_at_last_layers", "Clip skip", "How many of CLIP's last layers are left out, plus one.", 1, 12, aliases=("clipskip",)),
    )  # fmt: skip


def _sampling() -> tuple[Keyword, ...]:
    return (
        Keyword("steps", "whole", "attribute", "steps", "Steps", "Sampling steps.", 1, 1000),
        Keyword("cfg_scale", "number", "attribute", "cfg_scale", "CFG scale", "How strictly the prompt is followed.", 0, 100, aliases=("cfg",)),
        Keyword("distilled_cfg", "number", "attribute", "distilled_cfg_scale", "Distilled CFG Scale", "Forge: guidance of distilled models; Forge Neo: also the shift of Lumina, Z-Image, Wan and Anima.", 0, 100, aliases=("distilled_cfg_scale", "shift")),
        Keyword("image_cfg_scale", "number", "attribute", "image_cfg_scale", "Image CFG scale", "Guidance by the image, for models that edit.", 0, 100, modes=FROM_IMAGE),
        Keyword("sampler_name", "name", "attribute", "sampler_name", "Sampler", "The sampler; a schedule after it counts (`DPM++ 2M Karras`).", of=SAMPLER, aliases=("sampler",)),
        Keyword("scheduler", "name", "attribute", "scheduler", "Schedule type", "The schedule of the steps.", of=SCHEDULER, aliases=("schedule",)),
        Keyword("eta", "number", "attribute", "eta", "Eta", "Noise of ancestral samplers.", 0, 1),
        Keyword("s_churn", "number", "both", "s_churn", "Sigma churn", "Churn of Euler, Heun and DPM2.", 0, 100),
        Keyword("s_tmin", "number", "both", "s_tmin", "Sigma tmin", "Churn begins at this sigma.", 0, 10),
        Keyword("s_tmax", "number", "both", "s_tmax", "Sigma tmax", "Churn ends at this sigma; 0 is no end.", 0, 999),
        Keyword("s_noise", "number", "both", "s_noise", "Sigma noise", "Noise of churn.", 0, 2),
        Keyword("s_min_uncond", "number", "attribute", "s_min_uncond", "NGMS", "Leaves the negative prompt out at low noise.", 0, 15),
        Keyword("ddim_discretize", "choice", "both", "ddim_discretize", "", "DDIM's steps.", choices=("uniform", "quad")),
    )  # fmt: skip


def _images() -> tuple[Keyword, ...]:
    return (
        Keyword("width", "size", "attribute", "width", "Size", "Width in pixels.", 64, 8192, step=8),
        Keyword("height", "size", "attribute", "height", "Size", "Height in pixels.", 64, 8192, step=8),
        Keyword("seed", "whole", "image", "seed", "Seed", "The image's seed; -1 draws one.", -1, LARGEST_SEED),
        Keyword("subseed", "whole", "image", "subseed", "Variation seed", "The variation's seed; -1 draws one.", -1, LARGEST_SEED, aliases=("variation_seed",)),
        Keyword("subseed_strength", "number", "attribute", "subseed_strength", "Variation seed strength", "How much of the variation's noise.", 0, 1, aliases=("variation_strength",)),
        Keyword("tiling", "switch", "attribute", "tiling", "Tiling", "Images whose edges fit together."),
        Keyword("restore_faces", "switch", "attribute", "restore_faces", "Face restoration", "Mend faces afterwards."),
        Keyword("styles", "names", "text", "styles", "", "Saved styles, separated by commas.", of=STYLE, aliases=("style",)),
        Keyword("negative_prompt", "text", "text", "negative_prompt", "", "Text that is added to the negative prompt.", aliases=("negative", "neg")),
    )  # fmt: skip


def _hires() -> tuple[Keyword, ...]:
    return (
        Keyword("enable_hr", "switch", "attribute", "enable_hr", "", "Switches hires fix on or off.", modes=("txt2img", "hires"), aliases=("hires", "hires_fix")),
        Keyword("hr_scale", "number", "attribute", "hr_scale", "Hires upscale", "How much larger.", 1, 8, modes=SECOND_PASS),
        Keyword("hr_resize_x", "size", "attribute", "hr_resize_x", "Hires resize", "Width after hires fix; 0 follows `hr_scale`.", 0, 16384, modes=SECOND_PASS, step=8),
        Keyword("hr_resize_y", "size", "attribute", "hr_resize_y", "Hires resize", "Height after hires fix.", 0, 16384, modes=SECOND_PASS, step=8),
        Keyword("hr_upscaler", "name", "attribute", "hr_upscaler", "Hires upscaler", "What enlarges.", modes=SECOND_PASS, of=UPSCALER),
        Keyword("hr_second_pass_steps", "whole", "attribute", "hr_second_pass_steps", "Hires steps", "Steps of the second pass; 0 takes `steps`.", 0, 1000, modes=SECOND_PASS, aliases=("hr_steps",)),
        Keyword("hr_checkpoint", "name", "attribute", "hr_checkpoint_name", "Hires checkpoint", "The second pass's checkpoint.", modes=SECOND_PASS, of=CHECKPOINT, aliases=("hr_checkpoint_name",)),
        Keyword("hr_sampler", "name", "attribute", "hr_sampler_name", "Hires sampler", "The second pass's sampler.", modes=SECOND_PASS, of=SAMPLER, aliases=("hr_sampler_name",)),
        Keyword("hr_scheduler", "name", "attribute", "hr_scheduler", "Hires schedule type", "The second pass's schedule.", modes=SECOND_PASS, of=SCHEDULER),
        Keyword("hr_cfg", "number", "attribute", "hr_cfg", "Hires CFG Scale", "Forge: the second pass's CFG scale.", 0, 100, modes=SECOND_PASS, aliases=("hr_cfg_scale",)),
        Keyword("hr_distilled_cfg", "number", "attribute", "hr_distilled_cfg", "Hires Distilled CFG Scale", "Forge: the second pass's distilled guidance or shift.", 0, 100, modes=SECOND_PASS, aliases=("hr_shift",)),
    )  # fmt: skip


def _from_image() -> tuple[Keyword, ...]:
    return (
        Keyword("denoising_strength", "number", "attribute", "denoising_strength", "Denoising strength", "How much of the given image is drawn anew.", 0, 1, modes=("hires", "img2img", "inpaint"), aliases=("denoising", "denoise")),
        Keyword("resize_mode", "whole", "attribute", "resize_mode", "", "0 stretch, 1 crop, 2 fill, 3 latent.", 0, 3, modes=FROM_IMAGE),
        Keyword("initial_noise_multiplier", "number", "attribute", "initial_noise_multiplier", "Noise multiplier", "Noise that is added at the start.", 0, 1.5, modes=FROM_IMAGE),
        Keyword("mask_blur", "whole", "attribute", "mask_blur", "Mask blur", "Blur of the mask in pixels.", 0, 64, modes=MASKED),
        Keyword("inpainting_mask_weight", "number", "attribute", "inpainting_mask_weight", "Conditional mask weight", "How strictly inpainting models see the mask.", 0, 1, modes=MASKED),
        Keyword("inpainting_fill", "whole", "attribute", "inpainting_fill", "Masked content", "0 fill, 1 original, 2 latent noise, 3 latent nothing.", 0, 3, modes=MASKED),
        Keyword("inpaint_full_res", "switch", "attribute", "inpaint_full_res", "Inpaint area", "Only the masked area, enlarged.", modes=MASKED),
        Keyword("inpaint_full_res_padding", "whole", "attribute", "inpaint_full_res_padding", "Masked area padding", "Pixels around the masked area.", 0, 256, modes=MASKED),
    )  # fmt: skip


def _job() -> tuple[Keyword, ...]:
    return (
        Keyword("n_iter", "whole", "job", "n_iter", "", "Batch count of the job; the first image's counts.", 1, 1000, aliases=("batch_count",)),
        Keyword("batch_size", "whole", "job", "batch_size", "", "Batch size of the job; the first image's counts.", 1, 64),
    )  # fmt: skip


KEYWORDS: tuple[Keyword, ...] = _rows()
BY_NAME: Mapping[str, Keyword] = {word: row for row in KEYWORDS for word in (row.name, *row.aliases)}

SIZE = "size"
"""`<size:768x1024>` is `width` and `height` in one."""
OPTION = "opt"
"""`<opt:name:value>` is an option of the WebUI."""
ADDNET = "addnet_"
"""The old extension's keywords for LoRAs: `addnet_enabled`, `addnet_model_1`, `addnet_weight_1` …"""
OURS: frozenset[str] = frozenset({*BY_NAME, SIZE, OPTION})

OPTIONS_ALLOWED: frozenset[str] = frozenset(
    {
        "CLIP_stop_at_last_layers", "randn_source", "eta_noise_seed_delta", "eta_ddim", "eta_ancestral",
        "ddim_discretize", "sigma_min", "sigma_max", "rho", "s_churn", "s_tmin", "s_tmax", "s_noise", "s_min_uncond",
        "s_min_uncond_all", "skip_early_cond", "uni_pc_variant", "uni_pc_skip_type", "uni_pc_order",
        "uni_pc_lower_order_final", "beta_dist_alpha", "beta_dist_beta", "sd_noise_schedule", "sgm_noise_multiplier",
        "always_discard_next_to_last_sigma", "no_dpmpp_sde_batch_determinism", "emphasis", "comma_padding_backtrack",
        "token_merging_ratio", "token_merging_ratio_hr", "token_merging_ratio_img2img", "img2img_extra_noise",
        "initial_noise_multiplier", "inpainting_mask_weight", "img2img_color_correction", "img2img_fix_steps",
        "sd_vae_encode_method", "sd_vae_decode_method", "face_restoration_model", "code_former_weight",
        "upscaler_for_img2img", "ESRGAN_tile", "ESRGAN_tile_overlap", "sdxl_crop_top", "sdxl_crop_left",
        "sdxl_refiner_low_aesthetic_score", "sdxl_refiner_high_aesthetic_score", "use_old_karras_scheduler_sigmas",
        "use_old_scheduling", "use_old_emphasis_implementation", "auto_vae_precision", "hires_fix_use_firstpass_conds",
    }
)  # fmt: skip
"""Options that change how one image is made, and nothing that is saved, shown, shared or run."""
