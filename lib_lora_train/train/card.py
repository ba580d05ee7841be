"""The host's card beside a LoRA file: trigger, weight and notes as JSON, and a preview picture."""

from __future__ import annotations

import shutil
from pathlib import Path

from lib_lora_train.files import atomic
from lib_lora_train.train.config import TrainConfig

SD_VERSIONS = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"}


def write_card(lora: Path, config: TrainConfig, family: str, summary: str, preview: Path | None) -> None:
    """Write `NAME.json` as the WebUI's card editor does, and `NAME.png` when there is a preview.

    An existing card is left alone: the person may have edited it.
    """
    card = lora.with_suffix(".json")
    if not card.exists():
        atomic.write_json(
            card,
            {
                "description": config.save.comment,
                "sd version": SD_VERSIONS[family],
                "activation text": config.trigger_prompt,
                "preferred weight": config.save.preferred_weight,
                "negative text": "",
                "notes": summary,
            },
        )
    if preview and preview.exists():
        with preview.open("rb") as source, atomic.replacing(lora.with_suffix(".png")) as target:
            shutil.copyfileobj(source, target)
