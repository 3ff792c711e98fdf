"""What is kept of a case that may be chosen, and what a segmentation bundle says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Entry
from diaphane.batch.tables import Refusal
from diaphane.bundle import Segmentation, Segmenter
from diaphane.core.errors import InputError
from diaphane.core.protocols import Progress


@dataclass(frozen=True, eq=False)
class Seen:
    """A case that may be chosen.

    Attributes
    ----------
    name:
        As typed.
    uncertainty:
        From 0 to 1.
    features:
        ``(d,)``, what tells cases alike.
    probability, distance:
        By class, and the score against training; empty and ``None`` of a segmentation.
    dice:
        Predicted Dice by label; empty of a classification.
    """

    name: str
    uncertainty: float
    features: NDArray[np.float64]
    probability: dict[str, float] = field(default_factory=dict)
    distance: float | None = None
    dice: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Asked:
    """Cases that may be chosen, those that cannot be used, and how many made the model."""

    multilabel: bool = False
    seen: list[Seen] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    known: int = 0


def ask_segmenter(bundle: Segmenter, entries: Sequence[Entry], progress: Progress) -> Asked:
    """How well a segmentation bundle expects to outline each case that it does not know."""
    asked = Asked()
    for number, entry in enumerate(entries, start=1):
        try:
            case = entry.load()
            if bundle.split_of(case) is not None:
                asked.known += 1
            else:
                asked.seen.append(_seen(entry.name, bundle.segment(case)))
        except InputError as error:
            asked.refused.append(Refusal.of(entry.name, error))
        progress("select", number / len(entries))
    return asked


def _seen(name: str, found: Segmentation) -> Seen:
    """Uncertainty is what predicted Dice misses of 1, mean over labels.

    A label without a quality model is told by the Dice that its probabilities expect.
    """
    dice = {}
    for label, expected in found.predicted_dice.items():
        value = found.features[label]["expected_dice"] if expected is None else expected
        dice[label] = float(np.clip(value, 0.0, 1.0))
    rows = [
        [
            *(values[key] for key in ("expected_dice", "entropy", "margin")),
            float(np.log1p(found.volume[label])),
        ]
        for label, values in found.features.items()
    ]
    features = np.nan_to_num(np.asarray(rows, dtype=np.float64)).ravel()
    return Seen(name, 1.0 - float(np.mean(list(dice.values()))), features, dice=dice)
