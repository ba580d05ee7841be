"""The other extensions' scripts that run in each job, as the WebUI keeps them on the job."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib_lora_train.host.modules import attribute
from lib_lora_train.host.request import TITLE

PROCESS = "process"


def of_job(p: Any) -> Iterator[Any]:
    """The always-on scripts of a job, ours left out."""
    scripts: list[Any] = list(getattr(getattr(p, "scripts", None), "alwayson_scripts", None) or ())
    yield from (script for script in scripts if name_of(script) != TITLE)


def of_page(is_img2img: bool) -> Iterator[Any]:
    """Those of txt2img or img2img, as soon as the WebUI has loaded them."""
    runner = attribute("modules.scripts", "scripts_img2img" if is_img2img else "scripts_txt2img")
    scripts: list[Any] = list(getattr(runner, "alwayson_scripts", None) or ())
    yield from (script for script in scripts if name_of(script) != TITLE)


def name_of(script: Any) -> str:
    """The script's title, or its file's name where it cannot say one."""
    try:
        return str(script.title())
    except Exception:  # another extension's code
        return Path(str(getattr(script, "filename", "") or "another extension")).stem


def arguments_of(script: Any) -> tuple[str, ...]:
    """The names of what `process` is given, in the order of the job's `script_args`."""
    method: Any = getattr(script.__class__, PROCESS, None)
    try:
        return tuple(inspect.signature(method).parameters)[2:]
    except (TypeError, ValueError):
        return ()
