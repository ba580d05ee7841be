"""Predicted and measured card memory of training, side by side: `python tools/measure_memory.py [BASE] [--quick]`.

Without BASE a random one of SD 1.5's full size is written. Each case is a few steps of the real objective, adapter and
optimizer in a process of its own, so that one case's memory is not another's; the whole table takes some minutes on a
card.

Prints a line a case and one JSON object at the end: peak_allocated and peak_reserved in GB, the estimate by part, and
seconds and operations a step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

STEPS = 6
CASE_S = 90.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="eight cases in place of all")
    parser.add_argument("--limit", type=float, default=450.0, metavar="S", help="begin no case after so many seconds")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.base, json.loads(options.case))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or random_base(Path(folder))
        results = table(base, options.quick, time.monotonic() + options.limit)
    print(json.dumps(results))
    return 0


def random_base(folder: Path) -> Path:
    from lib_lora_train.train.base.random_base import write_random_base

    path = folder / "random.safetensors"
    write_random_base(path, "full", seed=0)
    return path


def cases(quick: bool) -> list[dict[str, Any]]:
    """The settings of each case, the ones that tell most first."""
    product = itertools.product((512, 768), (1, 4), (False, True), (16, 64), ("AdamW", "AdamW8bit"))
    found = [
        {"resolution": size, "batch": batch, "checkpointing": twice, "rank": rank, "optimizer": name, "text": True}
        for size, batch, twice, rank, name in product
    ]
    few = [one for one in found if (one["rank"], one["optimizer"]) == (16, "AdamW")]
    without_text = [{**one, "text": False} for one in few if one["resolution"] == 512]
    return few if quick else [*few, *without_text, *(one for one in found if one not in few)]


def table(base: Path, quick: bool, deadline: float) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for case in cases(quick):
        if time.monotonic() > deadline:
            print("The time is over; the cases left are not measured.", flush=True)
            break
        command = [sys.executable, __file__, str(base), "--case", json.dumps(case)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CASE_S)
            result = json.loads(done.stdout.strip().splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            print(f"{case}: {type(error).__name__}: {getattr(error, 'stderr', '') or done.stderr[-400:]}", flush=True)
            continue
        results.append(result)
        ratio = result["peak_reserved"] / max(1e-9, result["predicted"]["total"] - result["predicted"]["context"])
        print(
            f"{case['resolution']} px x {case['batch']}, checkpointing {case['checkpointing']!s:5}, rank {case['rank']}, "
            f"{case['optimizer']:9} text {case['text']!s:5}: predicted {result['predicted']['total']:.2f} GB, "
            f"measured {result['peak_allocated']:.2f} allocated, {result['peak_reserved']:.2f} reserved ({ratio:.2f}); "
            f"{result['seconds']:.3f} s a step, {result['tflops']:.1f} TFLOPS",
            flush=True,
        )
    return results


def measure(base_path: Path, case: dict[str, Any]) -> dict[str, Any]:
    """A few steps as the loop does them; peaks since the model was loaded."""
    import torch

    from lib_lora_train.train import config as configs
    from lib_lora_train.train import estimate, optimizers
    from lib_lora_train.train.base.family import LoadOptions
    from lib_lora_train.train.base.load import load_base
    from lib_lora_train.train.device import open_device
    from lib_lora_train.train.setup import attach
    from lib_lora_train.train.step import Objective

    config = configs.from_values(
        {
            "name": "measured",
            "base": {"path": str(base_path)},
            "dataset": {"resolution": case["resolution"]},
            "adapter": {"rank": case["rank"], "text_encoder": case["text"]},
            "optimizer": {"name": case["optimizer"]},
            "loop": {"batch_size": case["batch"], "gradient_checkpointing": case["checkpointing"]},
        }
    )
    device = open_device(config.loop)
    base = load_base(config.base, LoadOptions(dtype=device.weights, device=device.torch, deterministic=True))
    base.vae.to("cpu")
    adapter = attach(config, base)
    groups = [{"params": list(part.parameters.values()), "lr": 1e-4} for part in adapter.parts]
    made = optimizers.build(groups, config.optimizer, device.torch)
    if made.notices:
        raise SystemExit(made.notices[0])
    model, optimizer = device.accelerator.prepare(Objective(base, config.objective, 1), made.optimizer)
    model.train()
    inputs = _inputs(case, device.torch)
    has_card = device.torch.type == "cuda"
    if has_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    durations: list[float] = []
    for _ in range(STEPS if has_card else 1):
        started = time.monotonic()
        device.accelerator.backward(model(inputs).mean())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if has_card:
            torch.cuda.synchronize()
        durations.append(time.monotonic() - started)
    facts = estimate.base_facts(base_path)
    predicted = estimate.memory(config, facts)
    seconds = sorted(durations)[len(durations) // 2]
    return {
        **case,
        "card": device.name(),
        "precision": device.precision,
        "peak_allocated": round(torch.cuda.max_memory_allocated() / 1e9, 3) if has_card else 0.0,
        "peak_reserved": round(torch.cuda.max_memory_reserved() / 1e9, 3) if has_card else 0.0,
        "predicted": {**asdict(predicted), "total": predicted.total},
        "seconds": round(seconds, 4),
        "tflops": round(estimate.flops(config, facts) / seconds / 1e12, 2),
    }


def _inputs(case: dict[str, Any], device: Any) -> Any:
    import torch

    from lib_lora_train.train.step import Inputs

    batch, side = case["batch"], case["resolution"] // 8
    mean, deviation, posterior, noise = (torch.randn(batch, 4, side, side) for _ in range(4))
    ids = torch.randint(0, 49_000, (batch, 1, 77)) if case["text"] else None
    context = None if case["text"] else torch.randn(batch, 77, 768)
    steps = torch.randint(0, 1000, (batch,))
    return Inputs(mean, deviation, posterior, noise, None, steps, torch.ones(batch), ids, context).to(device)


if __name__ == "__main__":
    sys.exit(main())
