"""The choice of a family: paired, on training cases, and only when it is worth the change."""

from __future__ import annotations

import csv
import json

import numpy as np
import torch

from diaphane.learn import TrainOptions, plan, train
from diaphane.learn.choosing import Short, Trial, compare_families, reason_for
from diaphane.learn.loop import Task
from diaphane.learn.splits import Member


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
