"""A run that is killed again and again ends as one that never was, to the last bit."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import signal
import time

import pytest

import synthetic
from commands import Command
from diaphane.learn import Plan, TrainOptions, plan, train
from diaphane.learn.state import load_state


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


def started(pictures, plan, out):
    words = ["train", pictures, "--out", out, "--quiet"]
    if (out / "run.json").exists():
        return Command(*words, "--resume")
    return Command(*words, "--plan", plan, "--threads", 2, "--time-budget", "30m")


def killed(pictures, plan, out, draw):
    """Start, kill after some writes of states; the steps at which the networks stand then."""

    def states():
        return sorted(out.glob("checkpoint/current-*.safetensors"))

    def written():
        try:
            return [path.stat().st_mtime_ns for path in states()]
        except FileNotFoundError:
            return []

    wanted, seen, at = draw.randrange(4), 0, written()
    command = started(pictures, plan, out)
    end = time.monotonic() + 60
    while seen < wanted and time.monotonic() < end:
        assert command.running, command.done().stderr
        now = written()
        seen, at = seen + (now != at), now
        time.sleep(0.002)
    time.sleep(draw.random() * 0.1)
    command.send(signal.SIGKILL)
    command.done()
    return tuple(load_state(path).position.step for path in states())


def test_ten_kills_change_nothing(pictures, small, tmp_path):
    """Two networks side by side, killed again and again, are those that learned one by one."""
    whole = train(
        pictures, tmp_path / "whole", small,
        TrainOptions(threads=1, probes=2, time_budget=1800.0),
    )  # fmt: skip
    out = tmp_path / "killed"
    draw = random.Random(5)
    killed_at = {killed(pictures, small, out, draw) for _ in range(10)}
    assert len(killed_at - {()}) >= 2
    done = started(pictures, small, out).done()
    assert done.returncode == 0, done.stderr
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
