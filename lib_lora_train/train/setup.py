"""Makes a run out of a job folder: base, dataset, adapter, caches, optimizer, and the state that it goes on from.

Everything that can be wrong is found here, before the first step; the cheap checks come first.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lib_lora_train.files import atomic
from lib_lora_train.files.errors import DiskError
from lib_lora_train.files.text import size
from lib_lora_train.train import optimizers, samples
from lib_lora_train.train.adapters import METHODS, Adapter, Part
from lib_lora_train.train.base.detect import inspect
from lib_lora_train.train.base.family import BaseModel, LoadOptions
from lib_lora_train.train.base.load import load_base
from lib_lora_train.train.cache import Cache
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import captions
from lib_lora_train.train.dataset.length import Length
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.device import Device, open_device
from lib_lora_train.train.errors import BaseError, ConfigError, StateError
from lib_lora_train.train.events import EventLog
from lib_lora_train.train.feed import Feed
from lib_lora_train.train.gallery import Gallery
from lib_lora_train.train.job import Job, file_stamp
from lib_lora_train.train.loop import Run
from lib_lora_train.train.material import Material, gather, reporter
from lib_lora_train.train.metadata import Facts
from lib_lora_train.train.randomness import draw
from lib_lora_train.train.results import Results
from lib_lora_train.train.scalars import Scalars
from lib_lora_train.train.state import Progress, Snapshot
from lib_lora_train.train.step import Objective

PREFIXES = {"text_encoder": "lora_te", "unet": "lora_unet"}
INEXACT = (
    "This card has no attention with exact gradients in this precision, so a second run differs in the last digits."
)
ABANDONED_AFTER_S = 3600.0
"""Age at which a temporary file in a folder that others write to as well is surely nobody's."""
ADAM_STATES = 2
"""Tensors that an optimizer usually keeps for each parameter, for the estimate of a state's size."""


def prepare(job: Job, log: EventLog) -> Run:
    """Everything for a run, checked. Raises the errors of train/errors.py, or DiskError."""
    config = job.config()
    _require_names(config)
    prompts = tuple(
        samples.parse(
            line, config.samples, config.dataset.resolution, config.trigger_prompt, draw(config.seed, "sample", index)
        )
        for index, line in enumerate(config.samples.prompts)
    )
    _probe_folders(job, config)
    inspect(Path(config.base.path), config.base.allow_pickle, Path(config.base.vae) if config.base.vae else None)
    _tell_of_another_base(job, config, log)
    device = open_device(config.loop)
    if config.loop.deterministic and not device.repeats_exactly:
        log.write("state", status="preparing", message=INEXACT)
    report = reporter(job, log)
    material = gather(job, config, log, report)
    log.write(
        "state",
        status="loading",
        message=f"Loading {Path(config.base.path).name} on {device.name()} in {device.precision}.",
    )
    options = LoadOptions(
        dtype=device.weights,
        device=device.torch,
        attention=config.loop.attention,
        deterministic=config.loop.deterministic,
    )
    base = load_base(config.base, options, config.objective.zero_terminal_snr)
    material.identity["base"] = base.hashes.sha256
    _same_base(job, material.snapshot, base)
    feed = _feed(job, config, base, device)
    feed.fill(material.plan, material.length.epochs, report, material.dataset.held_out)
    base.vae.to("cpu" if feed.keeps_latents else device.torch)
    adapter = attach(config, base)
    _require_space(job, config, adapter, material.length)
    progress = material.snapshot.progress if material.snapshot else Progress()
    model, optimizer, rates = _optimizer(config, base, adapter, device, log)
    if material.snapshot:
        _restore(material.snapshot, adapter, optimizer, device)
    elif config.adapter.start_from:
        unused = start_from(adapter, Path(config.adapter.start_from))
        if unused:
            log.write(
                "warning",
                name="start_from",
                message=f"{len(unused)} tensors of {Path(config.adapter.start_from).name} are left out, first {unused[0]}: this run trains no such modules. Turn on adapter.text_encoder, adapter.unet or adapter.conv_rank to keep them.",
            )
    gallery = Gallery(job.samples, config.name, base, adapter, prompts, config.base.clip_skip, device, log)
    results = Results(
        job.out, config, adapter, _facts(job, config, base, device, material), log, preview=lambda: gallery.newest
    )
    return Run(
        job=job,
        config=config,
        log=log,
        device=device,
        adapter=adapter,
        model=model,
        optimizer=optimizer,
        rates=rates,
        plan=material.plan,
        length=material.length,
        feed=feed,
        held_out=material.dataset.held_out,
        gallery=gallery,
        results=results,
        scalars=Scalars(job.folder / "tensorboard" if config.log.tensorboard else None, progress.step),
        progress=progress,
        identity=material.identity,
    )


def _require_names(config: TrainConfig) -> None:
    for name, value, cure in (
        ("name", config.name, "give the LoRA a name"),
        ("base.path", config.base.path, "choose the checkpoint to train on"),
        ("dataset.path", config.dataset.path, "choose the folder of photos"),
    ):
        if not value:
            raise ConfigError(f"{name} is empty: {cure}.")


def _probe_folders(job: Job, config: TrainConfig) -> None:
    """Find out now, not after hours, that a folder cannot be written to. Raises DiskError."""
    atomic.sweep(job.folder, older_than=ABANDONED_AFTER_S)
    folders = [job.out, job.state, *([Path(config.save.copy_to)] if config.save.copy_to else [])]
    for folder in folders:
        with atomic.disk_errors("a first try", folder):
            folder.mkdir(parents=True, exist_ok=True)
        is_shared = not folder.is_relative_to(job.folder)
        atomic.sweep(folder, older_than=ABANDONED_AFTER_S if is_shared else 0.0)
        probe = folder / ".lora-loop-probe"
        atomic.write_bytes(probe, b"")
        probe.unlink(missing_ok=True)


def _tell_of_another_base(job: Job, config: TrainConfig, log: EventLog) -> None:
    """Warn of a checkpoint that was replaced while the job waited. Once a run has begun, `_same_base` compares hashes."""
    values = job.read()
    if not values.get("base") and values.get("base_stamp", []) not in ([], file_stamp(config.base.path)):
        name = Path(config.base.path).name
        log.write(
            "warning",
            name="base",
            message=f"{name} was changed after this job was queued; it is trained on as it is now.",
        )


def _same_base(job: Job, snapshot: Snapshot | None, base: BaseModel) -> None:
    """Refuse a base that changed since the run was set up or saved, unless that was accepted. Raises BaseError."""
    values = job.read()
    known = (snapshot.identity.get("base") if snapshot else None) or values.get("base", {}).get("sha256")
    if known and known != base.hashes.sha256 and "base" not in values.get("accept", []):
        raise BaseError(
            f"{base.info.name} is not the file that this run was set up with ({known[:10]}, now {base.hashes.sha256[:10]}). Put the old one back, or resume with --accept base."
        )
    if not values.get("base"):
        job.update(base={"name": base.info.name, "sha256": base.hashes.sha256, "family": base.family.name})


def _feed(job: Job, config: TrainConfig, base: BaseModel, device: Device) -> Feed:
    shared = Path(job.read().get("cache") or job.folder / "cache")
    return Feed(
        base=base,
        config=config,
        device=device.torch,
        train_text=trains_text(config),
        latents=Cache(shared / "latents" if config.cache.latents == "disk" else None),
        texts=Cache(shared / "text" if config.cache.text == "disk" else None),
    )


def trains_text(config: TrainConfig) -> bool:
    """Whether the text encoder has an adapter: a rate of 0 leaves it out."""
    return config.adapter.text_encoder and config.optimizer.text_encoder_rate != 0


def attach(config: TrainConfig, base: BaseModel) -> Adapter:
    """The adapter on the base's models, in place; gradient checkpointing as the config has it."""
    method = METHODS[config.adapter.method]
    parts: list[Part] = []
    if trains_text(config):
        parts.append(method("text_encoder", base.text_encoder, PREFIXES["text_encoder"], config.adapter, config.seed))
    if config.adapter.unet:
        parts.append(method("unet", base.unet, PREFIXES["unet"], config.adapter, config.seed))
    if config.loop.gradient_checkpointing:
        base.family.checkpoint_gradients(base.unet, base.text_encoder)
    return Adapter(config.adapter.method, tuple(parts))


def start_from(adapter: Adapter, path: Path) -> list[str]:
    """Copy a LoRA file's weights into the adapter, with the effect that they had under the file's own alpha.

    A file without alphas means alpha = rank, as for the hosts. Returns the tensors that the adapter has no place for.
    Raises BaseError when the file lacks modules or has other ranks.
    """
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors and the system raise many kinds
        raise BaseError(f"adapter.start_from: {path.name} cannot be read as a LoRA ({error}).") from error
    constants = {name: value for part in adapter.parts for name, value in part.constants.items()}
    scaled: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        alpha = f"{name.removesuffix('.lora_up.weight')}.alpha"
        scaled[name] = tensor.float()
        if name.endswith(".lora_up.weight") and alpha in constants:
            scaled[name] *= tensors.get(alpha, torch.tensor(tensor.shape[1])).float() / constants[alpha]
    wrong = adapter.load(scaled)
    if wrong:
        raise BaseError(
            f"adapter.start_from: {path.name} does not fit: {len(wrong)} of {len(adapter.parameters)} tensors are missing or of another rank, first {wrong[0]}. Use the rank and parts that it was trained with."
        )
    places = {name for part in adapter.parts for name in (*part.parameters, *part.constants)}
    return sorted(tensors.keys() - places)


def _optimizer(
    config: TrainConfig, base: BaseModel, adapter: Adapter, device: Device, log: EventLog
) -> tuple[torch.nn.Module, Any, tuple[float, ...]]:
    """The wrapped objective, the wrapped optimizer, and the base rate of each group."""
    rate = config.optimizer.learning_rate
    text_rate = rate if config.optimizer.text_encoder_rate is None else config.optimizer.text_encoder_rate
    groups = [
        {"params": list(part.parameters.values()), "lr": text_rate if part.name == "text_encoder" else rate}
        for part in adapter.parts
    ]
    made = optimizers.build(groups, config.optimizer, device.torch)
    for sentence in made.notices:
        log.write("warning", name="optimizer", message=sentence)
    objective = Objective(base, config.objective, config.base.clip_skip)
    model, optimizer = device.accelerator.prepare(objective, made.optimizer)
    return model, optimizer, tuple(group["lr"] for group in made.optimizer.param_groups)


def _restore(snapshot: Snapshot, adapter: Adapter, optimizer: Any, device: Device) -> None:
    wrong = adapter.load(snapshot.adapter)
    if wrong:
        raise StateError(
            f"The state {snapshot.folder.name} does not fit this run: {wrong[0]} is missing or of another size. Start a new run."
        )
    optimizer.optimizer.load_state_dict(snapshot.optimizer)
    if snapshot.scaler and device.accelerator.scaler is not None:
        device.accelerator.scaler.load_state_dict(snapshot.scaler)


def _require_space(job: Job, config: TrainConfig, adapter: Adapter, planned: Length) -> None:
    """Refuse a run whose files surely do not fit. Raises DiskError with the sizes."""
    numbers = sum(parameter.numel() for parameter in adapter.parameters)
    file = numbers * {"fp32": 4, "fp16": 2, "bf16": 2}[config.save.precision]
    saved = planned.epochs // config.save.every_epochs if config.save.every_epochs else 0
    saved += planned.steps // config.save.every_steps if config.save.every_steps else 0
    files = min(saved, config.save.keep) if config.save.keep else saved
    needed = file * (files + 2) + numbers * 4 * (1 + ADAM_STATES) * (config.save.keep_states + 1)
    free = shutil.disk_usage(job.folder).free
    if needed > free:
        raise DiskError(
            f"This run will need {size(needed)} in {job.folder}, and {size(free)} are free: free some, save less often (save.every_epochs), keep fewer files (save.keep) or lower adapter.rank."
        )


def _facts(job: Job, config: TrainConfig, base: BaseModel, device: Device, material: Material) -> Facts:
    found, plan = material.dataset, material.plan
    created = float(os.environ.get("SOURCE_DATE_EPOCH") or job.read()["created"])
    vae = base.vae_hashes
    counts = plan.bucket_counts(1)
    return Facts(
        session=draw(config.seed, "session", config.name) % 2**32,
        started=created,
        base_name=base.info.name,
        base_hash=base.hashes.sha256,
        base_legacy_hash=base.hashes.legacy,
        vae_name=base.vae_path.name if base.vae_path else "",
        vae_hash=vae.sha256 if vae else "",
        vae_legacy_hash=vae.legacy if vae else "",
        family=base.family.name,
        prediction=base.prediction,
        zero_terminal_snr=base.zero_terminal_snr,
        photos=plan.items_per_epoch,
        regularisation=len(found.regularisation),
        held_out=len(found.held_out),
        batches_per_epoch=plan.batches_per_epoch(1),
        epochs=material.length.epochs,
        steps=material.length.steps,
        precision=device.precision,
        folders=_folders(found.photos, plan.repeats),
        regularisation_folders=_folders(found.regularisation, [1] * len(found.regularisation)),
        tags=captions.tag_frequency(found.photos, config.dataset, config.trigger_prompt),
        buckets={str(index): {"resolution": list(size), "count": counts[size]} for index, size in enumerate(counts)},
    )


def _folders(photos: Iterable[Photo], repeats: Iterable[int]) -> Mapping[str, Mapping[str, int]]:
    images: Counter[str] = Counter()
    times: dict[str, int] = {}
    for photo, count in zip(photos, repeats, strict=True):
        images[photo.folder] += 1
        times[photo.folder] = count
    return {folder: {"n_repeats": times[folder], "img_count": images[folder]} for folder in images}
