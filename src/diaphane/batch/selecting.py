"""``select``: which unlabelled cases are worth a person's time next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Entry
from diaphane.batch.running import answers
from diaphane.batch.selecting_masks import Asked, Seen, ask_segmenter
from diaphane.batch.tables import Refusal, is_table, write_refusals
from diaphane.batch.taking import take_inputs
from diaphane.bundle import AnyBundle, Bundle, Segmenter, load_bundle
from diaphane.core.errors import EmptyInput, UsageError
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.tables import write_table

Floats = NDArray[np.float64]

_POOL = 8
"""Cases that are looked at for each one that is chosen, the most uncertain ones."""
_UNLIKE = 0.5
"""Worth of a case twice as far from training as the limit, in units of the greatest uncertainty."""


@dataclass(frozen=True)
class Choice:
    """One case worth labelling.

    Attributes
    ----------
    index:
        Which of the cases, from 0.
    worth:
        What it was chosen by: uncertainty and strangeness, times novelty.
    novelty:
        How far it lies from all chosen before it, 0 to 1; 1 for the first.
    """

    index: int
    worth: float
    novelty: float


@dataclass(frozen=True)
class Selected:
    """A chosen case as it is told: its name as typed, why, and the numbers behind it."""

    file: str
    reason: str
    probability: dict[str, float]
    uncertainty: float
    distance: float | None
    novelty: float
    predicted_dice: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """What ``select`` did.

    ``known`` cases took part in making the bundle, ``left`` could also have been chosen.
    """

    chosen: tuple[Selected, ...]
    left: int
    known: int
    refused: tuple[Refusal, ...]
    out: Path | None
    rejected: Path | None


def select(
    bundle: AnyBundle | str | Path,
    inputs: Sequence[str | Path],
    n: int = 20,
    out: str | Path | None = None,
    *,
    stack: bool | None = None,
    options: ReadOptions | None = None,
    progress: Progress = silent,
) -> Selection:
    """Rank the cases that are worth labelling next.

    A case is worth more the less the bundle can decide about it and the less it is like the
    training set, or the worse a segmentation bundle expects to outline it; of cases alike one is
    enough. Cases that made the bundle are left out. Labels, if
    there are any, are not looked at.

    Parameters
    ----------
    bundle:
        Loaded, or a run, a name, folder or zip.
    n:
        Cases to choose, at least 1.
    out:
        CSV file; nothing is written if ``None``.
    options:
        How DICOM is read; ``None``: as the bundle says.

    Raises
    ------
    UsageError
        ``n`` is below 1, there are no inputs, or another file is in the way.
    EmptyInput
        No case is left to choose from.
    """
    if n < 1 or not inputs:
        raise UsageError("At least one case must be asked for, and one input given.")
    target = None if out is None else Path(out)
    if target is not None and (target.is_dir() or (target.exists() and not is_table(target))):
        raise UsageError("There is another file where the table would go.", path=target)
    loaded = bundle if isinstance(bundle, Bundle | Segmenter) else load_bundle(bundle)
    if isinstance(loaded, Segmenter):
        stacks = loaded.manifest.patch.size[0] > 1
    else:
        stacks = loaded.manifest.input.kind == "sequence"
    how = options or loaded.reading
    entries, refused = take_inputs(inputs, sequences=stacks, stack=stack, options=how)
    if isinstance(loaded, Segmenter):
        asked = ask_segmenter(loaded, entries, progress)
    else:
        asked = _ask(loaded, entries, progress)
    refused += asked.refused
    seen = asked.seen
    if not seen:
        why = f"; the first: {refused[0].problem}" if refused else "."
        raise EmptyInput(
            "There is no case to choose from.",
            remedy=f"{asked.known} cases made the model and {len(refused)} cannot be used{why}",
        )
    distance = None
    if seen[0].distance is not None:
        distance = np.array([np.nan if s.distance is None else s.distance for s in seen])
    uncertain = np.array([s.uncertainty for s in seen])
    picks = rank(uncertain, np.stack([s.features for s in seen]), n, distance=distance)
    chosen = tuple(_told(seen[p.index], p, asked.multilabel) for p in picks)
    if target is not None:
        write_table(target, _header(chosen[0]), [_row(c, i) for i, c in enumerate(chosen)])
    rejected = None if target is None else write_refusals(target.parent, refused)
    left = len(seen) - len(chosen)
    return Selection(chosen, left, asked.known, tuple(refused), target, rejected)


def uncertainty(probability: NDArray[np.float64], task: str) -> Floats:
    """Entropy ``(n,)`` of calibrated probabilities ``(n, classes)``, from 0 to 1.

    In a multi-label task the largest of the labels' own entropies.
    """
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1.0)
    if task == "multilabel":
        q = np.clip(1.0 - p, 1e-12, 1.0)
        each = -(p * np.log2(p) + q * np.log2(q))
        return np.asarray(each.max(axis=1), dtype=np.float64)
    entropy = -(p * np.log(p)).sum(axis=1) / np.log(p.shape[1])
    return np.asarray(np.clip(entropy, 0.0, 1.0), dtype=np.float64)


def rank(
    uncertain: NDArray[np.float64],
    features: NDArray[Any],
    n: int,
    *,
    distance: NDArray[np.float64] | None = None,
) -> list[Choice]:
    """Choose up to ``n`` cases that are uncertain, strange and unlike each other; deterministic.

    The most worthwhile case comes first; each next one has the largest product of worth and
    distance to the nearest chosen one, as in greedy k-centres (Sener and Savarese 2018), among the
    most worthwhile cases only.

    Parameters
    ----------
    uncertain:
        ``(n,)``, 0 to 1.
    features:
        ``(n, d)`` of the bundle's members side by side.
    distance:
        Score against training ``(n,)``; 1 is the limit, above it a case is unlike training.
    """
    worth = np.asarray(uncertain, dtype=np.float64).copy()
    if distance is not None:
        worth += _UNLIKE * np.clip(np.nan_to_num(distance) - 1.0, 0.0, 1.0)
    pool = np.argsort(-worth, kind="stable")[: max(_POOL * n, 1)]
    x = np.asarray(features, dtype=np.float64)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6 * max(1.0, float(x.std())))
    x = x[pool]
    middle = float(np.median(np.linalg.norm(x - x.mean(axis=0), axis=1)))
    nearest = np.full(len(pool), np.inf)
    left = np.ones(len(pool), dtype=np.bool_)
    chosen: list[Choice] = []
    while len(chosen) < min(n, len(pool)):
        novelty = np.minimum(1.0, nearest / max(middle, 1e-12))
        gain = np.where(left, (worth[pool] + 1e-9) * (novelty + 1e-9), -1.0)
        best = int(gain.argmax())
        chosen.append(Choice(int(pool[best]), float(worth[pool[best]]), float(novelty[best])))
        left[best] = False
        nearest = np.minimum(nearest, np.linalg.norm(x - x[best], axis=1))
    return chosen


def _ask(bundle: Bundle, entries: Sequence[Entry], progress: Progress) -> Asked:
    """What a classification bundle says of each case that it does not know."""
    asked = Asked(multilabel=bundle.manifest.task == "multilabel")
    found = answers(bundle, entries, known=True, wanted=lambda split: split is None)
    for number, answer in enumerate(found, start=1):
        said = answer.prediction
        if said is not None:
            p = np.array([[said.probability[c] for c in bundle.manifest.classes]])
            asked.seen.append(
                Seen(
                    answer.entry.name,
                    float(uncertainty(p, bundle.manifest.task)[0]),
                    np.asarray(said.output.features, dtype=np.float64).ravel(),
                    {c: said.probability[c] for c in bundle.manifest.classes},
                    said.distance,
                )
            )
        elif answer.error is not None:
            asked.refused.append(Refusal.of(answer.entry.name, answer.error))
        else:
            asked.known += 1
        progress("select", number / len(entries))
    return asked


def _told(seen: Seen, pick: Choice, multilabel: bool) -> Selected:
    reason = _outline_reason(seen) if seen.dice else _reason(seen, pick, multilabel)
    return Selected(
        seen.name, reason, seen.probability, seen.uncertainty, seen.distance, pick.novelty,
        seen.dice,
    )  # fmt: skip


def _outline_reason(seen: Seen) -> str:
    worst = min(seen.dice, key=lambda name: seen.dice[name])
    return f"Expected to be outlined worst: '{worst}', Dice {seen.dice[worst]:.2f}."


def _reason(seen: Seen, pick: Choice, multilabel: bool) -> str:
    """One sentence: what made this case worth labelling most."""
    strange = 0.0 if seen.distance is None else seen.distance - 1.0
    if strange > 0 and _UNLIKE * min(strange, 1.0) >= 0.25 * seen.uncertainty:
        return f"Unlike the training cases: {1.0 + strange:.1f} times the limit."
    if multilabel:
        name = min(seen.probability, key=lambda c: abs(seen.probability[c] - 0.5))
        doubt = f"'{name}' is open ({seen.probability[name]:.2f})"
    else:
        first, second = sorted(seen.probability, key=lambda c: -seen.probability[c])[:2]
        doubt = (
            f"{first} ({seen.probability[first]:.2f}) or {second} ({seen.probability[second]:.2f})"
        )
    if seen.uncertainty >= 0.7:
        return f"Undecided: {doubt}."
    if pick.novelty >= 1.0:
        return f"Looks like no case above it, and not settled: {doubt}."
    return f"Less settled than most: {doubt}."


def _header(first: Selected) -> tuple[str, ...]:
    return (
        "rank", "file", "reason",
        *(f"probability:{c}" for c in first.probability),
        *(f"predicted_dice:{c}" for c in first.predicted_dice),
        "uncertainty", "unlike_training", "distance", "novelty",
    )  # fmt: skip


def _row(chosen: Selected, number: int) -> list[str]:
    distance = chosen.distance
    return [
        str(number + 1),
        chosen.file,
        chosen.reason,
        *(repr(value) for value in chosen.probability.values()),
        *(f"{value:.6f}" for value in chosen.predicted_dice.values()),
        f"{chosen.uncertainty:.6f}",
        "" if distance is None else str(int(distance > 1.0)),
        "" if distance is None else f"{distance:.6f}",
        f"{chosen.novelty:.6f}",
    ]
