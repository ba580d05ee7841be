"""The WebUI's door to the epoch grid: a selectable script, and axes for the X/Y/Z plot. It does nothing by itself."""

from modules import script_callbacks, scripts

from lib_lora_train.host import axes, door, grid_script
from lib_lora_train.host.grid_form import TITLE
from lib_lora_train.ui import epoch_grid


class Script(scripts.Script):
    """A script of txt2img and img2img."""

    def title(self):
        return TITLE

    def show(self, is_img2img):
        return door.works_here()

    def ui(self, is_img2img):
        return epoch_grid.build(is_img2img)

    def run(self, p, *args):
        return grid_script.run(p, args)


if door.works_here():
    script_callbacks.on_before_ui(axes.add)
