"""The metadata of a LoRA file: every field that kohya writes and hosts or sites read. All values are texts.

Nothing private goes in: no absolute path, user or machine name; folders and files are named by their last part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lib_lora_train import __version__
from lib_lora_train.train.config import TrainConfig


@dataclass(frozen=True)
class Facts:
    """What the metadata needs beside the config. Times are seconds since 1970; hashes are hexadecimal."""

    session: int
    started: float
    base_name: str
    base_hash: str
    base_legacy_hash: str
    vae_name: str
    vae_hash: str
    vae_legacy_hash: str
    family: str
    prediction: str
    zero_terminal_snr: bool
    photos: int
    regularisation: int
    held_out: int
    batches_per_epoch: int
    epochs: int
    steps: int
    precision: str
    folders: Mapping[str, Mapping[str, int]]
    """Folder name to `{"n_repeats": …, "img_count": …}`."""
    regularisation_folders: Mapping[str, Mapping[str, int]]
    tags: Mapping[str, Mapping[str, int]]
    """Folder name to tag to count."""
    buckets: Mapping[str, Mapping[str, Any]]
    """Bucket number to `{"resolution": [w, h], "count": …}`."""


@dataclass(frozen=True)
class Moment:
    """When a file is saved: after `step` steps in epoch `epoch` (from 1).

    `loss` is the mean over the epoch's steps so far, `held_out` the loss on photos that are not trained on, now.
    """

    epoch: int
    step: int
    loss: float | None = None
    held_out: float | None = None


FAMILIES = {
    # family: (ss_base_model_version, ss_v2, modelspec.architecture)
    "sd1": ("sd_v1", "False", "stable-diffusion-v1/lora"),
}


def metadata(config: TrainConfig, facts: Facts, *, name: str, moment: Moment, finished: float) -> dict[str, str]:
    """The texts for the file `name`, saved at `moment`, at time `finished` (seconds since 1970).

    The hashes of the file itself are added by `export.write_lora`.
    """
    fields = {
        **_run(config, facts),
        **_network(config),
        **_objective(config),
        **_dataset(config, facts),
        **_base(facts),
    }
    fields |= {
        "ss_output_name": name,
        "ss_steps": moment.step,
        "ss_epoch": moment.epoch,
        "ss_training_finished_at": finished,
        **_modelspec(config, facts, name, finished),
    }
    losses = {"ss_lora_loop_loss": moment.loss, "ss_lora_loop_held_out_loss": moment.held_out}
    fields |= {key: f"{loss:.6g}" for key, loss in losses.items() if loss is not None}
    return {key: _text(value) for key, value in fields.items()}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _run(config: TrainConfig, facts: Facts) -> dict[str, Any]:
    rate = config.optimizer.learning_rate
    return {
        "ss_session_id": facts.session,
        "ss_training_started_at": facts.started,
        "ss_learning_rate": rate,
        "ss_unet_lr": rate if config.adapter.unet else None,
        "ss_text_encoder_lr": _text_rate(config) if config.adapter.text_encoder else None,
        "ss_num_batches_per_epoch": facts.batches_per_epoch,
        "ss_num_epochs": facts.epochs,
        "ss_max_train_steps": facts.steps,
        "ss_gradient_checkpointing": config.loop.gradient_checkpointing,
        "ss_gradient_accumulation_steps": config.loop.accumulation,
        "ss_lr_warmup_steps": round(config.optimizer.warmup * facts.steps)
        if config.optimizer.warmup < 1
        else int(config.optimizer.warmup),
        "ss_lr_scheduler": config.optimizer.scheduler,
        "ss_optimizer": config.optimizer.name
        + "".join(f",{key}={value}" for key, value in config.optimizer.arguments.items()),
        "ss_max_grad_norm": config.optimizer.max_grad_norm,
        "ss_mixed_precision": {"fp32": "no"}.get(facts.precision, facts.precision),
        "ss_full_fp16": False,
        "ss_fp8_base": False,
        "ss_fp8_base_unet": False,
        "ss_lowram": False,
        "ss_seed": config.seed,
        "ss_training_comment": config.save.comment,
        "ss_sd_scripts_commit_hash": None,
        "ss_lora_loop_version": __version__,
        "ss_lora_loop_trigger": config.trigger_prompt,
    }


def _text_rate(config: TrainConfig) -> float:
    rate = config.optimizer.text_encoder_rate
    return config.optimizer.learning_rate if rate is None else rate


def _network(config: TrainConfig) -> dict[str, Any]:
    adapter = config.adapter
    arguments = {
        "rslora": adapter.rslora,
        "rank_dropout": adapter.rank_dropout or None,
        "module_dropout": adapter.module_dropout or None,
    }
    if adapter.conv_rank:
        arguments |= {"conv_dim": str(adapter.conv_rank), "conv_alpha": str(adapter.conv_alpha)}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": adapter.rank,
        "ss_network_alpha": adapter.alpha,
        "ss_network_dropout": adapter.dropout or None,
        "ss_network_args": {key: value for key, value in arguments.items() if value},
        "ss_scale_weight_norms": None,
    }


def _objective(config: TrainConfig) -> dict[str, Any]:
    objective = config.objective
    return {
        "ss_noise_offset": objective.noise_offset or None,
        "ss_noise_offset_random_strength": False,
        "ss_multires_noise_iterations": objective.multires_iterations or None,
        "ss_multires_noise_discount": objective.multires_discount,
        "ss_adaptive_noise_scale": None,
        "ss_ip_noise_gamma": objective.input_perturbation or None,
        "ss_ip_noise_gamma_random_strength": False,
        "ss_prior_loss_weight": config.dataset.prior_weight,
        "ss_min_snr_gamma": objective.min_snr_gamma or None,
        "ss_debiased_estimation": objective.debiased,
        "ss_loss_type": objective.loss,
        "ss_huber_schedule": objective.huber_schedule,
        "ss_huber_c": objective.huber_c,
        "ss_huber_scale": 1.0,
    }


def _dataset(config: TrainConfig, facts: Facts) -> dict[str, Any]:
    dataset = config.dataset
    different = sum(folder["img_count"] for folder in facts.folders.values())
    fields: dict[str, Any] = {
        "ss_num_train_images": facts.photos,
        "ss_num_reg_images": facts.regularisation,
        "ss_num_validation_images": facts.held_out,
        "ss_validation_seed": config.seed if facts.held_out else None,
        "ss_validation_split": round(facts.held_out / (facts.held_out + different), 6) if facts.held_out else 0.0,
        "ss_max_validation_steps": None,
        "ss_validate_every_n_epochs": (config.save.every_epochs or None) if facts.held_out else None,
        "ss_validate_every_n_steps": (config.save.every_steps or None) if facts.held_out else None,
        "ss_resize_interpolation": None,
        "ss_batch_size_per_device": config.loop.batch_size,
        "ss_total_batch_size": config.loop.batch_size * config.loop.accumulation,
        "ss_resolution": [dataset.resolution, dataset.resolution],
        "ss_color_aug": dataset.color_jitter,
        "ss_flip_aug": dataset.flip,
        "ss_random_crop": dataset.random_crop,
        "ss_shuffle_caption": dataset.shuffle,
        "ss_enable_bucket": dataset.buckets,
        "ss_bucket_no_upscale": not dataset.upscale,
        "ss_min_bucket_reso": dataset.bucket_min,
        "ss_max_bucket_reso": dataset.bucket_max,
        "ss_keep_tokens": dataset.keep_tags,
        "ss_face_crop_aug_range": None,
        "ss_caption_dropout_rate": dataset.caption_dropout,
        "ss_caption_dropout_every_n_epochs": dataset.caption_dropout_every,
        "ss_caption_tag_dropout_rate": dataset.tag_dropout,
        "ss_max_token_length": dataset.max_tokens,
        "ss_cache_latents": config.cache.latents != "off",
        "ss_dataset_dirs": dict(facts.folders),
        "ss_reg_dataset_dirs": dict(facts.regularisation_folders),
        "ss_bucket_info": {"buckets": dict(facts.buckets), "mean_img_ar_error": 0.0},
    }
    if config.save.captions:
        fields["ss_tag_frequency"] = dict(facts.tags)
    return fields


def _base(facts: Facts) -> dict[str, Any]:
    version, v2, _ = FAMILIES[facts.family]
    return {
        "ss_sd_model_name": facts.base_name,
        "ss_sd_model_hash": facts.base_legacy_hash,
        "ss_new_sd_model_hash": facts.base_hash,
        "ss_vae_name": facts.vae_name or None,
        "ss_vae_hash": facts.vae_legacy_hash or None,
        "ss_new_vae_hash": facts.vae_hash or None,
        "ss_base_model_version": version,
        "ss_v2": v2,
        "ss_zero_terminal_snr": facts.zero_terminal_snr,
    }


def _modelspec(config: TrainConfig, facts: Facts, name: str, finished: float) -> dict[str, Any]:
    objective, size = config.objective, config.dataset.resolution
    return {
        "ss_clip_skip": config.base.clip_skip if config.base.clip_skip > 1 else None,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": FAMILIES[facts.family][2],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": name,
        "modelspec.description": config.save.comment,
        "modelspec.trigger_phrase": config.trigger_prompt,
        "modelspec.resolution": f"{size}x{size}",
        "modelspec.date": datetime.fromtimestamp(finished, timezone.utc)
        .replace(tzinfo=None)
        .isoformat(timespec="seconds"),
        "modelspec.prediction_type": "v" if facts.prediction == "v_prediction" else "epsilon",
        "modelspec.timestep_range": f"{objective.min_timestep},{objective.max_timestep}",
        "modelspec.encoder_layer": config.base.clip_skip,
    }
