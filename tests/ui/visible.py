"""Every string that the page shows, gathered from where it is declared."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

from lib_lora_train.host.grid_form import GridForm
from lib_lora_train.host.request import MODES, Request
from lib_lora_train.host.settings import SETTINGS
from lib_lora_train.ui.settings import PAGE_SETTINGS
from lib_lora_train.ui.train import form

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "lib_lora_train" / "ui").rglob("*.py"))


def marked(tree: ast.AST) -> set[str]:
    """The strings that `shown` marks."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        str(ast.literal_eval(call.args[0]))
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "shown"
    }


def strings() -> set[str]:
    """All of them; a setting's explanation stands in parentheses in the WebUI's settings page."""
    found = {text for source in SOURCES for text in marked(ast.parse(source.read_text("utf-8")))}
    for one in (*fields(Request), *fields(GridForm)):
        found |= {one.metadata["label"], one.metadata["help"]}
    for option in form.fields():
        found |= {option.label, option.help}
    found.add(form.DEFAULT)
    for setting in (*SETTINGS, *PAGE_SETTINGS):
        found |= {setting.label, f"({setting.info})", *setting.choices} if setting.info else {setting.label}
    explained = {setting.info for setting in PAGE_SETTINGS}
    return (found | set(MODES)) - explained
