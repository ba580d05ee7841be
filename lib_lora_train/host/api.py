"""What the rest of the project may ask of a WebUI. The adapters answer; nobody else imports `modules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_lora_train.keywords.catalogue import Catalogue

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """One picture with the text that its PNG carries."""

    image: Image.Image
    infotext: str
    seed: int


class Host(Protocol):
    """A running WebUI. All paths are absolute; every method may be called from any thread unless it says otherwise."""

    @property
    def name(self) -> str:
        """The WebUI's name and version, for people: "AUTOMATIC1111 v1.10.1"."""
        ...

    @property
    def data_folder(self) -> Path:
        """Where the WebUI keeps what people make (`--data-dir`)."""
        ...

    @property
    def lora_folder(self) -> Path | None:
        """Where LoRA files are put."""
        ...

    @property
    def lora_folders(self) -> tuple[Path, ...]:
        """Where it looks for LoRA files: the folder above first."""
        ...

    def catalogue(self) -> Catalogue:
        """The names known at this moment: checkpoints, VAEs, samplers, schedulers, upscalers, styles, LoRAs."""
        ...

    def option(self, name: str, default: Any = None) -> Any:
        """The value of a setting of the WebUI (ours too), or `default` where there is none of that name."""
        ...

    def is_non_local(self) -> bool:
        """Whether others may reach the page (`--listen`, `--share`, `--server-name`) without a password."""
        ...

    def flag(self, name: str, default: Any = None) -> Any:
        """The value of a flag of the command line (`lora_loop_home`), or `default`."""
        ...

    def render(self, fields: Mapping[str, Any]) -> Sequence[Picture]:
        """Make pictures from text: `fields` are named as in the WebUI's txt2img API. Takes the WebUI's queue lock.

        Raises what the WebUI raises. Not to be called from within one of its hooks.
        """
        ...
