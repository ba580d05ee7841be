"""What one LoRA file is, from its header alone, and whether it can be used with a base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from lib_lora_train.files.errors import FilesError
from lib_lora_train.files.reading import opened
from lib_lora_train.files.safetensors_header import TensorHeader, read_header

_BLOCK = 4 << 20
_SUFFIXES = (".lora_down.weight", ".lora_A.weight", ".lora_down", ".hada_w1_b", ".lokr_w1", ".oft_blocks")
FAMILIES = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}
_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_TRIGGERS = ("ss_lora_loop_trigger", "modelspec.trigger_phrase")


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file. `problem` is one sentence when it cannot be used, else empty.

    `context` is the width of the text that its cross-attention takes (768 for SD 1.x), 0 when it has none.
    """

    path: Path
    problem: str = ""
    family: str = ""
    context: int = 0
    metadata: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def epoch(self) -> int | None:
        """The epoch after which it was saved, by its metadata."""
        return _whole(self.metadata.get("ss_epoch"))

    @property
    def step(self) -> int | None:
        return _whole(self.metadata.get("ss_steps"))

    @property
    def output_name(self) -> str:
        return self.metadata.get("ss_output_name", "")

    @property
    def session(self) -> str:
        """What tells this training run from another one of the same name; empty when unknown."""
        return self.metadata.get("ss_training_started_at", "")

    @property
    def trigger(self) -> str:
        """The trigger words in the metadata, for a file without a card."""
        return next((self.metadata[key] for key in _TRIGGERS if self.metadata.get(key)), "")


def read(path: Path) -> LoraFile:
    """The file as its header describes it; never raises for what is wrong with the file."""
    try:
        if path.stat().st_size == 0:
            return LoraFile(path, "it is empty (0 bytes): the disk was full or the copy failed; save or copy it again.")
        header = read_header(path)
    except FilesError as error:
        return LoraFile(path, str(error).removeprefix(f"{path.name} "))
    except OSError as error:
        return LoraFile(path, f"it cannot be read ({error.strerror or error}); check its permissions.")
    if not any(name.endswith(_SUFFIXES) for name in header.tensors):
        return LoraFile(path, "it is no LoRA (it has no up and down weights); choose another file.")
    context = context_width(header)
    return LoraFile(path, "", _family(header, context), context, header.metadata)


def context_width(header: TensorHeader) -> int:
    """The width of the text that cross-attention takes, of a LoRA or of a base; 0 when nothing says so."""
    for name, entry in header.tensors.items():
        dotted = name.replace("_", ".")
        if "attn2.to.k." in dotted and dotted.endswith(("down.weight", "lora.A.weight", "to.k.weight")):
            return entry.shape[1] if len(entry.shape) > 1 else 0
    return 0


def misfit(lora: LoraFile, base: Path | None) -> str:
    """One sentence when `lora` is for another kind of base than the checkpoint `base`, else empty."""
    if base is None or not lora.context or base.is_dir():
        return ""
    try:
        wanted = context_width(read_header(base))
    except FilesError:
        return ""  # what is wrong with the base is said where the base is opened
    if not wanted or wanted == lora.context:
        return ""
    kinds = [FAMILIES.get(_WIDTHS.get(width, ""), f"a base of width {width}") for width in (lora.context, wanted)]
    return f"it is for {kinds[0]}, and {base.name} is {kinds[1]}; choose the base it was trained on."


def content_hash(path: Path) -> str:
    """SHA-256 of the tensors alone: the same for two files that differ in name and metadata only.

    A file is read once as long as its size and times stay what they are. Raises FilesError when it is damaged,
    OSError when it cannot be read.
    """
    stamp = path.stat()
    return _hash_of(path, (stamp.st_size, stamp.st_mtime_ns, stamp.st_ctime_ns, stamp.st_ino))


@lru_cache(maxsize=4096)
def _hash_of(path: Path, _stamp: tuple[int, ...]) -> str:
    header = read_header(path)
    table = [(name, entry.dtype, entry.shape) for name, entry in header.tensors.items()]
    digest = hashlib.sha256(json.dumps(table).encode())
    with opened(path, buffering=0) as stream:
        stream.seek(min((entry.start for entry in header.tensors.values()), default=0))
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _family(header: TensorHeader, context: int) -> str:
    stated = header.metadata.get("ss_base_model_version", "") + header.metadata.get("modelspec.architecture", "")
    if "sdxl" in stated or "-xl-" in stated or any(name.startswith("lora_te2_") for name in header.tensors):
        return "sdxl"
    if "v2" in stated or header.metadata.get("ss_v2") == "True":
        return "sd2"
    return _WIDTHS.get(context, "sd1" if stated else "")


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text)) if text else None
    except (ValueError, OverflowError):
        return None
