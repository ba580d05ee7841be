# pyright: basic
"""What would train here, asked of torch: run as a child of the host, which never imports torch itself.

`main` prints one JSON list, an object for each GPU: name, total and free memory in bytes, and the speed that it
promises in half precision. Without one it is the processor: no memory, and the speed of a matrix product in fp32.
"""

from __future__ import annotations

import json
import sys
import time

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


SIDE = 1024
"""Of the matrices that the processor's speed is measured with: some hundredths of a second each."""
TRIES = 5


def main(arguments: list[str]) -> int:
    """Print the GPUs, or the processor."""
    import torch

    cards = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        capability = (about.major, about.minor)
        clock = getattr(about, "clock_rate", 0) * 1e3  # Hz; older builds do not tell
        tflops = about.multi_processor_count * clock * PER_CLOCK.get(capability, 0) / 1e12
        cards.append({"name": about.name, "total": total, "free": free, "tflops": round(tflops, 1)})
    if not cards and not torch.backends.mps.is_available():
        cards.append({"name": "CPU", "total": 0, "free": 0, "tflops": round(_processor_tflops(), 4)})
    sys.stdout.write(json.dumps(cards) + "\n")
    return 0


def _processor_tflops() -> float:
    import torch

    one, best = torch.rand(SIDE, SIDE), float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        torch.mm(one, one)
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best / 1e12
