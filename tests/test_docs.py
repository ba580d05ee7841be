"""What is written for people agrees with the code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from lib_lora_train.train import presets

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_options_is_made_from_the_declarations() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "document_options.py"))["document"]()
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == made


def test_every_preset_is_sound_and_says_where_its_figures_come_from() -> None:
    found = [presets.read(path) for path in presets.paths(ROOT / "nowhere")]
    assert {"person", "person-large", "face", "object", "small", "mascot"} <= {preset.name for preset in found}
    for preset in found:
        assert preset.title and preset.about and preset.source, preset.name


def test_the_readme_names_presets_and_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for preset in presets.paths(ROOT / "nowhere"):
        assert f"`{preset.stem}`" in text
    for link in ("docs/options.md", "docs/prompt_language.md", "LICENSE"):
        assert f"]({link})" in text and (ROOT / link).is_file()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_pictures_of_the_tab_are_small_and_each_is_shown() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    for picture in (ROOT / "docs" / "pictures").glob("train_*"):
        assert picture.stat().st_size < 150_000 and f"pictures/{picture.name})" in pages, picture.name
