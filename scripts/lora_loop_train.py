"""The WebUI's door to the Train tab, and to the card that training and drawing share."""

import importlib

from modules import script_callbacks

from lib_lora_train.host import door


def tab():
    return importlib.import_module("lib_lora_train.ui.train_tab").tab()


if door.works_here():
    script_callbacks.on_ui_tabs(tab)
    script_callbacks.on_app_started(lambda *_: door.started())  # with --nowebui too
    door.loading()
    door.lend()
