"""The only package that knows a WebUI: one adapter a family of hosts behind one protocol, found by feature.

    from lib_lora_train import host
    webui = host.find()                      # a host.api.Host; raises HostError outside a WebUI
    host.expand_text(p, "a __hue__ mask")    # for other extensions: their text, with this image's choices

No module of the WebUI is imported before `find` (or a hook of the script) is called.
"""

from __future__ import annotations

from lib_lora_train.host.finding import find
from lib_lora_train.host.text import expand_text

__all__ = ["expand_text", "find"]
