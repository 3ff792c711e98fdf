"""Which cases a plan's networks learn from, are calibrated on, and are reported on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from diaphane.core.errors import DatasetError
from diaphane.learn.cases import CaseStore
from diaphane.learn.choosing import Trial
from diaphane.learn.duplicates import join_groups
from diaphane.learn.plans import Plan
from diaphane.learn.splits import (
    Index,
    Member,
    check_groups,
    draw_splits,
    first_appearance,
    members_of,
    strata,
)


def divide(plan: Plan, store: CaseStore, target: torch.Tensor) -> tuple[list[str], list[Member]]:
    """Split of each case, and every network's cases.

    Raises
    ------
    DatasetError
        A group lies in two splits, there are too few groups, or a training part has one class only.
    """
    stratum, group = _arranged(plan, store, target)
    given = [row.split for row in store.rows]
    if any(given):
        splits = [split or "unused" for split in given]
    elif plan.split.folds > 1:
        splits = ["train"] * len(store)
    else:
        splits = draw_splits(stratum, group, plan.split.seed)
    members = members_of(
        splits, stratum, group,
        folds=plan.split.folds, fold_seed=plan.split.seed, seeds=plan.seeds,
        stopping_share=plan.stopping.share,
        calibration_share=plan.split.calibration_share,
    )  # fmt: skip
    for member in members:
        if len(np.unique(stratum[member.fit])) < 2:
            raise DatasetError(
                "A training part has one class only.",
                remedy="Add cases of the rare class, or use fewer folds.",
            )
    return splits, members


def trial_of(plan: Plan, store: CaseStore, target: torch.Tensor) -> Trial:
    """The cases that a family is chosen on: the training part, and the one that calibrates with it.

    Validation joins only where there is a test part to report on. With folds over all cases there
    is none, so the choice is made on cases whose out-of-fold figures are reported; the plan says so.
    """
    stratum, group = _arranged(plan, store, target)
    splits, members = divide(plan, store, target)
    pool = {int(i) for m in members for i in (*m.fit, *m.stop)}
    if plan.split.folds > 1 or ("test" in splits and "val" in splits):
        pool |= {int(i) for m in members for i in m.held}
    return Trial(np.array(sorted(pool), dtype=np.int64), stratum, group)


def reported(cases: int, members: Sequence[Member]) -> Index:
    """Of ``cases`` cases, those that no network learned from or is calibrated on."""
    used = {int(i) for m in members for i in (*m.fit, *m.stop, *m.held)}
    return np.array([i for i in range(cases) if i not in used], dtype=np.int64)


def _arranged(plan: Plan, store: CaseStore, target: torch.Tensor) -> tuple[Index, Index]:
    """Stratum and group of each case; where the split is ours, equal voxels are of one group."""
    groups = [row.group for row in store.rows]
    given = [row.split for row in store.rows]
    check_groups(given, groups)
    if not any(given):
        groups = join_groups(groups, [row.hash for row in store.rows])
    labels = target.numpy()[:, 0] if plan.task == "binary" else target.numpy()
    return strata(labels), first_appearance(groups)
