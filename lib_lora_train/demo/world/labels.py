"""What can be asked about a picture of the world, and the answers in their order."""

from __future__ import annotations

from lib_lora_train.demo.world.places import PLACES
from lib_lora_train.demo.world.scene import COUNTS
from lib_lora_train.demo.world.styles import HELD_OUT_STYLES, STYLES
from lib_lora_train.demo.world.subjects import COLOURS, HATS, HELD_OUT_HATS, HELD_OUT_PATTERNS, KINDS, PATTERNS

LABELS: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "colour": tuple(COLOURS),
    "pattern": (*PATTERNS, *HELD_OUT_PATTERNS),
    "hat": (*HATS, *HELD_OUT_HATS),
    "place": PLACES,
    "style": (*STYLES, *HELD_OUT_STYLES),
    "count": COUNTS,
}
