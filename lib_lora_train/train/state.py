"""Exact resume: the whole state of a run as safetensors and JSON, in a folder that is complete or absent.

There is little to keep. Every random draw, the order of the data and the learning rate are functions of the
position, so the state is the adapter's weights, the optimizer's, the gradient scaler's, and where we are.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from lib_lora_train.files import atomic
from lib_lora_train.train.errors import StateError

VERSION = 1
ADAPTER, OPTIMIZER, POSITION = "adapter.safetensors", "optimizer.safetensors", "state.json"


@dataclass
class Progress:
    """Where a run is. `epoch` (from 1) and `group` (from 0) are the next to be trained; `step` and `images` are done."""

    epoch: int = 1
    group: int = 0
    step: int = 0
    images: int = 0
    window: list[float] = field(default_factory=list)
    """The loss of the last showing of each step of an epoch: kohya's moving average is over these."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the failure monitor remembers."""
    held_out: float | None = None
    """The loss on held-out photos when it was measured last, after `held_out_step` steps."""
    held_out_step: int = -1


@dataclass(frozen=True)
class Snapshot:
    """Everything that a resumed run starts from."""

    progress: Progress
    adapter: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None
    identity: dict[str, Any]
    folder: Path


def save_state(
    root: Path,
    progress: Progress,
    adapter: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> Path:
    """Write `root/step-000450/`, whole or not at all, then point `latest` to it. `extra` holds scaler and identity.

    Raises DiskError; the states before stay as they are.
    """
    folder = root / f"step-{progress.step:06d}"
    tensors: dict[str, torch.Tensor] = {}
    plan = {
        "version": VERSION,
        "progress": dataclasses.asdict(progress),
        "adapter": sorted(adapter),
        "optimizer": _pack(optimizer, tensors, "optimizer"),
        **extra,
    }
    with atomic.disk_errors(folder.name, root):
        root.mkdir(parents=True, exist_ok=True)
        if folder.exists():  # it could not be read, else the run would have gone on from it
            shutil.rmtree(folder)
    with atomic.replacing_folder(folder) as temporary:
        (temporary / ADAPTER).write_bytes(save({name: _on_cpu(tensor) for name, tensor in adapter.items()}))
        atomic.checkpoint("adapter")
        (temporary / OPTIMIZER).write_bytes(save(tensors))
        atomic.checkpoint("optimizer")
        (temporary / POSITION).write_text(json.dumps(plan), encoding="utf-8")
    atomic.write_text(root / "latest", folder.name + "\n")
    return folder


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest `keep` states; what cannot be removed is left."""
    for folder in list(_complete(root))[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def load_state(root: Path) -> tuple[Snapshot | None, list[str]]:
    """The newest state that can be read, and a sentence for each one that could not. None when there is none.

    `latest` is a hint; the folders themselves decide, so a lost pointer costs nothing.
    """
    atomic.sweep(root)
    skipped: list[str] = []
    for folder in _complete(root):
        try:
            return _read(folder), skipped
        except StateError as error:
            skipped.append(f"{error} The state before it is used.")
    return None, skipped


def _complete(root: Path) -> Iterator[Path]:
    """State folders, newest first. A folder under its final name was renamed whole."""
    found = (
        [folder for folder in root.glob("step-*") if folder.is_dir() and folder.name[5:].isdigit()]
        if root.is_dir()
        else []
    )
    return iter(sorted(found, key=lambda folder: int(folder.name[5:]), reverse=True))


def _read(folder: Path) -> Snapshot:
    try:
        plan = json.loads((folder / POSITION).read_text(encoding="utf-8"))
        if plan["version"] > VERSION:
            raise StateError(f"The state {folder.name} was written by a newer version of this program.")
        tensors, adapter = load_file(folder / OPTIMIZER), load_file(folder / ADAPTER)
        if missing := set(plan["adapter"]) - adapter.keys():
            raise KeyError(min(missing))
        return Snapshot(
            progress=Progress(**plan["progress"]),
            adapter=adapter,
            optimizer=_unpack(plan["optimizer"], tensors),
            scaler=plan.get("scaler"),
            identity=plan.get("identity", {}),
            folder=folder,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StateError(f"The state {folder.name} is damaged ({type(error).__name__}: {error}).") from error


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu").contiguous()


def _pack(value: Any, tensors: dict[str, torch.Tensor], name: str) -> Any:
    """`value` as JSON: tensors go to `tensors`, and what JSON does not have is tagged."""
    if isinstance(value, torch.Tensor):
        # Two entries may share memory, which safetensors refuses; a copy costs less than telling them apart.
        tensors[name] = _on_cpu(value).clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {
            "map": [[_pack(key, tensors, name), _pack(item, tensors, f"{name}.{key}")] for key, item in value.items()]
        }
    if isinstance(value, (list, tuple)):
        tag = "tuple" if isinstance(value, tuple) else "list"
        return {tag: [_pack(item, tensors, f"{name}.{index}") for index, item in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise StateError(
        f"The optimizer keeps a {type(value).__name__} ({name}) that cannot be saved safely; choose another optimizer."
    )


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    [(tag, content)] = value.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "map":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if tag == "tuple" else items
