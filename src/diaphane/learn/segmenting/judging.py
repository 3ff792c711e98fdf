"""What the networks are worth on cases that they never saw, by the code that ships."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.batch.scoring import ScoredMasks
from diaphane.bundle import Segmenter, keep_components, load_segmenter
from diaphane.core.errors import DiaphaneError
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.judgement import Held, Judgement, packed
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.quality import Fit, Parts, choose_rule, fit_quality
from diaphane.learn.segmenting.shipping import plain_segmenter
from diaphane.learn.splits import Member
from diaphane.models.segment import Committee, SegmentNet

Array = NDArray[Any]
_LEAST = 3
"""Cases that are judged however late it is."""
_INTERVAL = 5
"""Cases below which figures stand without an interval."""


def judge(
    plan: SegmentationPlan,
    store: MaskStore,
    nets: Sequence[SegmentNet],
    members: Sequence[Member],
    splits: Sequence[str] = (),
    *,
    threads: int = 1,
    rounds: int = 2000,
    deadline: float | None = None,
    progress: Progress = silent,
) -> Judgement:
    """Outline held-out cases, then learn rules and quality from them, and measure.

    With a part that took no part at all (``splits`` names a test part), the figures are of that,
    by the fused networks; else they are of each network's held-out cases.

    Parameters
    ----------
    deadline:
        In seconds of :func:`time.monotonic`; no further case is begun after it.
    """
    names = tuple(plan.labels)
    untouched = _untouched(store, members, splits)
    final = deadline
    if deadline is not None and len(untouched):
        # Rules and quality come from the held-back cases, figures from the others.
        deadline = time.monotonic() + 0.3 * max(0.0, deadline - time.monotonic())
    held: list[Held] = []
    wanted = sum(len(member.held) for member in members)
    for net, member in zip(nets, members, strict=True):
        if not len(member.held):
            continue
        share = len(held) / max(1, wanted)
        late = deadline
        if deadline is not None:
            rest = sum(len(m.held) for m in members if m.fold >= member.fold)
            left = max(0.0, deadline - time.monotonic())
            late = time.monotonic() + left * len(member.held) / max(1, rest)
        told = _Told(progress, share, len(member.held) / max(1, wanted))
        held += _outlined(
            plan, store, net, member.held, fold=member.fold, threads=threads, deadline=late,
            told=told,
        )  # fmt: skip
    parts: dict[str, list[Parts]] = {name: [] for name in names}
    for one in held:
        predicted, truth = one.masks()
        for number, name in enumerate(names, start=1):
            parts[name].append(Parts.of(predicted == number, truth == number))
    rules = {name: choose_rule(parts[name]) for name in names}
    quality: dict[str, Fit] = {}
    pairs: dict[str, list[tuple[float, float]]] = {}
    guesses: dict[tuple[int, str], float] = {}
    for name in names:
        there = [
            i for i, part in enumerate(parts[name]) if part.truth or part.sizes.size
        ]  # fmt: skip
        dice = [parts[name][i].dice(rules[name]) for i in there]
        fit = fit_quality(
            [held[i].features[name] for i in there], dice, [held[i].fold for i in there]
        )
        quality[name] = fit
        pairs[name] = list(zip((float(v) for v in fit.crossed), dice, strict=True))
        guesses |= {(held[i].case, name): float(v) for i, v in zip(there, fit.crossed, strict=True)}
    split = "out_of_fold" if len({m.fold for m in members}) > 1 else "calibration"
    found = Judgement(
        rules, quality, ScoredMasks({}), None, held, pairs, guesses, split, wanted
    )  # fmt: skip
    shown = held
    if len(untouched):
        found.split = next(iter({splits[int(i)] for i in untouched}))
        shown = _outlined(
            plan, store, Committee(list(nets)), untouched, fold=0, threads=threads,
            deadline=final, told=_Told(progress, 0.0, 1.0),
        )  # fmt: skip
        found.wanted = len(untouched)
    _score(found, plan, store, shown, rounds)
    return found


def _untouched(
    store: MaskStore, members: Sequence[Member], splits: Sequence[str]
) -> NDArray[np.int64]:
    """Cases of the data set's test part, else of its validation part, that took no part."""
    used = {int(i) for m in members for i in (*m.fit, *m.stop, *m.held)}
    free = [i for i in range(len(store)) if i not in used and i < len(splits)]
    left = [i for i in free if splits[i] == "test"] or [i for i in free if splits[i] == "val"]
    return np.array(left, dtype=np.int64)


def _score(
    found: Judgement, plan: SegmentationPlan, store: MaskStore, shown: list[Held], rounds: int
) -> None:
    """Fill in the table and the figures."""
    names = tuple(plan.labels)
    specs = found.specs(plan)
    values = np.array([0, *plan.labels.values()])
    found.scored = ScoredMasks(
        {value: name for name, value in plan.labels.items()},
        ("split", "fold", *(f"predicted_dice:{name}" for name in names)),
    )
    found.held = shown
    for one in shown:
        predicted, truth = one.masks()
        kept = keep_components(predicted, specs)
        native = Volume(values[truth].astype(np.uint16), store.kept[one.case].native, "SEG")
        cells = [found.guesses.get((one.case, name)) for name in names]
        found.scored.add(
            store.entries[one.case], values[kept], native,
            cells=[found.split, str(one.fold), *("" if c is None else f"{c:.4f}" for c in cells)],
        )  # fmt: skip
    if shown:
        whole = found.scored.evaluation(found.split, seed=plan.seed, rounds=rounds)
        if whole.n < _INTERVAL:
            bare = {k: replace(v, low=None, high=None) for k, v in whole.metrics.items()}
            whole = replace(whole, metrics=bare)
        found.evaluation = whole


@dataclass(frozen=True)
class _Told:
    """Tells the share of all that is done, of a part that begins at ``start``."""

    progress: Progress
    start: float
    length: float

    def __call__(self, done: int, of: int) -> None:
        self.progress("judging", min(1.0, self.start + self.length * done / max(1, of)))


def _outlined(
    plan: SegmentationPlan,
    store: MaskStore,
    net: SegmentNet | Committee,
    cases: NDArray[np.int64],
    *,
    fold: int,
    threads: int,
    deadline: float | None,
    told: _Told,
) -> list[Held]:
    """Cases as a bundle of these networks outlines them, every component kept."""
    found = []
    with tempfile.TemporaryDirectory() as room:
        folder = plain_segmenter(plan, net, Path(room) / "bundle")
        bundle = load_segmenter(folder, threads=threads)
        for done, case in enumerate(cases):
            if deadline is not None and time.monotonic() > deadline and done >= _LEAST:
                break
            try:
                found.append(_one(plan, store, bundle, int(case), fold))
            except DiaphaneError:  # it was read before; a file that vanished is not judged
                continue
            told(done + 1, len(cases))
    return found


def _one(plan: SegmentationPlan, store: MaskStore, bundle: Segmenter, case: int, fold: int) -> Held:
    loaded = store.entries[case].load()
    assert loaded.mask is not None
    said = bundle.segment(loaded)
    predicted, truth = np.asarray(said.labels.voxels), np.asarray(loaded.mask.voxels)
    number = np.zeros(max(plan.labels.values()) + 1, dtype=np.uint16)
    number[list(plan.labels.values())] = np.arange(1, len(plan.labels) + 1)
    z, y, x = truth.shape
    return Held(
        case, fold, (z, y, x), packed(number[predicted]), packed(number[truth]), said.features
    )  # fmt: skip
