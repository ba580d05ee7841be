"""`install-base`: the small base in a WebUI's own folders, with all that A1111 needs to build a model of its widths."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora_train.demo.models import BASE
from lib_lora_train.environment.locate import Host
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import atomic
from lib_lora_train.files.safetensors_header import read_header
from lib_lora_train.train.base.detect import inspect
from lib_lora_train.train.base.tokenizer import BEGIN, END, words_of
from lib_lora_train.train.errors import ConfigError

NAME = "lora-loop-small"
TITLE = "LoRA Loop small"
_FIRST_LINE = f"# {TITLE}: how A1111 builds the model of the checkpoint beside this file.\n"
_CONFIGURATION = """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 1000
    channels: 4
    image_size: 16
    scale_factor: {scale}
    conditioning_key: crossattn
    cond_stage_trainable: false
    use_ema: false
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: 16
        in_channels: {unet_in}
        out_channels: {unet_out}
        model_channels: {unet_width}
        channel_mult: {unet_levels}
        attention_resolutions: {attention}
        num_res_blocks: {unet_blocks}
        num_heads: {heads}
        context_dim: {context}
        transformer_depth: 1
        use_spatial_transformer: true
        use_checkpoint: false
        legacy: false
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        ddconfig:
          double_z: true
          z_channels: 4
          in_channels: 3
          out_ch: 3
          resolution: 128
          ch: {vae_width}
          ch_mult: {vae_levels}
          num_res_blocks: {vae_blocks}
          attn_resolutions: []
          dropout: 0.0
        lossconfig:
          target: torch.nn.Identity
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params:
        # The folder with the text encoder's sizes and words. Run install-base again after moving it.
        version: {text}
"""


@dataclass(frozen=True)
class Places:
    """Where the parts go: checkpoint, configuration, and the folder with the text encoder's sizes and its words, which
    the trainer looks for beside the checkpoint too."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{NAME}.safetensors"

    @property
    def configuration(self) -> Path:
        return self.folder / f"{NAME}.yaml"

    @property
    def words(self) -> Path:
        return self.folder / f"{NAME}.tokenizer"

    def foreign(self) -> Path | None:
        """What lies there under one of our names and is not ours."""
        owners = {self.checkpoint: _our_checkpoint, self.configuration: _our_configuration, self.words: _our_words}
        return next((path for path, ours in owners.items() if path.exists() and not ours(path)), None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--webui", type=Path, required=True, metavar="DIR", help="A1111's folder")
    parser.add_argument("--base", type=Path, default=BASE, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    places = install(options.base, options.webui)
    print(f"The small base is in {places.checkpoint}")
    print(
        "In the WebUI: refresh the checkpoints, choose lora-loop-small, and set 128 x 128 pixels and a CFG scale of 5."
    )
    print('Ask it for "a photo of a big red dog in the snow". LoRA files of the demo go into models/Lora.')
    return 0


def install(base: Path, webui: Path) -> Places:
    """Put `base` into A1111's folder `webui`. What is there already of ours is brought up to date.

    Raises ConfigError when `webui` is no A1111 or another's file has one of our names, DiskError.
    """
    webui = webui.expanduser().resolve()
    if not ((webui / "launch.py").is_file() and (webui / "modules").is_dir()):
        raise ConfigError(
            f"{webui} is no WebUI: give A1111's own folder, the one with launch.py and models in it, as --webui."
        )
    host = Host(webui, None)
    if host.is_forge:
        raise ConfigError(
            f"{host.kind} tells checkpoints by their exact widths and opens none as small as this one, so nothing was installed; it can use LoRAs trained on your own SD 1.x checkpoint, and A1111 can use the small base."
        )
    places = Places(webui / "models" / "Stable-diffusion")
    foreign = places.foreign()
    if foreign is not None:
        raise ConfigError(f"{foreign} is there and is not ours, so nothing was installed: move or rename it first.")
    info = inspect(base)
    words = words_of(info)
    with atomic.disk_errors(NAME, places.folder):
        places.words.mkdir(parents=True, exist_ok=True)
    marks = _marks(words)
    for name, values in _text_files(info.configs["text_encoder"], marks).items():  # the first one marks it as ours
        atomic.write_json(places.words / name, values)
    for name in ("vocab.json", "merges.txt"):
        atomic.write_bytes(places.words / name, (words / name).read_bytes())
    atomic.write_text(places.configuration, configuration(info.configs, places.words))
    with base.open("rb") as stream, atomic.replacing(places.checkpoint) as copy:
        shutil.copyfileobj(stream, copy)
    return places


def _marks(words: Path) -> tuple[int, int]:
    """The numbers of the words that begin and end a text."""
    vocabulary: Any = json.loads((words / "vocab.json").read_text("utf-8"))
    return vocabulary[BEGIN], vocabulary[END]


def configuration(configs: Mapping[str, Mapping[str, Any]], words: Path) -> str:
    """The YAML from which A1111 builds a model of the widths in `configs`; the text encoder's folder is `words`."""
    unet, vae, text = configs["unet"], configs["vae"], configs["text_encoder"]
    crossed = [2**level for level, kind in enumerate(unet["down_block_types"]) if kind.startswith("CrossAttn")]
    return _FIRST_LINE + _CONFIGURATION.lstrip("\n").format(
        scale=vae["scaling_factor"],
        unet_in=unet["in_channels"],
        unet_out=unet["out_channels"],
        unet_width=unet["block_out_channels"][0],
        unet_levels=[width // unet["block_out_channels"][0] for width in unet["block_out_channels"]],
        attention=crossed,
        unet_blocks=unet["layers_per_block"],
        heads=unet["attention_head_dim"],  # diffusers' name for the number of heads in SD 1.x
        context=text["hidden_size"],
        vae_width=vae["block_out_channels"][0],
        vae_levels=[width // vae["block_out_channels"][0] for width in vae["block_out_channels"]],
        vae_blocks=vae["layers_per_block"],
        text=json.dumps(str(words), ensure_ascii=False),  # a JSON string is a YAML string
    )


def _text_files(text: Mapping[str, Any], marks: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """transformers' files: the model's sizes, and how its tokenizer treats text."""
    special = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END}
    model = {
        "_name_or_path": NAME,
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "bos_token_id": marks[0],
        "eos_token_id": marks[1],
        "pad_token_id": marks[1],
        **text,
    }
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    return {"config.json": model, "tokenizer_config.json": tokenizer, "special_tokens_map.json": special}


def _our_checkpoint(path: Path) -> bool:
    try:
        return read_header(path).metadata.get("modelspec.title") == TITLE
    except (LoraLoopError, OSError):
        return False


def _our_configuration(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(_FIRST_LINE.encode())
    except OSError:
        return False


def _our_words(path: Path) -> bool:
    try:
        found: Any = json.loads((path / "config.json").read_text("utf-8"))
        return isinstance(found, dict) and found.get("_name_or_path") == NAME
    except FileNotFoundError:
        return path.is_dir() and not any(path.iterdir())
    except (OSError, ValueError):
        return False
