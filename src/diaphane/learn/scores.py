"""``predictions.csv`` of a run: what was said of each case by networks that never saw it."""

from __future__ import annotations

from pathlib import Path

from diaphane.core.tables import write_table
from diaphane.learn.cases import CaseStore
from diaphane.learn.judging import Judgement
from diaphane.learn.plans import Plan


def write_predictions(path: Path, plan: Plan, store: CaseStore, judgement: Judgement) -> None:
    """Write a row for each case behind the run's figures, so that runs can be compared.

    Columns: ``case`` and ``group`` (pseudonyms), ``split`` ("out_of_fold", or the part that was
    scored), ``label`` (in a multi-label task the labels present, joined by ``|``), and
    ``probability:CLASS``, of two classes the positive one last; and ``order:CLASS``, by which cases
    are ordered where probabilities are cross-fitted.
    """
    classes, order = plan.class_names, judgement.order
    header = ["case", "group", "split", "label", *(f"probability:{name}" for name in classes)]
    header += [] if order is None else [f"order:{name}" for name in classes]
    split = str(judgement.about["split"])
    rows = []
    for place, number in enumerate(judgement.cases):
        row, truth = store.rows[int(number)], judgement.labels[place]
        if plan.task == "multilabel":
            label = "|".join(name for name, yes in zip(classes, truth, strict=True) if yes)
        else:
            label = classes[int(truth)]
        chances = [repr(float(p)) for p in judgement.probability[place]]
        scores = [] if order is None else [repr(float(p)) for p in order[place]]
        rows.append([row.key, row.group, split, label, *chances, *scores])
    write_table(path, header, rows)
