"""Runs the three jobs that the recorder in a WebUI writes down, and adds the words of the WebUI's page to what it wrote:
`python -m tests.host.record http://127.0.0.1:7860 FILE.json`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.webui.client import WebUI

SPOKEN = ("label", "info", "placeholder")
LONGEST = 24


def main() -> None:
    webui, file = WebUI(sys.argv[1]), Path(sys.argv[2])
    for mode in ("txt2img", "hires", "img2img"):
        webui.make(mode, prompt="a cat", n_iter=2, batch_size=2)
    record = json.loads(file.read_text("utf-8"))
    record["words"] = sorted(words(webui.call("/config")))
    file.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False), "utf-8")


def words(config: dict[str, Any]) -> set[str]:
    """The short texts of the page that the WebUI translates by a localization, without what is ours."""
    found: set[str] = set()
    for part in config["components"]:
        props = part["props"]
        if "lora_loop" in str(props.get("elem_id")) or "lora loop" in str(props.get("label")).lower():
            continue
        texts = [props.get(name) for name in SPOKEN]
        texts += [props.get("value")] if part["type"] in ("button", "markdown", "tabitem") else []
        texts += [one[0] if isinstance(one, (list, tuple)) else one for one in props.get("choices") or []]
        found |= {text.strip() for text in texts if isinstance(text, str) and 0 < len(text.strip()) <= LONGEST}
    return {
        text for text in found if re.search("[A-Za-z]{2}", text) and not re.search(r"lora.?loop|\.\w+$", text, re.I)
    }


if __name__ == "__main__":
    main()
