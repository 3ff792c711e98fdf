"""What a finished run leaves for people: a table of held-out cases, and the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from diaphane.batch.scoring import ScoredMask
from diaphane.batch.segmenting import drawn
from diaphane.bundle import Segmentation, Segmenter, keep_components
from diaphane.core.tables import write_table
from diaphane.learn.runs import RunFolder
from diaphane.learn.segmenting.judgement import Held
from diaphane.learn.segmenting.looks import Looks
from diaphane.learn.segmenting.shipping import Making
from diaphane.learn.shipping import versions
from diaphane.learn.telling import engine_of
from diaphane.report import write_segmentation_run
from diaphane.report.run_facts import Material, Planning, RunFacts, SegmentedExample

_SHOWN = 12


def tell(making: Making, bundle: Segmenter, folder: RunFolder, state: dict[str, Any]) -> None:
    """Write ``predictions.csv`` and ``report.html``."""
    judgement, plan, store = making.judgement, making.plan, making.store
    scored = judgement.scored
    if scored.cases:
        write_table(folder.path / "predictions.csv", scored.header(), scored.rows(keys=True))
    counts: dict[str, dict[str, int]] = {}
    for name in sorted(set(making.splits)):
        rows = [r for r, s in zip(store.rows, making.splits, strict=True) if s == name]
        counts[name] = {"cases": len(rows), "groups": len({row.group for row in rows})}
    refused = Counter(case.error.code for case in store.refused)
    write_segmentation_run(
        folder.path / "report.html",
        plan=plan.model_dump(mode="json", exclude={"reasons"}),
        epochs=[look.row() for look in Looks(folder.metrics, tuple(plan.labels)).all],
        labels=plan.labels,
        split=counts,
        evaluation=judgement.evaluation,
        bundle=bundle.ref(),
        examples=_examples(making),
        quality=judgement.pairs,
        facts=RunFacts(
            _material(making, counts, refused),
            Planning(
                reasons=state.get("reasons") or plan.reasons,
                said=state.get("said") or (),
                budget=plan.time_budget,
                seconds=state.get("seconds"),
                steps=plan.steps,
                annealed_early_at=state.get("annealed_early_at"),
            ),
            engine_of(
                {"versions": versions(), **state},
                seed=plan.seed,
                networks=len(making.nets),
                parameters=sum(p.numel() for net in making.nets for p in net.parameters()),
            ),
        ),
        notes=[f"{len(store.refused)} cases could not be used."] if store.refused else [],
    )


def _material(making: Making, counts: dict[str, dict[str, int]], refused: Counter[str]) -> Material:
    plan, store = making.plan, making.store
    shapes = np.array([kept.native.shape for kept in store.kept], dtype=np.float64)
    z, y, x = (float(v) for v in np.median(shapes, axis=0))
    steps = [kept.native.spacing for kept in store.kept]
    known = [[s for s in axis if s is not None] for axis in zip(*steps, strict=True)]
    middle = [float(np.median(axis)) if len(axis) == len(steps) else None for axis in known]
    groups = {row.group for row in store.rows}
    return Material(
        cases=len(store),
        groups=len(groups),
        grouped=len(groups) < len(store),
        classes={
            name: sum(number in kept.places for kept in store.kept)
            for number, name in enumerate(plan.labels, start=1)
        },
        kind="image" if float(shapes[:, 0].max()) <= 1 else "volume",
        channels=plan.channels,
        size=(z, y, x),
        spacing=(middle[0], middle[1], middle[2]),
        parts=counts,
        given=any(row.split for row in store.rows),
        sources=[source.model_dump() for source in plan.sources],
        refused=dict(refused),
    )


def _examples(making: Making) -> list[SegmentedExample]:
    """The worst cases and a few others, read again."""
    judgement = making.judgement
    by_key = {making.store.rows[one.case].key: one for one in judgement.held}
    known = [case for case in judgement.scored.cases if case.dice() is not None]
    known.sort(key=lambda case: case.dice() or 0.0)
    middle = len(known) // 2
    chosen = known if len(known) <= _SHOWN else [*known[: _SHOWN - 3], *known[middle : middle + 3]]
    return [_example(making, by_key[case.entry.key], case) for case in chosen]


def _example(making: Making, held: Held, scored: ScoredMask) -> SegmentedExample:
    plan, judgement = making.plan, making.judgement
    names = {value: name for name, value in plan.labels.items()}
    predicted, truth = held.masks()
    values = np.array([0, *plan.labels.values()], dtype=np.uint16)
    case = scored.entry.load()
    assert case.mask is not None
    kept = keep_components(predicted, judgement.specs(plan))
    found = Segmentation(
        key=case.key,
        labels=case.mask.with_voxels(values[kept]),
        probabilities=None,
        uncertainty=None,
        volume={},
        unit=scored.unit,
        predicted_dice={n: judgement.guesses.get((held.case, n)) for n in plan.labels},
        features=held.features,
    )
    dice = {names[value]: overlap.dice for value, overlap in scored.overlaps.items()}
    return drawn(case, case.mask.with_voxels(values[truth]), found, dice)
