"""Which case trains and which is held back; a group never falls on two sides."""

from __future__ import annotations

import numpy as np

from diaphane.core.errors import DatasetError
from diaphane.learn.duplicates import join_groups
from diaphane.learn.segmenting.cases import MaskStore
from diaphane.learn.segmenting.plans import SegmentationPlan
from diaphane.learn.splits import Member, check_groups, first_appearance, members_of, strata


def split_cases(plan: SegmentationPlan, store: MaskStore) -> tuple[list[str], list[Member]]:
    """Splits, and what each network learns from; groups and doubles stay whole.

    A set of one group has nothing to hold back: its network learns from all of it.

    Raises
    ------
    DatasetError
        A group lies in two splits, or there are fewer groups than folds.
    """
    rows = store.rows
    given = [row.split for row in rows]
    check_groups(given, [row.group for row in rows])
    names = [row.group for row in rows]
    if not any(given):
        names = join_groups(names, [row.hash for row in rows])
    group = first_appearance(names)
    has = np.array(
        [[float(k in kept.places) for k in range(1, len(plan.labels) + 1)] for kept in store.kept]
    )
    stratum = strata(has) if has.shape[1] > 1 else strata(has[:, 0])
    splits = [split or "unused" for split in given] if any(given) else ["train"] * len(rows)
    if any(given) and "train" not in splits:
        raise DatasetError("No case with a mask is in the training part.")
    pool = np.flatnonzero(np.array(splits) == "train")
    if len(np.unique(group[pool])) < 2 and not ("val" in splits and "test" in splits):
        none = np.empty(0, dtype=np.int64)
        return splits, [Member(0, 0, pool.astype(np.int64), none, none)]
    members = members_of(
        splits, stratum, group,
        folds=plan.folds, fold_seed=plan.seed, seeds=(0,), stopping_share=0.0,
        calibration_share=plan.calibration_share,
    )  # fmt: skip
    return splits, members
