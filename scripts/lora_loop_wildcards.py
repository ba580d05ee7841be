"""The WebUI's door to the wildcards tab and to the page's settings."""

import importlib

from modules import script_callbacks

from lib_lora_train.host import door
from lib_lora_train.host.settings import add_settings


def tab():
    return importlib.import_module("lib_lora_train.ui.wildcards_tab").tab()


def settings():
    add_settings(importlib.import_module("lib_lora_train.ui.settings").PAGE_SETTINGS)


if door.works_here():
    script_callbacks.on_ui_tabs(tab)
    script_callbacks.on_ui_settings(settings)
