"""Make the small base: draw the world, train the VAE, the judge, the text encoder and the U-Net, and write the files.

    python -m tools.small_base --out DIR

Each stage leaves its file in DIR and is not done again; `--only` does one of them.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.layout import write_base
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.base.sd1 import build
from lib_lora_train.train.base.tokenizer import ClipTokenizer
from lib_lora_train.train.sections import BaseConfig
from tools.small_base import autoencoder, judging, painter, pictures, words
from tools.small_base.sizes import configs

SEED = 11
STAGES = ("words", "sketches", "vae", "individuals", "judge", "pictures", "painter", "write")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--start",
        type=Path,
        help="a small base that the VAE, the text encoder and the U-Net go on from, with its words",
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="the U-Net's highest learning rate")
    parser.add_argument("--only", choices=STAGES, action="append")
    parser.add_argument("--sketches", type=int, default=30_000, help="pictures that the VAE learns from")
    parser.add_argument("--pictures", type=int, default=160_000)
    parser.add_argument("--individuals", type=int, default=20_000)
    parser.add_argument("--vae-steps", type=int, default=8_000, help="0 leaves the VAE of --start as it is")
    parser.add_argument("--judge-steps", type=int, default=8_000)
    parser.add_argument("--painter-steps", type=int, default=17_000)
    parser.add_argument("--batch", type=int, default=512, help="pictures a step of the U-Net; the others take fewer")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop the U-Net after so long; a second call goes on"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    for name in options.only or STAGES:
        began = time.monotonic()
        _STAGES[name](options)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def _words(options: argparse.Namespace) -> None:
    target = options.out / "small.tokenizer"
    if options.start:  # its text encoder knows its own words
        shutil.copytree(options.start.with_suffix(".tokenizer"), target, dirs_exist_ok=True)
    else:
        words.write_tokenizer(target, words.known_words())
    print(f"{ClipTokenizer(target).size} tokens")


def _sketches(options: argparse.Namespace) -> None:
    parts = pictures.for_base(options.sketches, SEED + 1, options.processes)
    torch.save([torch.from_numpy(part.pixels) for part in parts], options.out / "sketches.pt")


def _vae(options: argparse.Namespace) -> None:
    torch.manual_seed(1)
    model = build("vae", configs(1)["vae"])
    if options.start:
        model.load_state_dict(_start(options).vae.state_dict())
    if not options.vae_steps:
        torch.save(model.state_dict(), options.out / "vae.pt")
        return
    pixels = [part.to(options.device) for part in torch.load(options.out / "sketches.pt")]
    vae = autoencoder.train_vae(model, pixels, options.vae_steps, max(2, options.batch // 8))
    torch.save(vae.state_dict(), options.out / "vae.pt")


def _pictures(options: argparse.Namespace) -> None:
    tokenizer = ClipTokenizer(options.out / "small.tokenizer")
    shapes: list[tuple[Tensor, Tensor]] = []
    for part in pictures.for_base(options.pictures, SEED, options.processes):
        ids = torch.tensor(
            [[tokenizer.chunks(text)[0] for text in texts] for texts in part.captions], dtype=torch.int16
        )
        shapes.append((torch.from_numpy(part.pixels), ids))
        print(f"{len(ids)} pictures of {part.pixels.shape[2]}×{part.pixels.shape[1]}", flush=True)
    torch.save(shapes, options.out / "pictures.pt")


def _individuals(options: argparse.Namespace) -> None:
    """The judge's pictures, and a twentieth as many others to see how well it does."""
    wanted = ((options.individuals, SEED), (max(1, options.individuals // 20), SEED + 2))
    found = [pictures.for_judge(count, seed, options.processes) for count, seed in wanted]
    parts = [(torch.from_numpy(one.pixels), torch.from_numpy(one.labels)) for one in found]
    torch.save(parts, options.out / "judged.pt")


def _load_vae(options: argparse.Namespace) -> nn.Module:
    vae = build("vae", configs(1)["vae"])
    vae.load_state_dict(torch.load(options.out / "vae.pt", map_location="cpu"))
    return vae.to(options.device).eval().requires_grad_(False)


def _start(options: argparse.Namespace) -> BaseModel:
    return load_base(BaseConfig(path=str(options.start)))


def _judge(options: argparse.Namespace) -> None:
    from safetensors.torch import save_file

    seen, fresh = ([one.to(options.device) for one in pair] for pair in torch.load(options.out / "judged.pt"))
    washed = autoencoder.washed(_load_vae(options), seen[0])
    network = judging.train_judge(seen[0], washed, seen[1], options.judge_steps, max(2, options.batch // 6))
    found = ", ".join(f"{name} {share:.1%}" for name, share in judging.right(network, *fresh).items())
    print(f"of {len(fresh[0])} pictures that it has not seen, right: {found}")
    tensors = {name: tensor.half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, options.out / "judge.safetensors")


def _painter(options: argparse.Namespace) -> None:
    tokenizer = ClipTokenizer(options.out / "small.tokenizer")
    device, vae = torch.device(options.device), _load_vae(options)
    data: list[tuple[Tensor, Tensor]] = []
    for pixels, ids in torch.load(options.out / "pictures.pt", mmap=True):
        latents = [autoencoder.encode(vae, part.to(device)).half() for part in pixels.split(4000)]
        data.append((torch.cat(latents), ids.to(device)))
    models = painter.new_models(configs(tokenizer.size), device)
    if options.start:
        known = _start(options)
        models["unet"].load_state_dict(known.unet.state_dict())
        models["text_encoder"].load_state_dict(known.text_encoder.state_dict())
    empty = torch.tensor(tokenizer.chunks("")[0], device=device)
    state = options.out / "painter_state.pt"
    plan = painter.Plan(options.painter_steps, options.batch, state, options.seconds, options.rate)
    torch.save(painter.train_painter(models, data, empty, plan).state_dict(), options.out / "painter.pt")


def _write(options: argparse.Namespace) -> None:
    tokenizer = ClipTokenizer(options.out / "small.tokenizer")
    models: Any = painter.new_models(configs(tokenizer.size), torch.device("cpu"))
    models.load_state_dict(torch.load(options.out / "painter.pt", map_location="cpu"))
    options.device = "cpu"
    parts = {"unet": models["unet"], "text_encoder": models["text_encoder"], "vae": _load_vae(options)}
    path = options.out / "small.safetensors"
    about = {
        "modelspec.title": "LoRA Loop small",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.resolution": "128x128",
        "modelspec.license": "MIT",
        "modelspec.description": "Trained from nothing on pictures drawn by this project.",
    }
    write_base(path, parts, "fp16", about)
    print(
        f"{path} {path.stat().st_size / 1e6:.1f} MB, {sum(p.numel() for m in parts.values() for p in m.parameters()):,} weights"
    )


_STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "words": _words,
    "sketches": _sketches,
    "vae": _vae,
    "individuals": _individuals,
    "judge": _judge,
    "pictures": _pictures,
    "painter": _painter,
    "write": _write,
}

if __name__ == "__main__":
    main()
