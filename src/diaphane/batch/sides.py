"""One side of a comparison: a run, an evaluation, or another tool's predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diaphane.acquire import open_dataset
from diaphane.batch.outside import Outside, score_predictions
from diaphane.batch.scoring import ScoredMasks
from diaphane.core.errors import DatasetError, EmptyInput, UsageError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.privacy import Pseudonymiser
from diaphane.report import Note

TABLE, PLAN, METRICS, CURVES = "predictions.csv", "plan.yaml", "metrics.json", "metrics.csv"
FINGERPRINT = "fingerprint.json"
_CHANCE, _ORDER = "probability:", "order:"
_MASKS = ("dice", "hd95", "surface_distance")


@dataclass(frozen=True)
class SideCase:
    """A case as one side scored it: group, true class ("" for masks), values in column order.

    ``order`` are the scores that cases are ordered by, where these are not the values.
    """

    group: str
    label: str
    values: tuple[float | None, ...]
    order: tuple[float | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Side:
    """What one side of a comparison brings.

    Attributes
    ----------
    name:
        A plan's or bundle's name, or "predictions"; no path.
    task:
        "binary", "multiclass", "multilabel" or "segmentation".
    columns:
        Classes (positive last), or per-case figures such as "dice:LABEL".
    cases:
        By key.
    keyed:
        Whether keys are pseudonyms; names as typed otherwise.
    seen:
        Cases left out because the side was trained on them.
    plan, epochs:
        Of a run.
    images:
        What a run's images were like, in numbers; empty where that is not known.
    """

    name: str
    task: str
    columns: tuple[str, ...]
    cases: Mapping[str, SideCase]
    keyed: bool
    seen: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Mapping[str, Any]] = ()
    notes: tuple[Note, ...] = ()
    images: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """The data set that predictions of other tools are held against, and the part of it."""

    dataset: Path
    split: str = "all"
    positive: str | None = None
    options: ReadOptions = AS_IS


def load_side(place: Path, truth: Truth | None, *, progress: Progress = silent) -> Side:
    """Read a side from a run's folder, an evaluation's folder or table, or predictions.

    Raises
    ------
    EmptyInput, DatasetError
        There is nothing, or it holds no scores by case.
    UsageError
        It holds predictions without truth, and no data set is given.
    """
    if not place.exists():
        raise EmptyInput("There is no such file or folder.", path=place)
    if place.is_dir() and (place / PLAN).is_file():
        return _run(place)
    table = place / TABLE if place.is_dir() else place
    if table.is_file() and _is_scored(table):
        return _scored_table(table, "predictions", keyed=False, about=_about(table.parent))
    if truth is None:
        raise UsageError(
            "These predictions come without the truth.",
            path=place,
            remedy="Say which data set they are of: --dataset D",
        )
    return _outside(place, truth, progress)


def _run(place: Path) -> Side:
    import yaml

    table = place / TABLE
    if not table.is_file():
        raise DatasetError(
            f"The run holds no {TABLE}: it is not finished, or an older diaphane made it.",
            path=place,
            remedy="Finish it with --resume, or evaluate its bundle and compare that folder.",
        )
    try:
        plan = yaml.safe_load((place / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DatasetError("The plan cannot be read.", path=place / PLAN) from error
    plan = plan if isinstance(plan, dict) else {}
    side = _scored_table(
        table, str(plan.get("name") or "run"), keyed=True, about={"task": plan.get("task")}
    )
    return Side(
        side.name, side.task, side.columns, side.cases, keyed=True, plan=plan,
        epochs=_epochs(place / CURVES), images=_images(place / FINGERPRINT),
    )  # fmt: skip


def _images(path: Path) -> dict[str, Any]:
    """What a run's fingerprint tells of its images."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return {key: facts[key] for key in ("height", "width", "slices", "intensity")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _about(folder: Path) -> dict[str, Any]:
    """Task and name from an evaluation's ``metrics.json``, as far as it is there."""
    path = folder / METRICS
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        bundle = data.get("settings", {}).get("bundle") or {}
        return {"task": data.get("task"), "name": bundle.get("name")}
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError("This is not the metrics.json of an evaluation.", path=path) from error


def _is_scored(table: Path) -> bool:
    """Whether a table holds the truth as well: our own of an evaluation or a run."""
    try:
        with table.open(encoding="utf-8", errors="replace", newline="") as stream:
            header = next(csv.reader(stream), [])
    except OSError:
        return False
    masks = any(name.startswith("dice:") for name in header)
    chances = "label" in header and any(name.startswith(_CHANCE) for name in header)
    return {"case", "group"} <= set(header) and (masks or chances)


def _scored_table(table: Path, name: str, *, keyed: bool, about: Mapping[str, Any]) -> Side:
    try:
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error) as error:
        raise DatasetError(f"The table cannot be read: {error}.", path=table) from error
    if not rows:
        raise DatasetError("The table has no row.", path=table)
    chances = [key for key in rows[0] if key.startswith(_CHANCE)]
    scores = [key for key in rows[0] if key.partition(":")[0] in _MASKS and ":" in key]
    columns = chances or scores
    classes = tuple(key.removeprefix(_CHANCE) for key in columns)
    kind = "segmentation" if not chances else "binary" if len(classes) == 2 else "multiclass"
    task = str(about.get("task") or kind)
    orders = [f"{_ORDER}{name}" for name in classes]
    orders = orders if chances and set(orders) <= set(rows[0]) else []
    cases: dict[str, SideCase] = {}
    seen = 0
    for row in rows:
        if row.get("seen") == "1":
            seen += 1
            continue
        if row["case"] in cases:
            raise DatasetError(f"The case '{row['case']}' stands twice.", path=table)
        try:
            values = tuple(float(row[key]) if row[key] else None for key in columns)
            order = tuple(float(row[key]) for key in orders)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"Case '{row['case']}': {error}.", path=table) from error
        if chances and None in values:
            raise DatasetError(f"The case '{row['case']}' has no probability.", path=table)
        cases[row["case"]] = SideCase(row["group"], row.get("label") or "", values, order)
    called = str(about.get("name") or name)
    return Side(called, task, classes, cases, keyed, seen)


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Rows of ``metrics.csv`` with numbers as numbers."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {key: _number(value) for key, value in row.items() if value}
            for row in csv.DictReader(stream)
        ]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _outside(place: Path, truth: Truth, progress: Progress) -> Side:
    asked = Outside(
        place, truth.dataset, truth.split, positive=truth.positive, options=truth.options
    )
    scored, notes = score_predictions(asked, progress=progress)
    cases: dict[str, SideCase] = {}
    if isinstance(scored, ScoredMasks):
        labels = sorted(scored.labels)
        columns = tuple(f"{figure}:{scored.labels[k]}" for k in labels for figure in _MASKS)
        for case in scored.cases:
            overlaps = [case.overlaps[k] for k in labels]
            values = tuple(getattr(o, figure) for o in overlaps for figure in _MASKS)
            cases[case.entry.key] = SideCase(case.entry.group, "", values)
        return Side("predictions", "segmentation", columns, cases, keyed=True, notes=tuple(notes))
    for i, entry in enumerate(scored.entries):
        cases[entry.key] = SideCase(entry.group, scored.label(i), tuple(scored.probability[i]))
    return Side("predictions", scored.task, scored.classes, cases, keyed=True, notes=tuple(notes))


def with_keys(side: Side, truth: Truth | None) -> Side:
    """The side with pseudonyms in place of names: by the data set, else by this machine's key."""
    from dataclasses import replace

    if side.keyed:
        return side
    if truth is not None:
        opened = open_dataset(truth.dataset, options=truth.options)
        keys = {entry.name: entry.key for entry in opened.entries}
        lost = [name for name in side.cases if name not in keys]
        if lost:
            raise DatasetError(
                f"{len(lost)} cases are not in the data set, '{lost[0]}' first.", path=truth.dataset
            )
    else:
        names = Pseudonymiser.load()
        keys = {name: names.pseudonym(name, "case") for name in side.cases}
    return replace(side, cases={keys[name]: case for name, case in side.cases.items()}, keyed=True)
