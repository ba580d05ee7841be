"""The sections of a run's config: every option, declared once. `config` puts them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib_lora_train.train.options import option

OPTIMIZERS = ("AdamW", "AdamW8bit", "DAdaptAdam", "Prodigy", "Adafactor", "Lion")
ADAPTIVE = frozenset({"DAdaptAdam", "Prodigy"})
SCHEDULERS = ("constant", "linear", "cosine", "cosine_with_restarts", "polynomial")
SAMPLERS = ("euler_a", "euler", "ddim", "dpmpp_2m", "dpmpp_2m_karras", "heun", "pndm")
PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """The checkpoint to train on."""

    path: str = option("", "Checkpoint (.safetensors) or diffusers folder to train on.", path=True)
    vae: str = option("", "Another VAE (.safetensors) in place of the checkpoint's.", path=True, advanced=True)
    clip_skip: int = option(
        1, "Which layer of the text encoder feeds the U-Net, counted from the end; 1 is the last.", low=1, high=12
    )
    prediction: str = option(
        "auto",
        "What the U-Net predicts; auto reads it from the checkpoint.",
        choices=("auto", "epsilon", "v_prediction"),
        advanced=True,
    )
    allow_pickle: bool = option(
        False, "Read a .ckpt or .pt file (weights only, in the trainer's own process).", advanced=True
    )


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """The photos and their captions."""

    path: str = option("", "Folder of photos: flat, a folder of folders, or kohya's `10_ohwx man` folders.", path=True)
    regularisation: str = option("", "Folder of class photos that keep the class as the base knows it.", path=True)
    prior_weight: float = option(1.0, "Weight of the loss on regularisation photos.", low=0.0, high=10.0)
    repeats: int = option(
        0,
        "How often each photo is seen in an epoch; 0 takes the folder's number, else works it out.",
        low=0,
        high=10_000,
    )
    resolution: int = option(
        512, "Training resolution: a photo's area is at most its square.", unit="px", low=64, high=2048
    )
    buckets: bool = option(True, "Keep aspect ratios: photos of like shape are trained together, little is cropped.")
    bucket_min: int = option(256, "Shortest side of a bucket.", unit="px", low=64, high=2048, advanced=True)
    bucket_max: int = option(1024, "Longest side of a bucket.", unit="px", low=64, high=4096, advanced=True)
    bucket_step: int = option(64, "Sides of buckets are multiples of this.", unit="px", low=8, high=256, advanced=True)
    upscale: bool = option(
        False, "Enlarge photos that are smaller than their bucket; otherwise they get a smaller bucket."
    )
    background: str = option("white", "Colour put behind transparent pictures (a name or #rrggbb).", advanced=True)
    fallback: str = option(
        "trigger",
        "Caption of a photo that has none: the trigger, its folder's words, its file name, or refuse.",
        choices=("trigger", "folder", "filename", "error"),
    )
    prefix: str = option("", "Put before every caption.", advanced=True)
    suffix: str = option("", "Put after every caption.", advanced=True)
    separator: str = option(",", "What separates tags in a caption.", advanced=True)
    shuffle: bool = option(False, "Shuffle the tags of a caption anew for each epoch.")
    keep_tags: int = option(
        0, "So many first tags stay where they are and are never dropped.", unit="tags", low=0, high=100
    )
    caption_dropout: float = option(
        0.0, "Share of times that a photo is trained without its caption.", low=0.0, high=1.0, advanced=True
    )
    caption_dropout_every: int = option(
        0, "Drop all captions in every n-th epoch; 0 never.", unit="epochs", low=0, high=10_000, advanced=True
    )
    tag_dropout: float = option(0.0, "Share of tags dropped each time.", low=0.0, high=1.0, advanced=True)
    templates: bool = option(
        False, "Captions are prompt templates: `{a|b}` is drawn anew for each epoch.", advanced=True
    )
    max_tokens: int = option(
        75, "Longest caption; 150 and 225 are read in chunks of 75.", unit="tokens", low=75, high=225
    )
    flip: bool = option(False, "Mirror a photo half of the times (not for faces or letters).")
    color_jitter: bool = option(
        False, "Vary hue, saturation and gamma a little each time; latents are then not cached.", advanced=True
    )
    random_crop: bool = option(
        False, "Crop at a random place instead of the centre; latents are then not cached.", advanced=True
    )
    weights: dict[str, float] = option({}, "Loss weight by file pattern, such as `close-up*` = 2.", advanced=True)
    skip_broken: bool = option(True, "Go on without photos that cannot be read; they are listed.")
    held_out: float = option(
        0.0,
        "Photos kept out of training, whose loss is measured with each saved file: below 1 a share, else how many. It rises when the others are learned by heart.",
        unit="photos",
        low=0.0,
        high=10_000.0,
    )


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What is trained beside the frozen base."""

    method: str = option("lora", "Kind of adapter.", choices=("lora",))
    rank: int = option(32, "Size of the LoRA: about 1.2 MB of file a unit at full width.", low=1, high=1024, limit=8192)
    alpha: float = option(16.0, "Strength: the update is scaled by alpha / rank.", low=0.001, high=4096)
    conv_rank: int = option(
        0, "Rank on 3x3 convolutions; 0 leaves them alone.", low=0, high=1024, limit=8192, advanced=True
    )
    conv_alpha: float = option(1.0, "Alpha on convolutions.", low=0.001, high=4096, advanced=True)
    rslora: bool = option(False, "Scale by alpha / sqrt(rank) (rsLoRA).", advanced=True)
    dropout: float = option(0.0, "Share of an adapter's inputs dropped.", low=0.0, high=0.9, advanced=True)
    rank_dropout: float = option(0.0, "Share of ranks dropped, the rest scaled up.", low=0.0, high=0.9, advanced=True)
    module_dropout: float = option(0.0, "Share of times that a module is left out.", low=0.0, high=0.9, advanced=True)
    unet: bool = option(True, "Train the U-Net.")
    text_encoder: bool = option(True, "Train the text encoder.")
    start_from: str = option("", "LoRA file to go on from (its ranks must be the same).", path=True, advanced=True)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the adapter's weights move."""

    name: str = option(
        "AdamW",
        "Optimizer. The adaptive ones (DAdaptAdam, Prodigy) find the rate by themselves: leave it at 1.",
        choices=OPTIMIZERS,
    )
    learning_rate: float = option(1e-4, "Learning rate of the U-Net's adapter.", low=0.0, high=10.0)
    text_encoder_rate: float | None = option(
        None, "Learning rate of the text encoder's adapter; none is the same.", low=0.0, high=10.0
    )
    arguments: dict[str, Any] = option(
        {}, "Arguments passed to the optimizer, such as weight_decay=0.2 decouple=True.", advanced=True
    )
    scheduler: str = option("constant", "Course of the learning rate.", choices=SCHEDULERS)
    warmup: float = option(
        0.0,
        "Steps in which the rate rises from 0; below 1 a share of all steps.",
        unit="steps",
        low=0.0,
        high=1e6,
        advanced=True,
    )
    cycles: int = option(1, "Restarts of cosine_with_restarts.", low=1, high=1000, advanced=True)
    power: float = option(1.0, "Power of the polynomial.", low=0.1, high=10.0, advanced=True)
    max_grad_norm: float = option(
        1.0, "Gradients longer than this are shortened to it; 0 never.", low=0.0, high=1000.0, advanced=True
    )


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is asked of the model at each step."""

    loss: str = option("l2", "Loss between prediction and target.", choices=("l2", "huber", "smooth_l1"), advanced=True)
    huber_c: float = option(0.1, "Where Huber turns from square to straight.", low=1e-4, high=10.0, advanced=True)
    huber_schedule: str = option(
        "snr", "How huber_c changes over timesteps.", choices=("constant", "exponential", "snr"), advanced=True
    )
    min_snr_gamma: float = option(0.0, "Min-SNR weighting; 5 is usual, 0 is off.", low=0.0, high=100.0)
    debiased: bool = option(False, "Debiased estimation weighting.", advanced=True)
    noise_offset: float = option(
        0.0, "Noise added to whole channels, for darker darks; 0.0357 is SDXL's.", low=0.0, high=1.0
    )
    multires_iterations: int = option(0, "Scales of pyramid noise; 0 is off.", low=0, high=16, advanced=True)
    multires_discount: float = option(0.3, "How much each coarser scale counts.", low=0.0, high=1.0, advanced=True)
    input_perturbation: float = option(0.0, "Extra noise on the model's input only.", low=0.0, high=1.0, advanced=True)
    min_timestep: int = option(0, "Lowest timestep drawn.", low=0, high=999, advanced=True)
    max_timestep: int = option(1000, "Timesteps drawn are below this.", low=1, high=1000, advanced=True)
    zero_terminal_snr: bool | None = option(
        None, "Rescale the noise schedule to zero terminal SNR; none reads it from the checkpoint.", advanced=True
    )


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how the loop runs."""

    steps: int = option(
        0, "Optimizer steps; 0 follows epochs, or is automatic.", unit="steps", low=0, high=1_000_000, on_resume=True
    )
    epochs: int = option(
        0, "Times through the data; 0 is automatic.", unit="epochs", low=0, high=100_000, on_resume=True
    )
    steps_per_image: int = option(
        0,
        "Automatic length: so many steps for each photo; 0 follows the guide's table (3,000 steps for up to 30 photos).",
        unit="steps",
        low=0,
        high=10_000,
    )
    batch_size: int = option(1, "Photos a step, where a bucket has so many.", low=1, high=256)
    accumulation: int = option(1, "Batches whose gradients are averaged for one step.", low=1, high=256, advanced=True)
    precision: str = option(
        "auto",
        "Arithmetic of the model; auto is bf16 where the card has it, else fp16, and fp32 on a CPU.",
        choices=("auto", *PRECISIONS),
    )
    gradient_checkpointing: bool = option(False, "Compute activations twice to save memory.")
    attention: str = option("auto", "Attention kernel.", choices=("auto", "sdpa", "xformers", "eager"), advanced=True)
    deterministic: bool = option(
        True, "Same bytes twice on the same machine, where the device allows it.", advanced=True
    )
    loader_threads: int = option(
        0, "Threads that decode uncached photos; 0 chooses.", low=0, high=32, advanced=True, on_resume=True
    )


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """What is computed once."""

    latents: str = option("disk", "Where encoded photos are kept.", choices=("disk", "memory", "off"), on_resume=True)
    text: str = option(
        "memory",
        "Where encoded captions are kept when the text encoder is not trained.",
        choices=("disk", "memory", "off"),
        on_resume=True,
    )


@dataclass(frozen=True, kw_only=True)
class SaveConfig:
    """Which files come out, and when."""

    every_epochs: int = option(
        1, "Save a LoRA file every n epochs; 0 only at the end.", unit="epochs", low=0, high=10_000, on_resume=True
    )
    every_steps: int = option(
        0, "Save a LoRA file every n steps; 0 never.", unit="steps", low=0, high=1_000_000, on_resume=True
    )
    keep: int = option(0, "Keep only the newest n numbered files; 0 keeps all.", low=0, high=10_000, on_resume=True)
    precision: str = option("fp16", "Numbers in the file.", choices=PRECISIONS, on_resume=True)
    state_every_steps: int = option(
        0,
        "Save the state for resuming every n steps too; it is saved with each LoRA file anyhow.",
        unit="steps",
        low=0,
        high=1_000_000,
        on_resume=True,
    )
    keep_states: int = option(2, "States kept.", low=1, high=100, on_resume=True)
    copy_to: str = option(
        "", "Folder that finished files are copied to, such as the WebUI's models/Lora.", path=True, on_resume=True
    )
    preferred_weight: float = option(1.0, "Weight written on the card.", low=-2.0, high=2.0, on_resume=True)
    comment: str = option("", "A note for the file's metadata and card.", on_resume=True)
    patience: float = option(
        600.0,
        "How long the end of a run waits for a full or missing disk before it gives up.",
        unit="s",
        low=0.0,
        high=1e6,
        advanced=True,
        on_resume=True,
    )
    captions: bool = option(True, "Write how often each tag was seen into the file's metadata.", on_resume=True)


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Pictures drawn while training."""

    prompts: list[str] = option(
        [], "Prompts, with flags: --n negative --w --h --l CFG --s steps --d seed --ss sampler.", on_resume=True
    )
    every_epochs: int = option(1, "Draw every n epochs; 0 never.", unit="epochs", low=0, high=10_000, on_resume=True)
    every_steps: int = option(0, "Draw every n steps; 0 never.", unit="steps", low=0, high=1_000_000, on_resume=True)
    sampler: str = option("euler_a", "Sampler where the prompt names none.", choices=SAMPLERS, on_resume=True)
    steps: int = option(
        20, "Sampling steps where the prompt names none.", unit="steps", low=1, high=1000, on_resume=True
    )
    cfg: float = option(7.0, "CFG scale where the prompt names none.", low=0.0, high=50.0, on_resume=True)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """What is written down beside events.jsonl."""

    tensorboard: bool = option(True, "Write TensorBoard scalars under kohya's names.", on_resume=True)
    notify: str = option(
        "",
        "Address (https://…) that is told when the run ends: one POST of JSON with name, status and sentence.",
        advanced=True,
        private=True,
        on_resume=True,
    )
