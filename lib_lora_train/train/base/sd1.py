# pyright: basic
"""Stable Diffusion 1.x: one CLIP text encoder, a U-Net with 1x1 projections, a VAE with 4 latent channels."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from lib_lora_train.train.base import sd1_config
from lib_lora_train.train.base.family import BaseModel, LoadOptions
from lib_lora_train.train.base.folder import read_json, weights_in
from lib_lora_train.train.base.info import PARTS, BaseInfo
from lib_lora_train.train.base.names import Candidates, diffusers_candidates, ldm_candidates
from lib_lora_train.train.base.schedule import alphas_cumprod
from lib_lora_train.train.base.signatures import VAE_PREFIX
from lib_lora_train.train.base.tensors import Match, TensorFile, fill, match, open_tensors
from lib_lora_train.train.base.tokenizer import ClipTokenizer, tokenizer_for
from lib_lora_train.train.errors import BaseError, ConfigError

_LABELS = frozenset(
    {
        "_class_name",
        "_diffusers_version",
        "_name_or_path",
        "architectures",
        "torch_dtype",
        "dtype",
        "transformers_version",
        "model_type",
    }
)
# Left by training or by the original code; no part of the model.
_IGNORED = (
    "model_ema.",
    "first_stage_model.loss.",
    "alphas_cumprod",
    "betas",
    "sqrt_",
    "log_one_minus_",
    "posterior_",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "v_pred",
    "ztsnr",
)
_IGNORED_ENDS = ("position_ids", "text_projection", "text_projection.weight", "logit_scale")


class SD1:
    """SD 1.x, whatever its widths. See `family.Family` for shapes and promises."""

    name = "sd1"
    latent_scale = sd1_config.LATENT_SCALE

    def load(self, info: BaseInfo, options: LoadOptions, vae: Path | None, allow_pickle: bool) -> BaseModel:
        """The base in memory. Raises BaseError when tensors are missing or a part does not fit the others."""
        tokenizer = tokenizer_for(info)
        _check_attention(options.attention)
        files = {path: open_tensors(path, allow_pickle) for path in dict.fromkeys(info.files.values())}
        models: dict[str, Any] = {}
        found: dict[str, Match] = {}
        for part in PARTS:
            if part == "vae" and vae is not None:
                config, file, candidates = open_vae(vae, allow_pickle)
            else:
                config, file = info.configs[part], files[info.files[part]]
                candidates = ldm_candidates(part, config) if info.layout == "ldm" else diffusers_candidates(part)
            with init_empty_weights():
                kernel = "eager" if part == "text_encoder" and options.deterministic else options.attention
                models[part] = build(part, config, kernel)
            found[part] = match(models[part], file, candidates)
        _check_together(info, models, vae)
        for part, model in models.items():  # all is known to fit: only now is memory used
            fill(model, found[part], vae_dtype(options) if part == "vae" else options.dtype, options.device)
            model.requires_grad_(False).eval()
        _set_attention(models["unet"], options.attention)
        used = {name for one in found.values() for name in one.places}
        return BaseModel(
            family=self,
            info=info,
            **models,
            tokenizer=tokenizer,
            prediction=info.prediction,
            zero_terminal_snr=info.zero_terminal_snr,
            alphas_cumprod=alphas_cumprod(info.zero_terminal_snr),
            vae_path=vae,
            extras=_extras(files.values(), used, replaced_vae=vae is not None),
        )

    def tokenize(self, tokenizer: ClipTokenizer, captions: Sequence[str], max_tokens: int) -> Tensor:
        """Token numbers, int64 [b, n, 77] with n = ceil(max_tokens / 75)."""
        return torch.tensor([tokenizer.chunks(caption, max_tokens) for caption in captions], dtype=torch.int64)

    def encode_text(self, text_encoder: nn.Module, ids: Tensor, clip_skip: int = 1) -> Tensor:
        """Context [b, n * 77, d]: the chunks side by side; the final norm follows the chosen layer."""
        bare: Any = getattr(text_encoder, "module", text_encoder)
        layers = bare.config.num_hidden_layers
        if not 1 <= clip_skip <= layers:
            raise ConfigError(
                f"clip_skip = {clip_skip}, but this base's text encoder has {layers} layers; choose 1 … {layers}."
            )
        hidden = text_encoder(ids.flatten(0, 1), output_hidden_states=True).hidden_states[-clip_skip]
        return bare.text_model.final_layer_norm(hidden).unflatten(0, ids.shape[:2]).flatten(1, 2)

    def checkpoint_gradients(self, unet: nn.Module, text_encoder: nn.Module) -> None:
        """Compute activations twice; gradients are the same as without, also where the input layer is frozen."""
        models: Any = (unet, text_encoder)
        models[0].enable_gradient_checkpointing()
        # The library's default way gives no gradient at all behind frozen embeddings.
        models[1].gradient_checkpointing_enable({"use_reentrant": False})
        for model in models:
            model.train()  # both check this; SD 1.x has no dropout that it would wake

    @torch.no_grad()
    def encode_images(self, vae: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents, float32, times `latent_scale`."""
        model: Any = vae
        with torch.autocast(pixels.device.type, enabled=False):  # fp16 autocast would overflow in the VAE
            found = model.encode(pixels.to(model.dtype)).latent_dist
        return found.mean.float() * self.latent_scale, found.std.float() * self.latent_scale

    @torch.no_grad()
    def decode(self, vae: nn.Module, latents: Tensor) -> Tensor:
        """Pixels, float32 [b, 3, h, w] in about -1 … 1."""
        model: Any = vae
        with torch.autocast(latents.device.type, enabled=False):
            return model.decode((latents / self.latent_scale).to(model.dtype), return_dict=False)[0].float()

    def predict(self, unet: nn.Module, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """The U-Net's output in float32; inputs are cast to its own dtype."""
        dtype = next(unet.parameters()).dtype
        return unet(noisy.to(dtype), timesteps, encoder_hidden_states=context.to(dtype), return_dict=False)[0].float()


def build(part: str, config: Mapping[str, Any], attention: str = "auto") -> nn.Module:
    """A part's model with its libraries' own random weights. Raises BaseError when `config` makes no model."""
    fields = {name: value for name, value in config.items() if name not in _LABELS}
    try:
        if part == "text_encoder":
            fused = attention != "eager" and _fused_attention_casts_masks()
            return CLIPTextModel(CLIPTextConfig(**fields, attn_implementation="sdpa" if fused else "eager"))
        model: Any = UNet2DConditionModel if part == "unet" else AutoencoderKL
        return model.from_config(fields)
    except (TypeError, ValueError, KeyError, ArithmeticError, RuntimeError) as error:
        raise BaseError(f"This base's {part} cannot be built ({str(error)[:120]}); choose another base.") from error


def open_vae(path: Path, allow_pickle: bool = False) -> tuple[Mapping[str, Any], TensorFile, Candidates]:
    """Config, tensors and naming of a VAE: a VAE file, a checkpoint's VAE, or diffusers' VAE folder.

    Raises BaseError when `path` holds no VAE.
    """
    if path.is_dir():
        folder = path / "vae" if (path / "vae" / "config.json").is_file() else path
        file = open_tensors(weights_in(folder, allow_pickle), allow_pickle)
        return read_json(folder / "config.json"), file, diffusers_candidates("vae")
    file = open_tensors(path, allow_pickle)
    shapes = file.header.shapes
    prefix = VAE_PREFIX if f"{VAE_PREFIX}decoder.conv_in.weight" in shapes else ""
    try:
        config = sd1_config.vae_config(shapes, prefix)
    except KeyError as error:
        raise BaseError(
            f"{path.name} is no VAE (it lacks {error}); choose a VAE file, or leave the VAE field empty."
        ) from error
    diffusers = any(name.startswith("encoder.down_blocks.") for name in shapes)
    return config, file, diffusers_candidates("vae") if diffusers else ldm_candidates("vae", config)


def vae_dtype(options: LoadOptions) -> torch.dtype:
    """bf16 where it was asked for on CUDA, else float32; never fp16, whose range the VAE leaves."""
    wanted = options.vae_dtype == torch.bfloat16 and torch.device(options.device).type == "cuda"
    return torch.bfloat16 if wanted else torch.float32


@functools.lru_cache(maxsize=1)
def _fused_attention_casts_masks() -> bool:
    """Whether torch's fused attention takes transformers' float32 mask under autocast; older ones refuse it."""
    query, mask = torch.zeros(1, 1, 1, 8, dtype=torch.bfloat16), torch.zeros(1, 1)
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            torch.nn.functional.scaled_dot_product_attention(query, query, query, attn_mask=mask)
    except RuntimeError:
        return False
    return True


def _check_attention(attention: str) -> None:
    if attention == "xformers":
        try:
            importlib.import_module("xformers.ops")
        except Exception as error:  # a build for another torch fails with whatever it likes
            raise ConfigError(
                "attention = xformers, but xFormers is not installed for this torch; choose auto."
            ) from error


def _set_attention(unet: Any, attention: str) -> None:
    if attention == "xformers":
        unet.enable_xformers_memory_efficient_attention()
    else:
        unet.set_attn_processor(AttnProcessor() if attention == "eager" else AttnProcessor2_0())


def _check_together(info: BaseInfo, models: Mapping[str, Any], vae: Path | None) -> None:
    unet, text, vae_config = models["unet"].config, models["text_encoder"].config, models["vae"].config
    if unet.cross_attention_dim != text.hidden_size:
        fault = f"its U-Net takes {unet.cross_attention_dim} numbers a token, its text encoder gives {text.hidden_size}"
        raise BaseError(f"{info.name} does not fit together: {fault}; choose another file.")
    scale = vae_config.scaling_factor
    if unet.in_channels != vae_config.latent_channels or abs(scale - sd1_config.LATENT_SCALE) > 1e-6:
        name = vae.name if vae else f"The VAE of {info.name}"
        fault = f"({vae_config.latent_channels} channels scaled by {scale:g}, {unet.in_channels} by 0.18215 are needed)"
        raise BaseError(f"{name} is of another family {fault}; choose an SD 1.x VAE in the VAE field.")


def _extras(files: Iterable[TensorFile], used: set[str], replaced_vae: bool) -> tuple[str, ...]:
    ignored = (*_IGNORED, VAE_PREFIX) if replaced_vae else _IGNORED
    names = {name for file in files for name in file.header.tensors} - used
    return tuple(sorted(name for name in names if not name.startswith(ignored) and not name.endswith(_IGNORED_ENDS)))
