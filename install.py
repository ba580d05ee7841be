"""Run by the WebUI at every start. Adds one small pure-Python package where Python itself lacks it, and nothing else.

The trainer's own packages are not installed here but at first use, into a folder of their own: see
`lib_lora_train/environment`.
"""

from __future__ import annotations

import importlib.util
import sys

TOMLI = "tomli==2.4.1"  # reads presets; Python has it from 3.11 on, and nothing of the host depends on it


def main() -> None:
    """Install what is missing; a problem is one line, never a failed start."""
    if sys.version_info >= (3, 11) or importlib.util.find_spec("tomli") is not None:
        return
    try:
        from launch import run_pip  # type: ignore[import-not-found]  # the WebUI's; silent under --skip-install

        run_pip(f"install {TOMLI}", "tomli for LoRA Loop")
    except (Exception, SystemExit) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(
            f"LoRA Loop: {TOMLI} could not be installed, so TOML presets cannot be read ({first}); run: {sys.executable} -m pip install {TOMLI}"
        )


if __name__ == "__main__":
    main()
