"""The host's card beside a LoRA file: trigger, weight and notes as JSON, and a preview picture."""

from __future__ import annotations

import shutil
from pathlib import Path

from lib_lora_train.files import atomic
from lib_lora_train.files import card as cards
from lib_lora_train.train.config import TrainConfig


def write_card(lora: Path, config: TrainConfig, family: str, summary: str, preview: Path | None) -> None:
    """Write `NAME.json` as the WebUI's card editor does, and `NAME.png` when there is a preview.

    An existing card is left alone: the person may have edited it.
    """
    card = lora.with_suffix(".json")
    if not card.exists():
        save = config.save
        atomic.write_json(
            card, cards.fields(family, config.trigger_prompt, save.preferred_weight, save.comment, summary)
        )
    if preview and preview.exists():
        with preview.open("rb") as source, atomic.replacing(lora.with_suffix(".png")) as target:
            shutil.copyfileobj(source, target)
