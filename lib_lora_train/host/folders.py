"""Where this WebUI's people keep what they make with us, and where wildcards are looked for."""

from __future__ import annotations

from pathlib import Path

from lib_lora_train.host.api import Host

HOME = "lora-loop"
OURS = Path(__file__).resolve().parents[2] / "wildcards"
OTHERS = ("sd-dynamic-prompts", "stable-diffusion-webui-wildcards")


def home(host: Host) -> Path:
    """The folder of jobs, cache and the person's own wildcards."""
    given = host.flag("lora_loop_home")
    return Path(given).absolute() if given else host.data_folder / HOME


def wildcard_roots(host: Host) -> list[Path]:
    """The wildcard folders in order; the first that has a name wins."""
    option = host.option("wildcard_dir")
    found = [home(host) / "wildcards"]
    if isinstance(option, str) and option.strip():
        found.append(Path(option.strip()).absolute())
    found += [host.data_folder / "extensions" / name / "wildcards" for name in OTHERS]
    return list(dict.fromkeys([*(folder for folder in found if folder.is_dir()), OURS]))
