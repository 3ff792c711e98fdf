"""What a finished run tells its report, gathered from its folder and its judgement."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import Bundle
from diaphane.core.evaluation import Interval
from diaphane.learn.cases import CaseStore
from diaphane.learn.history import History
from diaphane.learn.judging import Judgement
from diaphane.learn.plans import Plan
from diaphane.learn.runs import RunFolder
from diaphane.learn.shipping import Making
from diaphane.report import (
    Confusion,
    Engine,
    Example,
    Family,
    Material,
    Planning,
    RunFacts,
    write_run_report,
)

_EXAMPLES = 60
"""Judged cases that get a picture, the worst of them and some drawn evenly from the rest."""
_SLICES = 3


def tell(making: Making, bundle: Bundle, folder: RunFolder, *, lang: str = "en") -> Path:
    """Write ``report.html`` of a finished classification run.

    What the run folder holds beside (``fingerprint.json``, ``families.csv``, ``run.json``) is
    told as far as it is there.
    """
    plan, judgement, store = making.plan, making.judgement, making.store
    state = folder.read_state()
    figures = judgement.figures
    numbers = {k: v for k, v in judgement.about.items() if isinstance(v, int | float)}
    sets = judgement.sets
    if sets is not None:
        numbers |= {"coverage": sets.coverage, "mean_set_size": sets.mean_size}
    facts = RunFacts(
        material_of(making, _read_json(folder.path / "fingerprint.json")),
        planning_of(folder.path, state, plan.reasons, steps=getattr(plan, "steps", None)),
        engine_of(
            state, seed=plan.split.seed, networks=len(making.nets),
            parameters=sum(p.numel() for net in making.nets for p in net.parameters()),
        ),
    )  # fmt: skip
    return write_run_report(
        folder.path / "report.html",
        plan=plan.model_dump(mode="json", exclude={"reasons"}),
        epochs=[asdict(epoch) for epoch in History(folder.metrics).epochs],
        split=parts_of(making),
        evaluation=None if figures is None else figures.evaluation(str(judgement.about["split"])),
        bundle=bundle.ref(),
        calibration=numbers,
        faithfulness=bundle.manifest.faithfulness,
        confusion=confusions(plan, judgement),
        examples=examples(plan, judgement, store),
        facts=facts,
        title=plan.title or plan.name,
        lang=lang,
    )


def parts_of(making: Making) -> dict[str, dict[str, int]]:
    """Split -> how many cases and groups."""
    counts: dict[str, dict[str, int]] = {}
    for name in sorted(set(making.splits), key=_split_order):
        rows = [r for r, s in zip(making.store.rows, making.splits, strict=True) if s == name]
        counts[name] = {"cases": len(rows), "groups": len({row.group for row in rows})}
    return counts


def _split_order(name: str) -> tuple[int, str]:
    known = ("train", "val", "test")
    return (known.index(name) if name in known else len(known), name)


def material_of(making: Making, fingerprint: Mapping[str, Any]) -> Material:
    """The data of a run; what the fingerprint does not hold is counted from the cases."""
    plan, store = making.plan, making.store
    groups = len({row.group for row in store.rows})
    classes: Counter[str] = Counter()
    for row in store.rows:
        for column in plan.label_columns:
            value = row.labels.get(column)
            if plan.task != "multilabel" and value:
                classes[value] += 1
            elif value and value == plan.positive.get(column):
                classes[column] += 1
    order = plan.class_names
    size: tuple[float, float, float] | None = None
    spacing: tuple[float | None, float | None, float | None] | None = None
    if fingerprint:
        z, y, x = (float(fingerprint[axis]["median"]) for axis in ("slices", "height", "width"))
        size = (z, y, x)
        dz, dy, dx = fingerprint.get("spacing") or (None, None, None)
        spacing = (dz, dy, dx)
    return Material(
        cases=len(store),
        groups=groups,
        grouped=bool(fingerprint.get("grouped", groups < len(store))),
        classes={name: classes[name] for name in order if classes[name]},
        kind="image" if plan.input.kind == "image" else "sequence",
        modality=str(fingerprint.get("modality") or ""),
        unit=str(fingerprint.get("unit") or ""),
        channels=plan.input.channels,
        size=size,
        spacing=spacing,
        parts=parts_of(making),
        given=any(row.split for row in store.rows),
        sources=[source.model_dump() for source in plan.sources],
        refused=Counter(case.error.code for case in store.refused),
    )


def planning_of(
    folder: Path,
    state: Mapping[str, Any],
    reasons: Mapping[str, str],
    *,
    steps: int | None = None,
) -> Planning:
    """The story of the plan, from ``run.json`` and ``families.csv``."""
    families, metric = read_families(folder / "families.csv")

    def whole(key: str) -> int | None:
        value = state.get(key)
        return int(value) if isinstance(value, (int, float)) else None

    def seconds(key: str) -> float | None:
        value = state.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    return Planning(
        reasons=dict(state.get("reasons") or reasons),
        said=[str(line) for line in state.get("said") or ()],
        families=families,
        family_metric=metric,
        budget=seconds("time_budget"),
        seconds=seconds("seconds"),
        steps=whole("steps") or steps,
        annealed_early_at=_earliest(state.get("annealed_early_at")),
    )


def _earliest(found: Any) -> int | None:
    """The first step of any network at which the deadline forced the annealing."""
    steps = found.values() if isinstance(found, Mapping) else [found]
    known = [int(step) for step in steps if isinstance(step, (int, float))]
    return min(known, default=None)


def read_families(path: Path) -> tuple[list[Family], str]:
    """The cross-validation table, and the code of its figure; empty where there is none."""
    if not path.is_file():
        return [], "auc"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    metric = next((key for key in ("auc", "accuracy", "dice") if rows and key in rows[0]), "auc")

    def number(row: Mapping[str, str], key: str) -> float | None:
        try:
            value = float(row.get(key) or "nan")
        except ValueError:
            return None
        return value if np.isfinite(value) else None

    def count(row: Mapping[str, str], key: str) -> int | None:
        value = number(row, key)
        return None if value is None else int(value)

    return [
        Family(
            name=row.get("name", ""),
            value=Interval(number(row, metric), number(row, "low"), number(row, "high")),
            chosen=str(row.get("chosen", "")).lower() in ("1", "true", "yes"),
            folds=count(row, "folds"),
            cases=count(row, "cases"),
            seconds=number(row, "seconds"),
        )
        for row in rows
    ], metric


def engine_of(
    state: Mapping[str, Any], *, seed: int, networks: int, parameters: int | None
) -> Engine:
    """Versions and machine as ``run.json`` recorded them."""
    import platform

    machine = dict(state.get("machine") or {})
    device = str(machine.pop("device", None) or state.get("device") or "cpu")
    processor = str(machine.pop("processor", platform.machine()))
    system = str(machine.pop("system", platform.system()))
    packages = {**machine, **dict(state.get("versions") or {})}
    threads = state.get("threads")
    return Engine(
        device=device,
        threads=int(threads) if isinstance(threads, int) else None,
        processor=processor,
        system=system,
        versions={**packages, "Python": platform.python_version()},
        networks=networks,
        parameters=parameters,
        seed=seed,
    )


def confusions(plan: Plan, judgement: Judgement) -> list[Confusion]:
    """Tables of right and wrong: at each operating point, by class, or by label."""
    labels, chance = judgement.labels, judgement.probability
    if not len(labels):
        return []
    names = plan.class_names
    if plan.task == "multiclass":
        return [Confusion(names, table_of(labels, chance.argmax(axis=1), len(names)))]
    if plan.task == "multilabel":
        return [
            Confusion(
                (f"not {name}", name), table_of(labels[:, k], chance[:, k] >= 0.5, 2), 0.5,
                label=name,
            )
            for k, name in enumerate(names)
        ]  # fmt: skip
    cross_fitted = bool(judgement.about.get("cross_fitted"))
    if not judgement.points:
        return [Confusion(names, table_of(labels, chance[:, 1] >= 0.5, 2), 0.5, "half")]
    return [
        Confusion(
            names, table_of(labels, chance[:, 1] >= point.threshold, 2), float(point.threshold),
            point.name, point.sensitivity, point.specificity, same_cases=cross_fitted,
        )
        for point in judgement.points
    ]  # fmt: skip


def table_of(truth: NDArray[Any], answer: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Counts ``(K, K)``: truth down, answer across."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (truth.astype(np.int64), answer.astype(np.int64)), 1)
    return table


def examples(plan: Plan, judgement: Judgement, store: CaseStore) -> list[Example]:
    """Judged cases as the network saw them, under pseudonyms."""
    names = plan.class_names
    right = _right(plan, judgement)
    order = np.argsort(right, kind="stable")
    if len(order) > _EXAMPLES:
        half = _EXAMPLES // 2
        rest = np.linspace(half, len(order) - 1, _EXAMPLES - half).round().astype(int)
        order = order[np.r_[:half, rest]]
    shown = []
    for i in order:
        chance, truth = judgement.probability[i], judgement.labels[i]
        case = int(judgement.cases[i])
        if plan.task == "multilabel":
            there = [name for name, value in zip(names, truth, strict=True) if value]
            words = ", ".join(there) or "none"
            wrong = bool(((chance >= 0.5) != (truth > 0.5)).any())
        else:
            words = names[int(truth)]
            wrong = int(chance.argmax()) != int(truth)
        shown.append(
            Example(
                case=store.rows[case].key,
                images=_pictures(store, case),
                truth=words,
                probability={n: float(p) for n, p in zip(names, chance, strict=True)},
                right=float(right[i]),
                wrong=wrong,
            )
        )
    return shown


def _right(plan: Plan, judgement: Judgement) -> NDArray[np.float64]:
    """Probability of the truth ``(n,)``; of the worst label where there are several."""
    chance, truth = judgement.probability, judgement.labels
    if plan.task == "multilabel":
        return np.asarray(np.where(truth > 0.5, chance, 1.0 - chance).min(axis=1))
    return np.asarray(chance[np.arange(len(truth)), truth])


def _pictures(store: CaseStore, case: int) -> tuple[NDArray[Any], ...]:
    """The image, or slices from the middle of what is judged."""
    sample = store.sample(case)
    inside = np.flatnonzero(sample.mask.any(axis=(1, 2)))
    among = inside if len(inside) else np.arange(len(sample.image))
    at = np.linspace(0, len(among) - 1, min(_SLICES, len(among)) + 2)[1:-1].round().astype(int)
    low, high = float(sample.image.min()), float(sample.image.max())
    scale = 255.0 / max(high - low, 1e-9)
    shown = []
    for place in dict.fromkeys(int(among[i]) for i in at):
        plane = np.clip((sample.image[place] - low) * scale, 0, 255).astype(np.uint8)
        shown.append(np.moveaxis(plane, 0, -1) if len(plane) == 3 else plane[0])
    return tuple(shown)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
