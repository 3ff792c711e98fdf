"""The choice of a family: paired, on training cases, and only when it is worth the change."""

from __future__ import annotations

import csv
import json

import numpy as np
import torch

from diaphane.acquire import open_dataset
from diaphane.learn import TrainOptions, plan, train
from diaphane.learn.cases import read_cases, targets
from diaphane.learn.choosing import Short, Trial, compare_families, reason_for
from diaphane.learn.concept_sets import choose_concepts, with_concepts
from diaphane.learn.dividing import trial_of
from diaphane.learn.loop import Task
from diaphane.learn.splits import Member
from diaphane.preprocess import Recipe


def judged(plan_of, gain, n=240, seed=0):
    """Two families whose second is better by ``gain`` in every logit of a positive case."""
    random = np.random.default_rng(seed)
    truth = (np.arange(n) % 2).astype(np.float32)
    base = truth * 1.0 + random.normal(0, 1.0, n)
    better = base + gain * (truth - 0.5) + random.normal(0, 0.05, n)
    target = torch.tensor(truth[:, None])
    none = np.empty(0, dtype=np.int64)
    members = [
        Member(k, 0, np.flatnonzero(np.arange(n) % 3 != k), none, np.flatnonzero(np.arange(n) % 3 == k))
        for k in range(3)
    ]  # fmt: skip
    trial = Trial(np.arange(n), truth.astype(np.int64), np.arange(n))
    scores = {
        name: [value[m.held][:, None] for m in members]
        for name, value in (("plain", base), ("other", better))
    }
    task = Task(plan_of, None, target, torch.device("cpu"))  # type: ignore[arg-type]  # no cases are needed
    return compare_families(
        task, trial, scores, members=members,
        short=Short(3, {"plain": 9, "other": 9}), seconds={"plain": 1.0, "other": 2.0},
    )  # fmt: skip


def test_the_first_family_stays_unless_another_is_clearly_better(ball_run):
    same = judged(ball_run[0].plan, 0.0)
    assert [row.chosen for row in same] == [True, False]
    clear = judged(ball_run[0].plan, 1.5)
    assert [row.chosen for row in clear] == [False, True]
    assert clear[1].difference > clear[1].noise > 0
    assert clear[0].low < clear[0].auc < clear[0].high
    assert "standard error" in reason_for(clear)


def test_a_run_chooses_writes_down_why_and_freezes_it(synthetic, tmp_path):
    data = synthetic.write_pictures(tmp_path / "dots.npz", 60)
    made = plan(data, estimated=False).plan
    network = {
        **made.network.model_dump(mode="json"),
        "widths": [4, 6], "strides": [2, 2], "stem": 0, "depths": [], "hidden": 4,
    }  # fmt: skip
    families = {
        "plain": {"network": {"rnn": "none", "sequence": "slices"}},
        "rows": {"network": {"rnn": "gru", "sequence": "rows"}},
    }
    chosen = made.with_changes(
        {
            "network": network, "families": families, "batch": 8, "steps": 200,
            "views": ["as_is"], "split": {"folds": 1}, "stopping": {"share": 0.0},
        }
    )  # fmt: skip
    quick = TrainOptions(threads=1, probes=2, time_budget=900.0)
    run = train(data, tmp_path / "run", chosen, quick)
    with (run.folder / "families.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["plain", "rows"]
    assert sum(int(row["chosen"]) for row in rows) == 1
    assert all(int(row["cases"]) == 80 for row in rows), "train and val; never test"
    assert run.plan.chosen == next(row["name"] for row in rows if int(row["chosen"]))
    assert run.plan.families == {}
    assert "standard error" in run.plan.reasons["families"]
    assert json.loads((run.folder / "run.json").read_text())["settled"]["family"] == run.plan.chosen


def test_the_set_of_concepts_that_tells_more_is_taken(synthetic, tmp_path):
    """Many balls, whose class follows their brightness: one set measures it, the other does not."""
    data = synthetic.write_balls(tmp_path / "balls", 60, per_group=1)
    made = plan(data, estimated=False).plan
    assert set(made.concept_sets) == {"shape", "margin", "all"}
    sets = {"blind": ["solidity", "elongation"], "seeing": ["log_area", "median_intensity"]}
    asked = made.with_changes({"concept_sets": sets})
    store = read_cases(
        open_dataset(data), asked.input, Recipe.from_dict(asked.recipe),
        asked.augmentation.model_copy(update={"versions": 0}), salt="", seed=0,
    )  # fmt: skip
    target = targets(asked, store)
    task = Task(asked, store, target, torch.device("cpu"))
    found = choose_concepts(task, trial_of(asked, store, target))
    assert found.concepts == ("log_area", "median_intensity")
    assert "held-out loss" in found.reason
    few = with_concepts(store, asked.with_changes(
        {"input": {**asked.input.model_dump(mode="json"), "concepts": sets["seeing"]}, "concept_sets": {}}
    ))  # fmt: skip
    there = store.spec.concept_names
    np.testing.assert_array_equal(
        few.concepts, store.concepts[:, [there.index(name) for name in sets["seeing"]]]
    )
    first = asked.with_changes({"concept_sets": {"seeing": sets["seeing"], "blind": sets["blind"]}})
    task = Task(first, store, target, torch.device("cpu"))
    assert choose_concepts(task, trial_of(first, store, target)).concepts == found.concepts
