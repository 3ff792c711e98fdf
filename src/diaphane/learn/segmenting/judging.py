"""What the networks are worth on cases that they never saw, by the code that ships."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.batch.scoring import ScoredMasks
from diaphane.bundle import LabelSpec, Segmenter, keep_components, load_segmenter
from diaphane.core.errors import DiaphaneError
from diaphane.core.evaluation import Evaluation
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.segmenting.quality import Fit, Parts, Rule, choose_rule, fit_quality
from diaphane.learn.segmenting.shipping import plain_segmenter
from diaphane.learn.splits import Member
from diaphane.models.segment import Committee, SegmentNet

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Held:
    """A case as networks that never saw it outline it; masks are packed."""

    case: int
    fold: int
    shape: tuple[int, int, int]
    predicted: bytes
    truth: bytes
    features: dict[str, dict[str, float]]

    def masks(self) -> tuple[Array, Array]:
        """Label numbers ``(z, y, x)``: predicted (before components are dropped), and true."""
        return _unpacked(self.predicted, self.shape), _unpacked(self.truth, self.shape)


@dataclass(eq=False)
class Judgement:
    """Everything that a bundle says beside its model.

    Attributes
    ----------
    rules, quality:
        By label name.
    evaluation:
        Figures of held-out cases, ``None`` when there are none.
    pairs:
        Label -> ``(predicted, true)`` Dice of cases that the quality model was not fitted on.
    guesses:
        By case and label, the same predicted Dice.
    """

    rules: dict[str, Rule]
    quality: dict[str, Fit]
    scored: ScoredMasks
    evaluation: Evaluation | None
    held: list[Held] = field(default_factory=list)
    pairs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    guesses: dict[tuple[int, str], float] = field(default_factory=dict)
    split: str = "out_of_fold"
    wanted: int = 0

    def specs(self, plan: SegmentationPlan) -> tuple[LabelSpec, ...]:
        """Labels with their rules."""
        return tuple(
            LabelSpec(
                value=value, name=name, keep=self.rules[name].keep, least=self.rules[name].least
            )
            for name, value in plan.labels.items()
        )

    @property
    def about(self) -> dict[str, Any]:
        """How the figures were measured, for the manifest."""
        found: dict[str, Any] = {
            "split": self.split,
            "quality": {name: dict(fit.about) for name, fit in self.quality.items()},
            "components": {
                name: {"keep": rule.keep, "least": rule.least, "gain": rule.gain}
                for name, rule in self.rules.items()
            },
        }
        if self.evaluation is not None:
            found |= {
                "n": self.evaluation.n, "groups": self.evaluation.groups,
                "of": self.wanted, **{
                    k: v for k, v in self.evaluation.settings.items()
                    if k in ("seed", "rounds", "level", "unit")
                },
            }  # fmt: skip
        return found


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
    untouched = _untouched(store, members, splits)
    if len(untouched):
        found.split = next(iter({splits[int(i)] for i in untouched}))
        shown = _outlined(
            plan, store, Committee(list(nets)), untouched, fold=0, threads=threads,
            deadline=deadline, told=_Told(progress, 0.0, 1.0),
        )  # fmt: skip
        found.wanted = len(untouched)
    _score(found, plan, store, shown, rounds)
    return found


def _untouched(
    store: MaskStore, members: Sequence[Member], splits: Sequence[str]
) -> NDArray[np.int64]:
    """Test cases: neither learned from nor held back."""
    used = {int(i) for m in members for i in (*m.fit, *m.stop, *m.held)}
    left = [i for i in range(len(store)) if i not in used and splits and splits[i] == "test"]
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
        found.evaluation = found.scored.evaluation(found.split, seed=plan.seed, rounds=rounds)


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
            if deadline is not None and time.monotonic() > deadline and done:
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
        case, fold, (z, y, x), _packed(number[predicted]), _packed(number[truth]), said.features
    )  # fmt: skip


def _packed(index: Array) -> bytes:
    return zlib.compress(np.ascontiguousarray(index, dtype="<u2").tobytes(), 1)


def _unpacked(data: bytes, shape: tuple[int, int, int]) -> Array:
    return np.frombuffer(zlib.decompress(data), dtype="<u2").reshape(shape)
