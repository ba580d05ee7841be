"""Which epoch and weight the numbers speak for, in words and with the grounds; nothing where they do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib_lora_train.grid.discover import Epoch
from lib_lora_train.grid.numbers import Losses
from lib_lora_train.grid.scores import Spread, Standing

FEW = 3
"""Pictures below which a spread says little."""


@dataclass(frozen=True)
class Recommendation:
    """`epoch` is an index into the epochs, None when the numbers favour none. `grounds` are sentences."""

    epoch: int | None
    weight: float | None
    grounds: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All grounds in one text."""
        return " ".join(self.grounds)


def recommend(
    epochs: Sequence[Epoch], standings: Sequence[Standing], losses: Mapping[str, Losses], scorer: str = ""
) -> Recommendation:
    """What scores say, else what the held-out loss says, else why nothing can be said."""
    scored = [standing for standing in standings if standing.epoch >= 0 and standing.likeness]
    if scored:
        return _by_scores(epochs, scored, scorer)
    held_out = [(number, losses[epoch.name].held_out) for number, epoch in enumerate(epochs) if epoch.name in losses]
    known = [(number, loss) for number, loss in held_out if loss is not None]
    if len(known) > 1:
        return _by_held_out(epochs, known)
    return Recommendation(
        None,
        None,
        (
            "No recommendation: there are no scores and no held-out loss.",
            "The training loss alone does not tell a good epoch from an over-trained one; choose by eye: the earliest epoch that has the likeness and still follows the other prompts.",
        ),
    )


def _by_scores(epochs: Sequence[Epoch], scored: Sequence[Standing], scorer: str) -> Recommendation:
    """Of those whose likeness cannot be told from the best, the one that obeys best; earlier and weaker on ties."""
    best = max(scored, key=lambda standing: _mean(standing.likeness))
    assert best.likeness
    near = [one for one in scored if _mean(one.likeness) >= best.likeness.mean - best.likeness.deviation]
    chosen = max(
        near, key=lambda one: (_mean(one.obedience) - max(0.0, _mean(one.drift)), -one.epoch, -abs(one.weight))
    )
    grounds = [
        f"{_words(epochs, chosen)} has a likeness to the training photos of {_figure(chosen.likeness)}{f' ({scorer})' if scorer else ''}."
    ]
    if chosen != best:
        grounds.append(
            f"That cannot be told from the best ({_words(epochs, best)}, {_figure(best.likeness)}), whose spread is {best.likeness.deviation:.3f}."
        )
    if chosen.obedience:
        others = [one for one in near if one != chosen and one.obedience]
        worst = min((_mean(one.obedience) for one in others), default=None)
        against = f"; others as like come down to {worst:.3f}" if worst is not None else ""
        grounds.append(f"It follows the prompts with {_figure(chosen.obedience)}{against}.")
    if chosen.drift:
        grounds.append(
            f"Prompts without the trigger move by {chosen.drift.mean:+.3f} towards the training photos, compared with no LoRA."
        )
    count = chosen.likeness.count if chosen.likeness else 0
    if count < FEW:
        grounds.append(f"This rests on {count} picture{'s' * (count != 1)} each: add seeds before you trust it.")
    return Recommendation(chosen.epoch, chosen.weight, tuple(grounds))


def _by_held_out(epochs: Sequence[Epoch], known: Sequence[tuple[int, float]]) -> Recommendation:
    number, lowest = min(known, key=lambda pair: pair[1])
    last, final = known[-1]
    grounds = [f"{_title(epochs[number])} has the lowest loss on held-out photos ({lowest:.4f})."]
    if number != last:
        grounds.append(
            f"It rises to {final:.4f} by {epochs[last].label}: from there on the LoRA learns its photos by heart."
        )
    else:
        grounds.append("It was still falling at the end: a longer run may be better.")
    grounds.append("The weight is not told by losses; look at the pictures.")
    return Recommendation(number, None, tuple(grounds))


def _words(epochs: Sequence[Epoch], standing: Standing) -> str:
    return f"{_title(epochs[standing.epoch])} at weight {standing.weight:g}"


def _title(epoch: Epoch) -> str:
    return epoch.label[:1].upper() + epoch.label[1:]


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return "an unknown figure"
    return f"{spread.mean:.3f} ± {spread.deviation:.3f}" if spread.count > 1 else f"{spread.mean:.3f}"


def _mean(spread: Spread | None) -> float:
    return spread.mean if spread else 0.0
