"""docs/keywords.md holds the table of keywords as it is."""

from __future__ import annotations

from pathlib import Path

from lib_lora_train.keywords.table import KEYWORDS, OPTIONS_ALLOWED

PAGE = (Path(__file__).parents[1] / "docs" / "keywords.md").read_text("utf-8")


def row(keyword: object) -> str:
    names = ", ".join(f"`{name}`" for name in (keyword.name, *keyword.aliases))  # type: ignore[attr-defined]
    modes = "all" if len(keyword.modes) == 4 else ", ".join(keyword.modes)  # type: ignore[attr-defined]
    return f"| {names} | {keyword.range} | {modes} | {keyword.help} |"  # type: ignore[attr-defined]


def test_every_keyword_has_its_row() -> None:
    missing = [row(keyword) for keyword in KEYWORDS if row(keyword) not in PAGE]
    assert not missing, "\n".join(missing)
    assert sum(line.startswith("| `") for line in PAGE.split("\n")) == len(KEYWORDS)


def test_every_option_is_named() -> None:
    listed = PAGE.split("## Options of the WebUI")[1]
    assert [name for name in sorted(OPTIONS_ALLOWED) if f"`{name}`" not in listed] == []
