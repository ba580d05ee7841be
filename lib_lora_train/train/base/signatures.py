"""Which kind of model a set of tensors is, told by names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lib_lora_train.train.base.info import Shapes

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIXES = ("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.")

_CHOOSE = "choose an SD 1.x checkpoint"
NEO_FAMILIES = {
    "chroma": "a Chroma model",
    "flux2": "a FLUX.2 model",
    "lumina": "a Lumina 2 model",
    "zimage": "a Z-Image model",
    "qwen": "a Qwen-Image model",
    "wan": "a Wan model",
    "anima": "an Anima model",
    "ernie": "an ERNIE-Image model",
    "krea": "a Krea 2 model",
}
"""Families that only Forge Neo draws with, in words."""
REFUSALS = {
    "sd2": f"is an SD 2.x model, which is not supported yet by this version; {_CHOOSE}",
    "sdxl": f"is an SDXL model, which is not supported yet by this version; {_CHOOSE}",
    "sdxl_refiner": "is SDXL's refiner, which only polishes pictures and is not trained on; choose the base model",
    "sd3": f"is an SD 3 model, which is not supported by this version; {_CHOOSE}",
    "flux": f"is a Flux model, which is not supported by this version; {_CHOOSE}",
    **{
        family: f"is {words}, which Forge Neo can draw with and this trainer cannot train yet; {_CHOOSE}"
        for family, words in NEO_FAMILIES.items()
    },
    "svd": f"is a video model, which is not supported by this version; {_CHOOSE}",
    "lora": "is a LoRA, not a checkpoint; choose the checkpoint here, and the LoRA under 'start from' to go on from it",
    "controlnet": f"is a ControlNet, not a checkpoint; {_CHOOSE}",
    "embedding": f"is a textual inversion embedding, not a checkpoint; {_CHOOSE}",
    "vae": "is a VAE, not a checkpoint; choose the checkpoint here, and the VAE in the VAE field",
    "unet": "is a U-Net alone; choose a full checkpoint, or the diffusers folder that this file belongs to",
    "text_encoder": f"is a text encoder alone; {_CHOOSE}",
    "unknown": f"holds no model that is known here; {_CHOOSE}",
}

_LORA_PARTS = (
    ".lora_down.",
    ".lora_up.",
    ".lora_a.",
    ".lora_b.",
    ".hada_w1",
    ".lokr_w1",
    ".lokr_w2",
    ".oft_blocks",
    ".dora_scale",
    ".lora.down.",
    ".lora.up.",
)
_LORA_STARTS = ("lora_unet_", "lora_te", "lycoris_", "bundle_emb.")


def family_of(shapes: Shapes) -> str:
    """The family's name: one of REFUSALS, or "sd1"."""
    for name, is_it in _TESTS:
        if is_it(shapes):
            return name
    return _unet_family(shapes)


def _any(names: Iterable[str], *fragments: str) -> bool:
    return any(fragment in name for name in names for fragment in fragments)


def _is_lora(shapes: Shapes) -> bool:
    return any(name.startswith(_LORA_STARTS) or any(part in name.lower() for part in _LORA_PARTS) for name in shapes)


def _is_vae(shapes: Shapes) -> bool:
    names = {name.removeprefix(VAE_PREFIX) for name in shapes}
    return {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= names and not _any(
        shapes, "input_blocks.", "down_blocks.0.attentions.", "transformer"
    )


def _is_embedding(shapes: Shapes) -> bool:
    return 0 < len(shapes) <= 4 and all(len(shape) <= 2 for shape in shapes.values())


_TESTS: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("lora", _is_lora),
    ("controlnet", lambda shapes: _any(shapes, "control_model.", "input_hint_block.", "controlnet_")),
    ("flux2", lambda shapes: _any(shapes, "double_stream_modulation_img.lin.")),
    ("chroma", lambda shapes: _any(shapes, "distilled_guidance_layer.")),
    ("zimage", lambda shapes: _any(shapes, "cap_pad_token")),
    ("lumina", lambda shapes: _any(shapes, "cap_embedder.1.weight")),
    ("anima", lambda shapes: _any(shapes, "llm_adapter.blocks.")),
    ("krea", lambda shapes: _any(shapes, "txtfusion.projector.")),
    ("wan", lambda shapes: _any(shapes, "head.modulation")),
    ("ernie", lambda shapes: _any(shapes, "layers.0.mlp.linear_fc2.")),
    ("qwen", lambda shapes: _any(shapes, "txt_norm.weight") and _any(shapes, "transformer_blocks.0.")),
    ("flux", lambda shapes: _any(shapes, "double_blocks.", "single_transformer_blocks.")),
    ("sd3", lambda shapes: _any(shapes, "joint_blocks.")),
    ("svd", lambda shapes: _any(shapes, ".time_stack.", ".temporal_transformer_blocks.")),
    ("vae", _is_vae),
    ("embedding", _is_embedding),
)


def _unet_family(shapes: Shapes) -> str:
    for prefix in (UNET_PREFIX, ""):
        if f"{prefix}input_blocks.0.0.weight" in shapes:
            return _ldm_family(shapes, prefix)
    if _any(shapes, "down_blocks.0.resnets."):
        return "unet"
    return "text_encoder" if _any(shapes, "text_model.embeddings.token_embedding.") else "unknown"


def _ldm_family(shapes: Shapes, prefix: str) -> str:
    label = shapes.get(f"{prefix}label_emb.0.0.weight")
    if label is not None:
        if _any(shapes, "conditioner.embedders.1."):
            return "sdxl"
        refiner = _any(shapes, "conditioner.embedders.0.model.") or label[-1:] == (2560,)
        return "sdxl_refiner" if refiner else "sdxl" if label[-1:] == (2816,) else "unknown"
    # SD 2 projects with linear layers where SD 1 has 1x1 convolutions, whatever the widths.
    projections = [
        shape for name, shape in shapes.items() if name.startswith(prefix) and name.endswith(".proj_in.weight")
    ]
    if any(len(shape) == 2 for shape in projections) or _any(shapes, "cond_stage_model.model.transformer."):
        return "sd2"
    if not prefix:
        return "unet"
    return "sd1" if projections else "unknown"
