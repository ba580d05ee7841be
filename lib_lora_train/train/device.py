"""Where and how precisely the model runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from lib_lora_train.train.errors import ConfigError
from lib_lora_train.train.sections import LoopConfig


@dataclass(frozen=True)
class Device:
    """The accelerator, the precision in words, and the type of the frozen weights."""

    accelerator: Accelerator
    precision: str
    weights: torch.dtype
    repeats_exactly: bool = True
    """Whether the same run gives the same bytes again."""

    @property
    def torch(self) -> torch.device:
        return self.accelerator.device

    def peak_memory(self) -> int:
        """The most bytes of card memory in use so far; 0 without a card."""
        return torch.cuda.max_memory_allocated(self.torch) if self.torch.type == "cuda" else 0

    def reserved_memory(self) -> int:
        """The most bytes of card memory that torch has taken from the system so far; 0 without a card."""
        return torch.cuda.max_memory_reserved(self.torch) if self.torch.type == "cuda" else 0

    def name(self) -> str:
        return torch.cuda.get_device_name(self.torch) if self.torch.type == "cuda" else self.torch.type.upper()


def open_device(config: LoopConfig) -> Device:
    """The accelerator in the wanted precision. Raises ConfigError when the device lacks it."""
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when the first handle is made
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    precision = config.precision if config.precision != "auto" else _best(kind)
    if precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("loop.precision = 'bf16' needs a card of the RTX 30 series or newer; use fp16 or auto.")
    if precision == "fp16" and kind == "cpu":
        raise ConfigError("loop.precision = 'fp16' does not train on a CPU; use fp32 or auto.")
    accelerator = Accelerator(mixed_precision={"fp32": "no"}.get(precision, precision))
    capability = torch.cuda.get_device_capability() if kind == "cuda" else (0, 0)
    exact = has_exact_attention(kind, capability, precision)
    _set_determinism(config.deterministic, exact)
    weights = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return Device(accelerator, precision, weights, repeats_exactly=config.deterministic and exact)


def has_exact_attention(kind: str, capability: tuple[int, int], precision: str) -> bool:
    """Whether a fused attention kernel with exact gradients is there: flash attention, on cards from the RTX 30 series
    in half precision. Elsewhere the only exact one keeps the whole matrix, which 8 GB cards cannot hold."""
    return kind != "cuda" or (capability >= (8, 0) and precision != "fp32")


def _set_determinism(wanted: bool, exact_attention: bool) -> None:
    """Kernels whose results do not differ from run to run, where `wanted` and there; the quickest ones otherwise."""
    torch.use_deterministic_algorithms(wanted, warn_only=not exact_attention)
    debugging = getattr(torch.utils, "deterministic", None)  # younger than torch 2.1
    if debugging is not None:
        debugging.fill_uninitialized_memory = False  # it costs half as much time again
    torch.backends.cudnn.benchmark = not wanted
    torch.backends.cuda.enable_mem_efficient_sdp(not (wanted and exact_attention))
    if hasattr(torch.backends.cuda, "enable_cudnn_sdp"):
        torch.backends.cuda.enable_cudnn_sdp(False)  # chosen first on Hopper cards, it plans anew for each shape


def _best(kind: str) -> str:
    if kind != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def is_not_deterministic(error: BaseException) -> bool:
    """Whether `error` says that a kernel has no deterministic form."""
    return "deterministic" in str(error)


LOST = (
    "unspecified launch failure",
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "uncorrectable ECC",
    "driver shutting down",
    "launch timed out",
    "GPU is lost",
    "all CUDA-capable devices are busy or unavailable",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
)
"""The driver's words after which no further work on the card is possible in this process."""


def is_lost(error: BaseException) -> bool:
    """Whether `error` says that the card or its driver has given up."""
    return any(words in str(error) for words in LOST)


def lost_message(error: BaseException) -> str:
    """What happened to the card and what helps, in order."""
    first = str(error).strip().splitlines()[0][:160]
    return (
        f"The graphics card or its driver gave up ({first}). The last saved state is kept, so resume goes on from it. If it comes again: "
        "1. take back any overclocking and lower the power limit; 2. update the driver; 3. look at the card's temperature and the power supply; "
        "4. on Windows, close what else draws on this card."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the card or the machine has no memory left, in any of torch's ways."""
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def memory_message(config: LoopConfig, is_training: bool) -> str:
    """One sentence on what used the memory, and what to try, in order."""
    used = ""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        own = torch.cuda.max_memory_reserved()
        others = max(0, total - free - torch.cuda.memory_reserved())
        used = f" The card has {total / 2**30:.1f} GB; training took up to {own / 2**30:.1f} GB, other programs hold {others / 2**30:.1f} GB."
    cures = [
        "close other programs that use the card (the WebUI keeps its model loaded)"
        if torch.cuda.is_available()
        else "",
        "turn on loop.gradient_checkpointing" if not config.gradient_checkpointing else "",
        f"lower loop.batch_size (now {config.batch_size}) and raise loop.accumulation as much"
        if config.batch_size > 1
        else "",
        "lower dataset.resolution",
        "lower adapter.rank, or use the optimizer AdamW8bit",
    ]
    numbered = "; ".join(f"{number}. {cure}" for number, cure in enumerate(filter(None, cures), 1))
    saved = " The state is saved, so the run can be resumed." if is_training else ""
    return f"The memory does not suffice.{used}{saved} Try, in this order: {numbered}."
