"""Groups stay whole, classes stay alike, and a seed means one split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.errors import DatasetError
from diaphane.learn.splits import (
    check_groups,
    draw_splits,
    first_appearance,
    grouped_folds,
    grouped_part,
    members_of,
    strata,
)


def cohort(seed: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), random.integers(1, 4, groups))
    return random.integers(0, 2, len(group)), group


@given(st.integers(0, 1000), st.integers(20, 60))
@settings(max_examples=20, deadline=None)
def test_no_group_is_ever_separated(seed, groups):
    label, group = cohort(seed, groups)
    split = np.array(draw_splits(label, group, seed))
    for g in np.unique(group):
        assert len(set(split[group == g])) == 1
    for member in members_of(
        ["train"] * len(group),
        label,
        group,
        folds=3,
        fold_seed=seed,
        seeds=[0, 1],
        stopping_share=0.2,
        calibration_share=0.2,
    ):
        parts = [set(group[part]) for part in (member.fit, member.stop, member.held)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert sorted(np.concatenate([member.fit, member.stop, member.held])) == list(
            range(len(group))
        )


def test_shares_and_strata():
    label, group = cohort(0, 400)
    split = np.array(draw_splits(label, group, 0))
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert abs((split == name).mean() - share) < 0.03
        assert abs(label[split == name].mean() - label.mean()) < 0.08


def test_each_case_is_held_back_once():
    label, group = cohort(3, 50)
    members = members_of(
        ["train"] * len(group),
        label,
        group,
        folds=5,
        fold_seed=1,
        seeds=[0],
        stopping_share=0.0,
        calibration_share=0.2,
    )
    assert sorted(np.concatenate([m.held for m in members])) == list(range(len(group)))
    assert all(m.stop.size == 0 for m in members)


def test_a_seed_gives_the_same_folds_whatever_the_pseudonyms():
    label, group = cohort(1, 40)
    one = first_appearance([f"a{g}" for g in group])
    other = first_appearance([f"{999 - g}" for g in group])
    assert (grouped_folds(label, one, 4, 7) == grouped_folds(label, other, 4, 7)).all()
    assert (grouped_folds(label, one, 4, 7) != grouped_folds(label, one, 4, 8)).any()


def test_own_splits_are_kept():
    label, group = cohort(2, 60)
    names = np.array(["train", "val", "test"])[np.minimum(group % 5, 2)]
    common = {"fold_seed": 0, "seeds": [0], "stopping_share": 0.2, "calibration_share": 0.2}
    (member,) = members_of(list(names), label, group, folds=1, **common)
    assert set(names[member.fit]) == set(names[member.stop]) == {"train"}
    assert set(names[member.held]) == {"val"}
    # Without a test part val is scored, so that calibration must come from train.
    without = np.where(names == "test", "val", names)
    (member,) = members_of(list(without), label, group, folds=1, **common)
    assert set(without[member.held]) == {"train"}
    assert not set(group[member.held]) & set(group[np.r_[member.fit, member.stop]])


def test_a_group_in_two_splits_is_refused():
    with pytest.raises(DatasetError, match="two splits, train and test"):
        check_groups(["train", "test", None], ["P-1", "P-1", "P-1"])


def test_too_few_groups():
    with pytest.raises(DatasetError, match="5 folds need at least 5 groups"):
        grouped_folds(np.array([0, 1, 0]), np.array([0, 1, 2]), 5, 0)
    with pytest.raises(DatasetError, match="one group"):
        grouped_part(np.array([0, 1]), np.array([0, 0]), np.array([0, 1]), 0.5, 0)


def test_rare_combinations_of_labels_are_one_stratum():
    table = np.array([[0, 0]] * 6 + [[1, 0]] * 6 + [[0, 1], [1, 1], [1, np.nan]])
    code = strata(table)
    assert len(set(code)) == 3
    assert len(set(code[-3:])) == 1
