"""What helps when a run fails or is warned of: ordered cures, each a sentence and the settings that a button changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_lora_train.train import estimate
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.sections import ADAPTIVE

SAFE_RATE = 1e-4
SMALLEST_SIDE = 256


@dataclass(frozen=True)
class Cure:
    """`changes` maps settings to new values for a button; empty for what a person has to do. `saves` is GB of card
    memory by the estimate, 0 where memory is not the matter. `new_run` says that a begun run cannot take it.
    """

    name: str
    sentence: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    saves: float = 0.0
    action: str = ""
    """What a button does besides: "build", "free_host", "accept_dataset", "accept_base"; empty for changes only."""


def cures(kind: str, config: TrainConfig, base: estimate.BaseFacts | None = None) -> tuple[Cure, ...]:
    """Cures for an error's kind (the `name` of its event) or a warning's, the most helpful first.

    `base` makes the estimate of what each saves fit the base; without it SD 1.5 is assumed.
    """
    found = {
        "OutOfMemory": _memory,
        "MemoryError": _memory,
        "paging": _memory,
        "sample_memory": _samples,
        "NotFinite": _not_finite,
        "flat_sample": _not_finite,
        "d_not_growing": _not_learning,
        "no_captions": _captions,
    }.get(kind)
    if found is not None:
        return tuple(found(config, base or estimate.SD15))
    return tuple(_by_hand(kind))


def _memory(config: TrainConfig, base: estimate.BaseFacts) -> Iterator[Cure]:
    """The order is that of what a change costs: first what changes nothing in the result."""
    yield Cure("free_host", "Free the memory that the WebUI and other programs hold on the card.", action="free_host")
    needed = estimate.memory(config, base).total
    ideas: list[tuple[str, str, dict[str, Any]]] = []
    if not config.loop.gradient_checkpointing:
        ideas.append(
            (
                "checkpointing",
                "Compute activations twice: the same result, about a third slower.",
                {"loop.gradient_checkpointing": True},
            )
        )
    if config.cache.latents == "off":
        ideas.append(
            (
                "latents",
                "Encode the photos once and keep them: the VAE then leaves the card.",
                {"cache.latents": "disk"},
            )
        )
    if config.loop.batch_size > 1:
        smaller, more = config.loop.batch_size // 2, config.loop.accumulation * 2
        ideas.append(
            (
                "batch",
                f"Batches of {smaller} in place of {config.loop.batch_size}, {more} for each step: nearly the same result.",
                {"loop.batch_size": smaller, "loop.accumulation": min(more, 256)},
            )
        )
    if config.optimizer.name not in ("AdamW8bit", "Lion") and config.optimizer.name not in ADAPTIVE:
        ideas.append(
            ("optimizer", "The optimizer AdamW8bit keeps its memory in 8 bits.", {"optimizer.name": "AdamW8bit"})
        )
    side = max(SMALLEST_SIDE, config.dataset.resolution * 3 // 4 // 64 * 64)
    if side < config.dataset.resolution and config.dataset.bucket_min <= side:
        ideas.append(
            (
                "resolution",
                f"Train at {side} px in place of {config.dataset.resolution}: less detail.",
                {"dataset.resolution": side},
            )
        )
    if config.adapter.text_encoder and config.adapter.unet:
        ideas.append(
            (
                "text_encoder",
                "Leave the text encoder alone: the trigger is learned a little less.",
                {"adapter.text_encoder": False},
            )
        )
    if config.adapter.rank > 16:
        rank = config.adapter.rank // 2
        ideas.append(
            ("rank", f"Rank {rank} in place of {config.adapter.rank}: a smaller LoRA.", {"adapter.rank": rank})
        )
    for name, sentence, changes in ideas:
        saved = needed - estimate.memory(estimate.changed(config, changes), base).total
        yield Cure(name, f"{sentence} Saves about {max(0.0, saved):.1f} GB.", changes, round(saved, 2))


def _samples(config: TrainConfig, base: estimate.BaseFacts) -> Iterator[Cure]:
    yield Cure("free_host", "Free the memory that the WebUI and other programs hold on the card.", action="free_host")
    yield Cure(
        "no_samples",
        "Draw no samples while training; compare the epochs afterwards.",
        {"samples.every_epochs": 0, "samples.every_steps": 0},
    )


def _not_finite(config: TrainConfig, base: estimate.BaseFacts) -> Iterator[Cure]:
    rate = config.optimizer.learning_rate
    if config.optimizer.name not in ADAPTIVE:
        lower = SAFE_RATE if rate > 2 * SAFE_RATE else rate / 2
        yield Cure("rate", f"Learn at {lower:g} in place of {rate:g}.", {"optimizer.learning_rate": lower})
    if config.loop.precision not in ("bf16", "fp32"):
        yield Cure("bf16", "Use bf16, which does not overflow (RTX 30 series and newer).", {"loop.precision": "bf16"})
    if config.loop.precision != "fp32":
        yield Cure("fp32", "Use fp32: twice the memory, on every card.", {"loop.precision": "fp32"})
    yield Cure("vae", "Choose another VAE (base.vae): some overflow in fp16.")


def _not_learning(config: TrainConfig, base: estimate.BaseFacts) -> Iterator[Cure]:
    kept = {key: value for key, value in config.optimizer.arguments.items() if key != "growth_rate"}
    if config.optimizer.name in ADAPTIVE:
        arguments = {**kept, "decouple": True, "use_bias_correction": True}
        if arguments != config.optimizer.arguments or config.optimizer.learning_rate != 1.0:
            yield Cure(
                "arguments",
                f"Give {config.optimizer.name} the arguments with which it finds its rate, and a rate of 1.",
                {"optimizer.arguments": arguments, "optimizer.learning_rate": 1.0},
            )
    if config.optimizer.name != "AdamW":
        yield Cure(
            "adamw",
            f"Use AdamW at {SAFE_RATE:g}.",
            {"optimizer.name": "AdamW", "optimizer.learning_rate": SAFE_RATE, "optimizer.arguments": {}},
        )


def _captions(config: TrainConfig, base: estimate.BaseFacts) -> Iterator[Cure]:
    if not config.trigger_prompt:
        yield Cure("trigger", "Give a trigger word: it is the caption of every photo that has none.")
    yield Cure("write", "Write a caption for each photo: under Captions in the Train tab, or in a .txt file beside it.")


def _by_hand(kind: str) -> Iterator[Cure]:
    """Cures that no setting makes."""
    known: Mapping[str, tuple[Cure, ...]] = {
        "BaseError": (
            Cure("base", "Choose another base: an SD 1.x checkpoint as .safetensors."),
            Cure("accept_base", "If the base was replaced on purpose, go on with the new one.", action="accept_base"),
        ),
        "DatasetError": (Cure("dataset", "Look at the dataset's table: it names each photo that cannot be used."),),
        "StateError": (
            Cure(
                "accept_dataset",
                "If the photos were changed on purpose, go on with them as they are.",
                action="accept_dataset",
            ),
        ),
        "DiskError": (
            Cure("disk", "Free space on the disk, then resume."),
            Cure("keep", "Keep fewer files: the newest five epochs.", {"save.keep": 5}),
        ),
        "disk": (
            Cure("disk", "Free space on the disk, then resume."),
            Cure("keep", "Keep fewer files: the newest five epochs.", {"save.keep": 5}),
        ),
        "TrainerEnvironmentError": (Cure("build", "Build the trainer's environment.", action="build"),),
        "CardLost": (
            Cure("clocks", "Take back any overclocking, lower the power limit, update the driver, then resume."),
        ),
        "CardBusy": (Cure("free_host", "Wait for the other work on the card, or pause it.", action="free_host"),),
        "host_memory": (Cure("free_host", "Free the memory that the WebUI holds on the card.", action="free_host"),),
        "Interrupted": (
            Cure("resume", "Resume: it goes on from the last saved state.", action="resume"),
            Cure(
                "memory",
                "If it comes again, main memory ran out: close other programs, or keep the photos' latents on disk.",
                {"cache.latents": "disk", "cache.text": "disk"},
            ),
        ),
    }
    yield from known.get(kind, ())
