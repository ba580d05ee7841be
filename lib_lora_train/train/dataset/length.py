"""How long a run is: repeats, epochs, exact steps. The one place that the form, `check` and the loop ask. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset.epochs import Plan
from lib_lora_train.train.dataset.photos import Dataset, counted

AUTOMATIC_EPOCHS = 10


@dataclass(frozen=True)
class Length:
    """How long a run is, exactly."""

    epochs: int
    """Epochs begun; the last is cut short when `loop.steps` asks for it."""
    steps: int
    """Optimizer steps done in all."""
    repeats: tuple[int, ...]
    """Times that each training photo is seen an epoch, in the order of `Dataset.photos`."""
    explanation: str
    """One sentence for people on how it came about."""


def make_plan(dataset: Dataset, config: TrainConfig) -> Plan:
    """Which photo is seen when, for this dataset and config."""
    return Plan(
        photos=dataset.photos,
        regularisation=dataset.regularisation,
        repeats=_repeats(dataset, config),
        dataset=config.dataset,
        seed=config.seed,
        batch_size=config.loop.batch_size,
        accumulation=config.loop.accumulation,
    )


def length(dataset: Dataset, config: TrainConfig) -> Length:
    """Epochs and exact optimizer steps. `loop.steps` ends the run exactly there; else `loop.epochs`; else automatic.

    Automatic is 10 epochs with the guide's repeats (10 photos x 30, 15 x 20, 30 and 50 x 10); where repeats are
    given, `loop.steps_per_image` decides the epochs.
    """
    plan, loop = make_plan(dataset, config), config.loop
    if not dataset.photos:
        return Length(0, 0, (), "There is no photo to train on.")
    if loop.steps:
        epochs = plan.epochs_for(loop.steps)
        return Length(
            epochs,
            loop.steps,
            plan.repeats,
            f"{loop.steps} steps as asked: {counted(epochs, 'epoch', 'epochs')}, the last one cut there.",
        )
    automatic = not loop.epochs
    epochs = loop.epochs or _automatic_epochs(dataset, config, plan)
    steps = plan.total_steps(epochs)
    seen = plan.items_per_epoch * epochs
    why = "worked out" if automatic else "as asked"
    return Length(
        epochs,
        steps,
        plan.repeats,
        f"{counted(epochs, 'epoch', 'epochs')} {why}: {counted(len(dataset.photos), 'photo', 'photos')}, seen {seen} times in {steps} steps.",
    )


def _repeats(dataset: Dataset, config: TrainConfig) -> tuple[int, ...]:
    """Config's repeats, else the folders' (1 for folders without a number beside numbered ones), else worked out."""
    if config.dataset.repeats:
        return (config.dataset.repeats,) * len(dataset.photos)
    if any(photo.repeats for photo in dataset.photos):
        return tuple(photo.repeats or 1 for photo in dataset.photos)
    return (_automatic_repeats(len(dataset.photos), config),) * len(dataset.photos)


def _automatic_repeats(photos: int, config: TrainConfig) -> int:
    loop = config.loop
    if not photos:
        return 1
    if loop.steps:  # about ten epochs, so that there are ten files to choose from
        return max(1, round(loop.steps * loop.batch_size * loop.accumulation / (AUTOMATIC_EPOCHS * photos)))
    epochs = loop.epochs or AUTOMATIC_EPOCHS
    if loop.steps_per_image:
        return max(1, round(loop.steps_per_image / epochs))
    return 1 if loop.epochs else guide_repeats(photos)


def guide_repeats(photos: int) -> int:
    """The guide's table: 300 photos seen an epoch for up to 30, ten times each up to 60, about 600 beyond."""
    if photos <= 30:
        return -(-300 // photos)
    return 10 if photos <= 60 else max(1, 600 // photos)


def _automatic_epochs(dataset: Dataset, config: TrainConfig, plan: Plan) -> int:
    wanted = config.loop.steps_per_image * len(dataset.photos)
    return max(1, round(wanted / plan.items_per_epoch)) if wanted else AUTOMATIC_EPOCHS
