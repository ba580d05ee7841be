"""The names of a WebUI as a catalogue: each with what its own code wants and what people write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from lib_lora_train.host.modules import attribute, optional
from lib_lora_train.keywords.catalogue import CHECKPOINT, LORA, SAMPLER, SCHEDULER, STYLE, UPSCALER, VAE, Entry
from lib_lora_train.keywords.check import OptionSpec


def entries(shared: Any, sd_models: Any, vaes: tuple[Entry, ...]) -> dict[str, tuple[Entry, ...]]:
    """All kinds of names."""
    return {
        CHECKPOINT: _checkpoints(sd_models),
        VAE: vaes,
        SAMPLER: _samplers(),
        SCHEDULER: _schedulers(),
        UPSCALER: _upscalers(shared),
        STYLE: tuple(Entry(str(name)) for name in getattr(shared.prompt_styles, "styles", {})),
        LORA: _loras(),
    }


def option_spec(info: Any) -> OptionSpec:
    """What an option's declaration says of its values."""
    extra: Any = getattr(info, "component_args", None)
    if callable(extra):
        extra = cast("Callable[[], Any]", extra)()
    details: Mapping[str, Any] = cast("Mapping[str, Any]", extra) if isinstance(extra, dict) else {}
    choices: Any = details.get("choices", ())
    listed = cast("Iterable[Any]", choices() if callable(choices) else choices)
    words = tuple(str(cast("Any", word)[0] if isinstance(word, tuple) else word) for word in listed)
    return OptionSpec(info.default, details.get("minimum"), details.get("maximum"), words)


def _checkpoints(sd_models: Any) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for info in sd_models.checkpoints_list.values():
        words = (info.title, info.name_for_extra, info.model_name, info.shorthash, getattr(info, "sha256", None))
        words = (*words, getattr(info, "short_title", None), f"[{info.shorthash}]" if info.shorthash else None)
        found.append(Entry(info.name, tuple(str(word) for word in words if word), str(info.filename)))
    return tuple(found)


def _samplers() -> tuple[Entry, ...]:
    """The samplers; their lower-case aliases are `k_…` names of older files."""
    known = attribute("modules.sd_samplers", "all_samplers", [])
    return tuple(Entry(str(one.name), tuple(str(alias) for alias in one.aliases)) for one in known)


def _schedulers() -> tuple[Entry, ...]:
    known = attribute("modules.sd_schedulers", "schedulers", [])
    return tuple(Entry(str(one.label), (str(one.name), *map(str, one.aliases or ()))) for one in known)


def _upscalers(shared: Any) -> tuple[Entry, ...]:
    latent = [Entry(str(name)) for name in shared.latent_upscale_modes]
    return (*latent, *(Entry(str(one.name), path=str(one.data_path or "")) for one in shared.sd_upscalers))


def _loras() -> tuple[Entry, ...]:
    """The LoRA files by file name, with the alias that their metadata give them."""
    networks = optional("networks")
    known: Mapping[str, Any] = getattr(networks, "available_networks", {})
    return tuple(
        Entry(str(name), (str(getattr(one, "alias", name)),), str(getattr(one, "filename", "")))
        for name, one in known.items()
    )
