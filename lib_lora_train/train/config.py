"""Every training option, declared once. From here come the form, its help, the command line, TOML and metadata."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora_train.files.roots import safe_name
from lib_lora_train.train import options
from lib_lora_train.train.errors import ConfigError
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


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What is trained beside the frozen base."""

    method: str = option("lora", "Kind of adapter.", choices=("lora",))
    rank: int = option(32, "Size of the LoRA: about 1.2 MB of file a unit at full width.", low=1, high=1024)
    alpha: float = option(16.0, "Strength: the update is scaled by alpha / rank.", low=0.001, high=4096)
    conv_rank: int = option(0, "Rank on 3x3 convolutions; 0 leaves them alone.", low=0, high=1024, advanced=True)
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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run."""

    name: str = option("", "Name of the LoRA: its files are NAME-000001.safetensors … and NAME.safetensors.")
    trigger: str = option("", "Rare word that stands for your subject, such as `ohwx`.")
    class_word: str = option("", "What the subject is, such as `man`; trigger and class together start the prompt.")
    seed: int = option(1234, "Everything drawn at random follows from it.", low=0, high=2**63 - 1)
    preset: str = option("", "The preset that this run started from.", advanced=True)
    base: BaseConfig = field(default_factory=BaseConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.name:
            safe = safe_name(self.name)
            if safe != self.name or re.search(r"[\r\n\t]", self.name):
                raise ConfigError(f"name = {self.name!r} cannot be a file name on every system; {safe!r} can.")
        if not (self.adapter.unet or self.adapter.text_encoder):
            raise ConfigError("Nothing would be trained: turn on adapter.unet or adapter.text_encoder.")
        if self.objective.min_timestep >= self.objective.max_timestep:
            raise ConfigError("objective.min_timestep must be below objective.max_timestep.")
        if self.dataset.bucket_min > self.dataset.resolution or self.dataset.bucket_max < self.dataset.resolution:
            raise ConfigError(
                f"dataset.resolution = {self.dataset.resolution} px must lie between dataset.bucket_min ({self.dataset.bucket_min} px) "
                f"and dataset.bucket_max ({self.dataset.bucket_max} px)."
            )
        rate = self.optimizer.learning_rate
        if self.optimizer.name not in ADAPTIVE and self.optimizer.name != "Adafactor" and rate > 0.1:
            raise ConfigError(
                f"optimizer.learning_rate = {rate:g} is made for DAdaptAdam and Prodigy; {self.optimizer.name} would destroy the LoRA in a few steps: try 0.0001."
            )

    @property
    def trigger_prompt(self) -> str:
        """Trigger and class together: what starts the prompt (`ohwx man`)."""
        return f"{self.trigger} {self.class_word}".strip()


def known() -> dict[str, options.Declared]:
    """Every option by its dotted name."""
    return {entry.name: entry for entry in options.declared(TrainConfig)}


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """A checked config from nested plain values. Raises ConfigError."""
    return options.build(TrainConfig, values)


def to_values(config: TrainConfig) -> dict[str, Any]:
    """The nested plain values of every option, None left out (TOML has no null)."""
    return _prune(dataclasses.asdict(config))


def _prune(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _prune(value) if options.is_table(value) else value for key, value in values.items() if value is not None
    }


def located(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same values with every relative path taken from `folder`, where their file lies."""
    placed = merge(values)
    for name, entry in known().items():
        section, _, key = name.rpartition(".")
        table = placed.get(section) if section else placed
        if entry.option.path and options.is_table(table) and isinstance(table.get(key), str) and table[key]:
            table[key] = str((folder / Path(table[key]).expanduser()).resolve())
    return placed


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values laid over each other, later ones on top; `optimizer.arguments` and other tables are merged too."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            merged[key] = merge(below if options.is_table(below) else {}, value) if options.is_table(value) else value
    return merged


def assignments(words: Iterable[str]) -> dict[str, Any]:
    """Nested values of `--set section.key=value` words. Raises ConfigError for unknown keys."""
    table = known()
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(f"--set {word}: write it as key=value, such as optimizer.learning_rate=1e-4.")
        entry = table.get(name)
        value: Any = options.parse(text, entry.type) if entry else _table_item(table, name, text)
        target = values
        *sections, key = name.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return values


def _table_item(table: Mapping[str, options.Declared], name: str, text: str) -> Any:
    """The value of `optimizer.arguments.weight_decay=0.2`: an entry of an option that is a table."""
    if name.rpartition(".")[0] in table:
        return options.number(text)
    import difflib

    near = difflib.get_close_matches(name, table, n=1) or [entry for entry in table if entry.endswith("." + name)]
    raise ConfigError(f"--set {name}: there is no such setting{f'; did you mean {near[0]}?' if near else '.'}")


def changeable() -> str:
    """The options that a resumed run may change, for people."""
    return ", ".join(name for name, entry in known().items() if entry.option.on_resume)


def changes(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Options that differ, by dotted name: (old, new)."""
    before, after = _flat(dataclasses.asdict(old)), _flat(dataclasses.asdict(new))
    return {name: (before.get(name), after.get(name)) for name in known() if before.get(name) != after.get(name)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    table = known()
    flat: dict[str, Any] = {}

    def walk(prefix: str, layer: Mapping[str, Any]) -> None:
        for key, value in layer.items():
            name = prefix + key
            if name not in table and options.is_table(value):
                walk(name + ".", value)
            else:
                flat[name] = value

    walk("", values)
    return flat
