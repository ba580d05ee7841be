"""Importing the package is cheap, and needs neither the parser nor a host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_importing_loads_no_parser_and_no_torch() -> None:
    heavy = "{'lark', 'yaml', 'torch', 'transformers', 'numpy', 'modules', 'gradio'}"
    code = f"import sys, lib_lora_train.prompt as p; p.Expander().draw('plain, (text:1.2)', 1); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_drawing_needs_only_lark() -> None:
    code = "import sys, lib_lora_train.prompt as p; p.Expander().draw('{a|b}', 1); assert not {'yaml', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_captions_are_drawn_by_seed_image_and_epoch() -> None:
    from lib_lora_train.prompt import Expander, seed_of

    assert seed_of(7, "img 01.png", 3) == FIXED
    drawn = [Expander().draw("{painting|artwork} of it", seed_of(7, "img 01.png", epoch)).text for epoch in range(20)]
    assert set(drawn) == {"painting of it", "artwork of it"}


FIXED = 665910072526782498
