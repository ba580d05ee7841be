"""Pictures of each epoch's file and what the judge says of them, in one process that keeps the base on its device."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageOps

from lib_lora_train.demo.judge import Judge
from lib_lora_train.demo.models import BASE, JUDGE
from lib_lora_train.demo.paint import Painter, sample
from lib_lora_train.demo.score import Examiner, Question, base_questions, exam, shares
from lib_lora_train.demo.world.characters import character

_BATCH = 48
_TILE = 128


class Scorer:
    """What `compare` asks for; `options` and `out` are its own."""

    def __init__(self, options: argparse.Namespace, out: Path) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.cuda.get_device_name() + " (bf16)" if device.type == "cuda" else "a processor (fp32)"
        self._painter = Painter(options.base or BASE, device)
        self._judge = Judge(options.judge or JUDGE, device)
        self._seeds, self._steps, self._out = range(1, options.seeds + 1), options.sampling, out
        self._few = options.quick
        self._examiners: dict[str, tuple[Examiner, list[Image.Image]]] = {}

    def base_shares(self) -> dict[str, float]:
        """The base's own obedience over its fixed prompts (every twelfth of them if it is to be quick)."""
        questions = base_questions()[:: 12 if self._few else 1]
        return shares(self._judge.look(self._paint(questions)), questions) | {"prompts": len(questions)}

    def score(self, trigger: str, job: Path) -> dict[str, Any]:
        """Scores of the base and of every epoch's file of a job; the last epoch's pictures are kept beside it."""
        who = character(trigger)
        questions = exam(who, self._seeds).questions
        examiner, base = self._examiner(trigger)
        epochs = [{"epoch": 0} | asdict(examiner.score(base))]
        for number, file in enumerate(sorted((job / "out").glob(f"{trigger}-??????.safetensors")), 1):
            with self._painter.wearing(file):
                pictures = self._paint(questions)
            epochs.append({"epoch": number} | asdict(examiner.score(pictures)))
            self._strip(pictures).save(job / f"epoch-{number}.png")
        return {"epochs": epochs}

    def sheet(self, results: list[dict[str, Any]], path: Path) -> None:
        """For each run in the default setting: photos, then the base's and the LoRA's answers to the exam's first half."""
        chosen = {one["trigger"]: one for one in reversed(results)}
        sheet = Image.new("RGB", (_TILE * 12, len(chosen) * (3 * _TILE + 24)), "white")
        pen = ImageDraw.Draw(sheet)
        for row, (trigger, one) in enumerate(reversed(chosen.items())):
            top = row * (3 * _TILE + 24)
            pen.text((4, top + 6), f"{trigger}: {one['setting']}. Photos; the base; the last epoch", fill="black")
            photos = sorted((self._out / "sets" / trigger).glob("*.jpg"))[:12]
            tiles = [ImageOps.fit(ImageOps.exif_transpose(Image.open(file)), (_TILE, _TILE)) for file in photos]
            sheet.paste(self._strip(tiles), (0, top + 24))
            sheet.paste(self._strip(self._examiner(trigger)[1]), (0, top + 24 + _TILE))
            folder = self._out / "runs" / one["name"]
            sheet.paste(Image.open(sorted(folder.glob("epoch-*.png"))[-1]), (0, top + 24 + 2 * _TILE))
        sheet.save(path, quality=88)

    def _examiner(self, trigger: str) -> tuple[Examiner, list[Image.Image]]:
        if trigger not in self._examiners:
            who = character(trigger)
            base = self._paint(exam(who, self._seeds).questions)
            photos = sorted((self._out / "sets" / trigger).glob("*.jpg"))
            self._examiners[trigger] = (Examiner(who, self._judge, photos, base), base)
        return self._examiners[trigger]

    def _paint(self, questions: tuple[Question, ...]) -> list[Image.Image]:
        wanted = [sample(one.prompt, one.seed, self._steps) for one in questions]
        parts = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]
        return [picture for part in parts for picture in self._painter.paint(part)]

    @staticmethod
    def _strip(pictures: list[Image.Image]) -> Image.Image:
        """Six with the trigger and six without, of the first seed."""
        half = len(pictures) // 2
        chosen = [*pictures[:6], *pictures[half : half + 6]]
        strip = Image.new("RGB", (_TILE * len(chosen), _TILE))
        for at, one in enumerate(chosen):
            strip.paste(one, (at * _TILE, 0))
        return strip
