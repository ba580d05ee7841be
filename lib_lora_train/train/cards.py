# pyright: basic
"""What cards are here, asked of torch: run as a child of the host, which never imports torch itself.

`main` prints one JSON list, an object for each card: name, total and free memory in bytes, and the speed that it
promises in half precision.
"""

from __future__ import annotations

import json
import sys

PER_CLOCK = {
    (7, 0): 1024,
    (7, 5): 512,
    (8, 0): 2048,
    (8, 6): 512,
    (8, 7): 512,
    (8, 9): 512,
    (9, 0): 4096,
    (10, 0): 8192,
    (12, 0): 512,
}
"""Half precision operations with fp32 sums that a multiprocessor does in a clock, by compute capability (NVIDIA's
architecture papers); the cards for players have half of what theirs promise with fp16 sums."""


def main(arguments: list[str]) -> int:
    """Print the cards."""
    import torch

    cards = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        capability = (about.major, about.minor)
        clock = getattr(about, "clock_rate", 0) * 1e3  # Hz; older builds do not tell
        tflops = about.multi_processor_count * clock * PER_CLOCK.get(capability, 0) / 1e12
        cards.append({"name": about.name, "total": total, "free": free, "tflops": round(tflops, 1)})
    sys.stdout.write(json.dumps(cards) + "\n")
    return 0
