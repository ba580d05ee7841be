"""The WebUI's door to the Train tab."""

import importlib

from modules import script_callbacks


def tab():
    return importlib.import_module("lib_lora_train.ui.train_tab").tab()


script_callbacks.on_ui_tabs(tab)
