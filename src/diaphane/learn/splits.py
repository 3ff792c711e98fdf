"""Which case trains, stops, calibrates or is scored; a group never falls on two sides.

Groups are numbered by first appearance before anything is drawn, so that the same seed gives the
same split on every machine, whatever key made their pseudonyms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import DatasetError

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Member:
    """What one network of a run learns from; all fields are sorted case indices.

    Attributes
    ----------
    fold:
        Number of the fold, from 0; a single-split run has only fold 0.
    seed:
        Seed of the network.
    fit:
        Cases whose gradient is followed.
    stop:
        Cases that choose the best epoch; a grouped part of the training cases, maybe empty.
    held:
        Cases that calibrate: the fold left out, or the calibration part of a single split.
    """

    fold: int
    seed: int
    fit: Index
    stop: Index
    held: Index


def first_appearance(values: Sequence[str]) -> Index:
    """Number ``(n,)`` of each value in the order in which values first appear."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.int64)


def strata(labels: NDArray[Any]) -> Index:
    """One stratum ``(n,)`` per case from class indices ``(n,)`` or multi-label targets ``(n, k)``.

    Combinations of labels that fewer than five cases share are put together.
    """
    table = np.nan_to_num(np.asarray(labels, dtype=np.float64), nan=-1.0)
    if table.ndim == 1:
        return np.unique(table, return_inverse=True)[1].astype(np.int64)
    _, code, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    code = code.reshape(-1).astype(np.int64)
    return np.where(count[code] < 5, -1, code).astype(np.int64)


def grouped_folds(stratum: Index, group: Index, folds: int, seed: int) -> Index:
    """Fold number ``(n,)`` of each case: stratified, groups whole, shuffled by ``seed``.

    Source: scikit-learn's ``StratifiedGroupKFold``.

    Raises
    ------
    DatasetError
        There are fewer groups than folds.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    groups = len(np.unique(group))
    if groups < folds:
        raise DatasetError(
            f"{folds} folds need at least {folds} groups, and there are {groups}.",
            remedy="Use fewer folds or add patients.",
        )
    fold = np.zeros(len(stratum), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes rarer than the folds are said later
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        try:
            parts = list(splitter.split(stratum, stratum, group))
        except ValueError:  # every class is rarer than the folds
            even = np.zeros_like(stratum)
            parts = list(splitter.split(even, even, group))
    for number, (_, held) in enumerate(parts):
        fold[held] = number
    return fold


def grouped_part(
    stratum: Index, group: Index, cases: Index, share: float, seed: int
) -> tuple[Index, Index]:
    """Cut about ``share`` of ``cases`` off, groups whole and classes alike.

    Returns
    -------
    tuple
        The rest and the part, both sorted. The part is empty for ``share`` 0.

    Raises
    ------
    DatasetError
        There are too few groups to cut a part off.
    """
    if share <= 0:
        return np.sort(cases), np.empty(0, dtype=np.int64)
    pieces = max(2, round(1.0 / share))
    pieces = min(pieces, len(np.unique(group[cases])))
    if pieces < 2:
        raise DatasetError(
            "All cases belong to one group, so nothing can be held back.",
            remedy="Add patients, or correct the group column.",
        )
    renumbered = np.unique(group[cases], return_inverse=True)[1].astype(np.int64)
    fold = grouped_folds(stratum[cases], renumbered, pieces, seed)
    return np.sort(cases[fold != 0]), np.sort(cases[fold == 0])


def draw_splits(stratum: Index, group: Index, seed: int) -> list[str]:
    """Split names for a dataset that has none: 70 % train, 15 % val, 15 % test, by group.

    A class with fewer than three groups cannot be everywhere: it is left to training.

    Raises
    ------
    DatasetError
        There are fewer than three groups.
    """
    if len(np.unique(group)) < 3:
        raise DatasetError(
            "A split into train, val and test needs at least three groups.",
            remedy="Add patients, or correct the group column.",
        )
    scarce = [s for s in np.unique(stratum) if len(np.unique(group[stratum == s])) < 3]
    tied = np.isin(group, group[np.isin(stratum, scarce)])
    if len(np.unique(group[~tied])) < 3:
        tied[:] = False
    everything = np.flatnonzero(~tied).astype(np.int64)
    rest, test = grouped_part(stratum, group, everything, 0.15, seed)
    train, val = grouped_part(stratum, group, rest, 0.15 / 0.85, seed + 1)
    names = np.full(len(stratum), "train", dtype=object)
    for part, name in ((train, "train"), (val, "val"), (test, "test")):
        names[part] = name
    return [str(name) for name in names]


def check_groups(split: Sequence[str | None], group: Sequence[str]) -> None:
    """Refuse a group that lies in two splits.

    Raises
    ------
    DatasetError
        Naming the group and its splits.
    """
    where: dict[str, str] = {}
    for part, name in zip(split, group, strict=True):
        if part is None:
            continue
        other = where.setdefault(name, part)
        if other != part:
            raise DatasetError(
                f"Group {name} is in two splits, {other} and {part}.",
                remedy="Put all cases of one patient into one split.",
            )


def members_of(
    split: Sequence[str],
    stratum: Index,
    group: Index,
    *,
    folds: int,
    fold_seed: int,
    seeds: Sequence[int],
    stopping_share: float,
    calibration_share: float,
) -> list[Member]:
    """Every network of a run and its cases.

    With folds, all ``train`` cases (and ``val`` ones when there is a test part) are cut into folds
    and each is held back once. Without, ``val`` calibrates when there is a test part; otherwise
    a grouped part of ``train`` does. The part that stops is cut from what is left of training.
    """
    names = np.array(split)
    has_test = bool((names == "test").any()) and bool((names == "val").any())
    pool = np.flatnonzero((names == "train") | ((names == "val") & has_test)).astype(np.int64)
    members = []
    if folds > 1:
        code = np.unique(group[pool], return_inverse=True)[1].astype(np.int64)
        fold = grouped_folds(stratum[pool], code, folds, fold_seed)
        rounds = [(pool[fold != k], np.sort(pool[fold == k])) for k in range(folds)]
    elif has_test:
        rounds = [(np.flatnonzero(names == "train"), np.flatnonzero(names == "val"))]
    else:
        rounds = [grouped_part(stratum, group, pool, calibration_share, fold_seed + 17)]
    for number, (training, held) in enumerate(rounds):
        for seed in seeds:
            fit, stop = grouped_part(
                stratum, group, training, stopping_share, 1000 * fold_seed + 31 * number + seed
            )
            members.append(Member(number, seed, fit, stop, held))
    return members
