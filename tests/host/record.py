"""Runs the three jobs that the recorder in a WebUI writes down: `python -m tests.host.record http://127.0.0.1:7860`."""

from __future__ import annotations

import sys

from tests.webui.client import WebUI


def main() -> None:
    webui = WebUI(sys.argv[1])
    for mode in ("txt2img", "hires", "img2img"):
        webui.make(mode, prompt="a cat", n_iter=2, batch_size=2)


if __name__ == "__main__":
    main()
