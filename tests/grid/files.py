"""LoRA files that are small and real: kohya's names, alphas, metadata; and a plan over them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora_train.grid import discover, plan, prompts
from lib_lora_train.grid.compose import png_bytes
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.plan import Axis, Cell, Checkpoint, Plan, Request
from lib_lora_train.grid.prompts import GridPrompt
from lib_lora_train.grid.render import Failure, Picture
from lib_lora_train.prompt import Context, Expander, Wildcards

CONTEXT = 768
TO_K = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def write_lora(path: Path, number: int, metadata: dict[str, str] | None = None, context: int = CONTEXT) -> Path:
    """A LoRA of one module whose numbers depend on `number`."""
    shapes = {f"{TO_K}.alpha": [], f"{TO_K}.lora_down.weight": [1, context], f"{TO_K}.lora_up.weight": [2, 1]}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        values = struct.pack(f"<{count}f", *[number + index / 7 for index in range(count)])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def kohya(name: str, epoch: int, epochs: int = 10, steps: int = 40) -> dict[str, str]:
    """What kohya writes about when a file was saved."""
    return {
        "ss_output_name": name,
        "ss_epoch": str(epoch),
        "ss_steps": str(epoch * steps),
        "ss_num_epochs": str(epochs),
        "ss_training_started_at": "1700000000.0",
        "ss_base_model_version": "sd_v1",
        "modelspec.trigger_phrase": "ohwx cat",
    }


def write_run(folder: Path, name: str = "x", epochs: int = 3) -> Run:
    """A run as this trainer leaves it: the last epoch under both names."""
    for epoch in range(1, epochs + 1):
        write_lora(folder / f"{name}-{epoch:06d}.safetensors", epoch, kohya(name, epoch, epochs))
    write_lora(folder / f"{name}.safetensors", epochs, kohya(name, epochs, epochs) | {"ss_training_finished_at": "1"})
    return discover.find(str(folder / f"{name}.safetensors"))


def make_plan(run: Run, wildcards: Sequence[Path] = (), **changes: Any) -> Plan:
    """A plan of all epochs, two weights with the control, two prompts, two seeds; `changes` replace its parts."""
    card = changes.pop(
        "prompts", (GridPrompt("in", "[trigger] on a mat"), GridPrompt("out", "a teapot", trigger=False))
    )
    seeds = changes.pop("seeds", (1, 2))
    drawn = prompts.draw_all(card, seeds, Expander(Context(Wildcards(list(wildcards)))), run.trigger, run.names)
    settings = {"width": 64, "height": 48, "steps": 4, "cfg_scale": 7.0, "sampler_name": "euler", "clip_skip": 1}
    parts: dict[str, Any] = {
        "run": run.name,
        "epochs": run.usable,
        "weights": (0.0, 0.5, 1.0),
        "prompts": card,
        "seeds": seeds,
        "checkpoints": (Checkpoint("base.safetensors", Path("base.safetensors"), "b" * 64),),
        "settings": settings,
        "drawn": tuple(drawn),
    }
    return plan.make(Request(**parts | changes))


class Painter:
    """A renderer whose pictures are colours that follow from the cell; it counts what it draws and loads."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.drawn: list[Cell] = []
        self.loads: list[tuple[str, str]] = []
        self.broken = set(broken)

    def draw(self, cells: Sequence[Cell]) -> Sequence[Picture | Failure]:
        assert len({cell.lora_set for cell in cells}) == 1
        return [self._one(cell) for cell in cells]

    def _one(self, cell: Cell) -> Picture | Failure:
        self.drawn.append(cell)
        state = cell.checkpoint.name, cell.epoch.name if cell.epoch else ""
        if not self.loads or self.loads[-1] != state:
            self.loads.append(state)
        if cell.epoch and cell.epoch.name in self.broken:
            return Failure("The memory does not suffice for this size; choose a smaller one.")
        return Picture(png_bytes(picture_of(cell), cell.prompt), f"{cell.prompt}\nSteps: 4, Seed: {cell.seed}")


def picture_of(cell: Cell) -> Image.Image:
    """The picture that `Painter` draws."""
    colour = tuple(int(cell.key[at : at + 2], 16) for at in (0, 2, 4))
    picture = Image.new("RGB", (int(cell.settings["width"]), int(cell.settings["height"])), colour)
    picture.putpixel((0, 0), (255 - colour[0], 0, 0))
    return picture


__all__ = ["Axis", "Painter", "kohya", "make_plan", "picture_of", "write_lora", "write_run"]
