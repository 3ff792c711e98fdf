"""A run that is killed again and again ends as one that never was, to the last bit."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import synthetic
from diaphane.learn import Plan, TrainOptions, plan, train


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return synthetic.write_pictures(tmp_path_factory.mktemp("d") / "dots.npz", 24)


@pytest.fixture(scope="module")
def small(pictures, tmp_path_factory):
    """A plan with networks that learn in no time: two folds, a family to choose, mixup."""
    made = plan(pictures, estimated=False).plan
    assert isinstance(made, Plan)
    network = {
        **made.network.model_dump(mode="json"),
        "widths": [4, 6], "strides": [2, 2], "stem": 0, "depths": [], "hidden": 4,
    }  # fmt: skip
    path = tmp_path_factory.mktemp("p") / "plan.yaml"
    made.with_changes(
        {
            "network": network,
            "families": {},
            "batch": 8,
            "steps": 40,
            "mixup": 0.2,
            "views": ["as_is"],
            "split": {"folds": 2, "seed": 3},
            "stopping": {"share": 0.2, "patience": 99},
        }
    ).write(path)
    return path


def weights(run):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.glob("checkpoint/member-*"))
    }


def test_ten_kills_change_nothing(pictures, small, tmp_path):
    whole = train(
        pictures, tmp_path / "whole", small,
        TrainOptions(threads=1, probes=2, time_budget=1800.0),
    )  # fmt: skip
    script = Path(__file__).with_name("killed_runs.py")
    out = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, str(script), str(pictures), str(small), str(out), "5"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["code"] == 0, done.stderr
    assert len({step for step in said["killed_at"] if step is not None}) >= 2
    assert len(weights(out)) == 2
    assert weights(out) == weights(whole.folder)
    with (out / "metrics.csv").open() as file:
        again = [(r["member"], r["step"], r["loss"]) for r in csv.DictReader(file)]
    with (whole.folder / "metrics.csv").open() as file:
        once = [(r["member"], r["step"], r["loss"]) for r in csv.DictReader(file)]
    assert again == once
    state = json.loads((out / "run.json").read_text())
    assert (state["status"], state["steps"], state["threads"]) == ("done", 40, 1)
    assert not list(out.glob("checkpoint/.*"))
    assert not (out / "cache").exists()
