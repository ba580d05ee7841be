"""The WebUI's door to random prompts and keywords: it forwards each hook, and does nothing by itself."""

import importlib

from modules import script_callbacks, scripts

from lib_lora_train.host import door
from lib_lora_train.host.request import TITLE
from lib_lora_train.host.settings import add_settings


class Script(scripts.Script):
    """An always-on script of txt2img and img2img."""

    sorting_priority = -1

    def title(self):
        return TITLE

    def show(self, is_img2img):
        return scripts.AlwaysVisible if door.works_here() else False

    def ui(self, is_img2img):
        self.infotext_fields = []
        return importlib.import_module("lib_lora_train.ui.accordion").build(is_img2img, self.infotext_fields)

    def before_process(self, p, *args):
        door.before_process(p, args)

    def process(self, p, *args):
        door.process(p)

    def before_process_batch(self, p, *args, **kwargs):
        door.before_process_batch(p)

    def postprocess_image(self, p, *args):
        door.postprocess_image(p)

    def postprocess(self, p, processed, *args):
        door.postprocess(p, processed)


if door.works_here():
    script_callbacks.on_ui_settings(add_settings)
    script_callbacks.on_infotext_pasted(lambda text, parameters: door.pasted(text, parameters))
