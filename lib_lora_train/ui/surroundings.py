"""What the page knows of the WebUI around it: our folders, the wildcard roots in their order, and what is allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from lib_lora_train.host.api import Host
from lib_lora_train.host.folders import OURS, home, wildcard_roots
from lib_lora_train.host.settings import LENIENT, MISSING, MOST
from lib_lora_train.prompt import Context, Wildcards
from lib_lora_train.prompt.template import Missing
from lib_lora_train.ui import preview
from lib_lora_train.ui.shelf import Root, Shelf
from lib_lora_train.ui.store import Store
from lib_lora_train.ui.words import shown

LABELS = {"sd-dynamic-prompts": "Dynamic Prompts", "stable-diffusion-webui-wildcards": "Wildcards extension"}
"""What people call the extensions whose wildcards are read as well."""

SHARED = shown(
    "This WebUI can be reached by others, so wildcards can be looked at but not changed; "
    "start it with --lora-loop-allow-remote to allow changes."
)

LORAS_SHARED = shown(
    "This WebUI can be reached by others, so LoRA files are not moved; "
    "start it with --lora-loop-allow-remote to allow it."
)


def roots(host: Host) -> list[Root]:
    """Where wildcards are looked for, as the drawing does; the person's own folder is first, also before it is there."""
    own = home(host) / "wildcards"
    found = [Root(own, shown("Your wildcards"), own=True)]
    return found + [Root(folder, _label(folder)) for folder in wildcard_roots(host) if folder != own]


def _label(folder: Path) -> str:
    if folder == OURS:
        return "LoRA Loop"
    return LABELS.get(folder.parent.name, shown("Wildcard folder of the settings"))


def refusal(host: Host, why: str = SHARED) -> str:
    """Why nothing may be written from this page (`why`, in the words of what would be written), "" when it may."""
    return why if host.is_non_local() and not host.flag("lora_loop_allow_remote") else ""


class Reading:
    """Wildcards that one person at a time draws from."""

    def __init__(self, found: tuple[Root, ...]) -> None:
        self.wildcards = Wildcards([root.folder for root in found], limits=preview.LIMITS)
        self.lock = threading.Lock()


@dataclass(frozen=True)
class Desk:
    """What the page works with: wildcards for the preview, and shelf and store for the wildcards tab."""

    preview: Reading
    shelf: Shelf
    store: Store
    refusal: Callable[[], str]


def desk(host: Host) -> Desk:
    """The shelf and the store of this WebUI; the same ones as long as the folders are the same."""
    return _desk(host, home(host), tuple(roots(host)))


@lru_cache(maxsize=2)
def _desk(host: Host, folder: Path, found: tuple[Root, ...]) -> Desk:
    refused = lambda: refusal(host)  # noqa: E731
    return Desk(
        Reading(found), Shelf(found), Store(folder / "wildcards", folder / "trash" / "wildcards", refused), refused
    )


def drawing(host: Host) -> Context:
    """How the settings say that prompts are drawn (without wildcards)."""
    missing = host.option(MISSING.name, MISSING.default)
    kind = cast("Missing", missing if missing in MISSING.choices else MISSING.default)
    return Context(lenient=bool(host.option(LENIENT.name, LENIENT.default)), missing=kind)


def most_images(host: Host) -> int:
    """How many images the combinatorial mode makes at most when it is not told."""
    return int(host.option(MOST.name, MOST.default))
