"""Asks a WebUI for pictures through its API, and compares them."""

from __future__ import annotations

import base64
import io
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

OURS = re.compile(
    r', (?:Prompt template|Negative template|Hires template|Prompt choices|Prompt changed by): ("(?:\\.|[^\\"])*"|[^,]*)'
)
SCRIPT = "LoRA Loop prompts"
SMALL = 1_000_000_000
"""Bytes of a checkpoint that tests may load; larger ones are left alone."""
BASE: dict[str, Any] = {
    "prompt": "",
    "steps": 2,
    "width": 64,
    "height": 64,
    "seed": 7,
    "cfg_scale": 5,
    "sampler_name": "Euler",
    "scheduler": "Automatic",
}
HIRES: dict[str, Any] = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "denoising_strength": 0.7,
    "hr_second_pass_steps": 2,
}


READ: dict[str, tuple[str, Any]] = {
    "Steps": ("steps", int),
    "Sampler": ("sampler_name", str),
    "Schedule type": ("scheduler", str),
    "CFG scale": ("cfg_scale", float),
    "Seed": ("seed", int),
    "Variation seed": ("subseed", int),
    "Variation seed strength": ("subseed_strength", float),
    "Denoising strength": ("denoising_strength", float),
    "Hires upscale": ("hr_scale", float),
    "Hires steps": ("hr_second_pass_steps", int),
    "Hires upscaler": ("hr_upscaler", str),
    "Hires prompt": ("hr_prompt", str),
    "Hires negative prompt": ("hr_negative_prompt", str),
}
"""What a picture's text calls the fields of the API."""


class Refused(Exception):
    """The WebUI answered with an error."""


@dataclass
class Made:
    """Pictures with their texts, and the job's record."""

    images: list[Image.Image]
    info: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return [image.info.get("parameters", "") for image in self.images]

    @property
    def plain(self) -> list[str]:
        """The texts without our fields: what a direct job would say."""
        return [OURS.sub("", text) for text in self.texts]

    @property
    def prompts(self) -> list[str]:
        return [text.split("\n")[0] for text in self.texts]


def same(one: Image.Image, two: Image.Image) -> bool:
    return one.size == two.size and one.tobytes() == two.tobytes()


def picture(size: int = 64) -> str:
    """A picture to begin with, as the API takes it."""
    image = Image.new("RGB", (size, size), (40, 90, 160))
    ImageDraw.Draw(image).ellipse((10, 10, size - 12, size - 20), fill=(220, 180, 60))
    return encoded(image)


def mask(size: int = 64) -> str:
    image = Image.new("L", (size, size), 0)
    ImageDraw.Draw(image).rectangle((12, 12, size - 24, size - 16), fill=255)
    return encoded(image)


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


class WebUI:
    """One running WebUI."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        options = self.options()
        self.is_forge = "forge_additional_modules" in options
        self.size_step = int(options.get("res_step", 8))
        self.drops_when_pasting = "disable_modules_auto_swap" in options

    def call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
            raise Refused(said.get("errors") or said.get("message") or str(said)) from error

    def options(self) -> dict[str, Any]:
        return self.call("/sdapi/v1/options")

    def small_checkpoints(self) -> list[str]:
        """The checkpoints that are quick to load, the loaded one first (Neo lists them in no order)."""
        models = self.call("/sdapi/v1/sd-models")
        names = [
            model["model_name"]
            for model in models
            if Path(model["filename"]).is_file() and Path(model["filename"]).stat().st_size < SMALL
        ]
        loaded = Path(str(self.options()["sd_model_checkpoint"]).split(" [")[0]).stem
        return sorted(names, key=lambda name: (name != loaded, name))

    def base(self) -> Path:
        """The file of the chosen checkpoint."""
        names = {model["model_name"]: model["filename"] for model in self.call("/sdapi/v1/sd-models")}
        return Path(names[self.small_checkpoints()[0]])

    def upscaler(self) -> str:
        """What enlarges latents where this WebUI can, else an upscaler that enlarges pictures."""
        latent = [one["name"] for one in self.call("/sdapi/v1/latent-upscale-modes")]
        return "Latent" if "Latent" in latent else "None"

    def size(self, pixels: int) -> int:
        """A size in the steps of this WebUI."""
        return (pixels + self.size_step // 2) // self.size_step * self.size_step

    def samplers(self) -> set[str]:
        return {sampler["name"] for sampler in self.call("/sdapi/v1/samplers")}

    def always_on(self, beginning: str) -> str:
        """The name of an always-on script by the beginning of it, as the API takes it; "" where there is none."""
        scripts = self.call("/sdapi/v1/script-info")
        names = [one["name"] for one in scripts if one["is_alwayson"] and one["name"].startswith(beginning)]
        return names[0] if names else ""

    def fields(self, mode: str) -> set[str]:
        schema = self.call("/openapi.json")["components"]["schemas"]
        kind = "Img2Img" if mode in ("img2img", "inpaint") else "Txt2Img"
        return set(schema[f"StableDiffusion{kind}ProcessingAPI"]["properties"]) if self.has(schema, kind) else set()

    @staticmethod
    def has(schema: dict[str, Any], kind: str) -> bool:
        return f"StableDiffusion{kind}ProcessingAPI" in schema

    def make(self, mode: str = "txt2img", **fields: Any) -> Made:
        """Pictures of a job: `mode` is txt2img, hires, img2img or inpaint; `request` are our own fields."""
        request = fields.pop("request", None)
        body = {**BASE, **fields}
        if mode == "hires":
            body = {**BASE, **HIRES, "hr_upscaler": self.upscaler(), **fields}
            if self.is_forge:
                body.setdefault("hr_additional_modules", ["Use same choices"])
                body.setdefault("hr_cfg", 5)
        if mode in ("img2img", "inpaint"):
            body = {**BASE, "init_images": [picture()], "denoising_strength": 0.6, **fields}
        if mode == "inpaint":
            body = {"mask": mask(), "inpainting_fill": 1, "inpaint_full_res": False, "mask_blur": 4, **body}
        if request is not None:
            body["alwayson_scripts"] = {**body.get("alwayson_scripts", {}), SCRIPT: {"args": [request]}}
        kind = "img2img" if mode in ("img2img", "inpaint") else "txt2img"
        answer = self.call(f"/sdapi/v1/{kind}", body)
        images = [Image.open(io.BytesIO(base64.b64decode(one))) for one in answer["images"]]
        return Made(images, json.loads(answer["info"]))

    def from_text(self, text: str, mode: str = "txt2img", **more: Any) -> Made:
        """The one picture that a PNG's text describes, with nothing of ours in it."""
        *prompts, line = OURS.sub("", text).split("\n")
        positive, _, negative = "\n".join(prompts).partition("\nNegative prompt: ")
        said = dict(re.findall(r'\s*([\w ]+): ("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)', line))
        said = {key: json.loads(value) if value.startswith('"') else value for key, value in said.items()}
        width, height = said["Size"].split("x")
        fields: dict[str, Any] = {
            "prompt": positive,
            "negative_prompt": negative,
            "width": int(width),
            "height": int(height),
            "override_settings": {"sd_model_checkpoint": said["Model"]},
            **{name: kind(said[key]) for key, (name, kind) in READ.items() if key in said},
        }
        if "Clip skip" in said:
            fields["override_settings"]["CLIP_stop_at_last_layers"] = int(said["Clip skip"])
        return self.make(mode, **{**fields, **more})
