"""How the small base is made and compared: its recipe in little, what is compared, and the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_lora_train.demo.judge import Judge
from lib_lora_train.demo.models import BASE
from lib_lora_train.demo.paint import Painter
from lib_lora_train.demo.world.characters import CHARACTERS
from tools.small_base.compare import OPTIMIZERS, RANKS, Run, plan
from tools.small_base.report import write_report

ROOT = Path(__file__).parents[2]


def test_everybody_and_every_setting_is_compared_once() -> None:
    runs = plan(False, [])
    assert len(set(runs)) == len(runs) == len({run.name for run in runs})
    for others in (True, False):
        assert {run.trigger for run in runs if run.others is others} == {one.trigger for one in CHARACTERS}
    for who in ("zorpi", "wetwash"):
        settings = {(one.rank, one.optimizer, one.text_encoder) for one in runs if one.trigger == who and one.others}
        assert settings == {(r, name, te) for r in RANKS for name in OPTIMIZERS for te in (True, False)}


def _result(run: Run, device: str, *epochs: tuple[float, float]) -> dict[str, Any]:
    scored = [{"epoch": at, "likeness": a, "leak": b, "obedience": 1.0} for at, (a, b) in enumerate(epochs)]
    return {"trigger": run.trigger, "others": run.others, "setting": run.setting, "device": device, "epochs": scored}


def test_the_table_says_the_best_epoch_and_where_it_was_trained(tmp_path: Path) -> None:
    runs = [
        _result(Run("zorpi"), "a card", (0, 0), (0.7, -0.3), (0.9, 0.6)),
        _result(Run("zorpi", 4), "a processor", (0, 0), (0.5, 0.1), (0.8, 0.2)),
        _result(Run("zorpi", others=False), "a card", (0, 0), (0.9, 0.9), (0.9, 0.8)),
    ]
    base = {"place": 1.0, "all": 0.5, "prompts": 144}
    told = {"base": base, "steps": 360, "rate": 1e-3, "pictures": 24, "runs": runs}
    write_report(json.loads(json.dumps(told)), tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| zorpi | rank")]
    assert rows == [
        "| zorpi | rank 16, with text encoder, AdamW | 0.90 | 0.60 | 1.00 | 1: 0.70 / -0.30 |",
        "| zorpi | rank 4, with text encoder, AdamW \\* | 0.80 | 0.20 | 1.00 | 2: 0.80 / 0.20 |",
        "| zorpi | rank 16, with text encoder, AdamW, no class photos | 0.90 | 0.80 | 1.00 | 2: 0.90 / 0.80 |",
    ]
    assert "Trained on a card; a processor, where marked \\*." in text
    assert "| zorpi | 0.00 / 0.00 / 1.00 | 0.90 / 0.90 / 1.00 | 0.90 / 0.80 / 1.00 |" in text


@pytest.mark.slow
def test_the_recipe_makes_a_base_and_a_judge(tmp_path: Path) -> None:
    """All stages in little, from the shipped base."""
    few = "--pictures 20 --individuals 20 --sketches 8 --batch 12 --vae-steps 1 --judge-steps 2 --painter-steps 2"
    command = [sys.executable, "-m", "tools.small_base", "--out", str(tmp_path), "--start", str(BASE), *few.split()]
    done = subprocess.run([*command, "--processes", "2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "that it has not seen, right: kind" in done.stdout
    assert Painter(tmp_path / "small.safetensors").base.info.name
    Judge(tmp_path / "judge.safetensors")
