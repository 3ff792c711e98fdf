"""What goes wrong while training: it stops with a reason, and the last good state stands."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from diaphane.core.errors import (
    BundleError,
    DatasetError,
    Diverged,
    Interrupted,
    OutputError,
    PlanError,
    UsageError,
)
from diaphane.learn import Plan, TrainOptions, plan, train
from diaphane.learn.budget import last_step
from diaphane.learn.runs import RunFolder
from diaphane.learn.shipping import check_gap
from diaphane.learn.state import Position, Saved, load_state, save_state
from tables import rows

ONE = TrainOptions(threads=1, probes=2)


@pytest.fixture(scope="module")
def pictures(synthetic, tmp_path_factory):
    return synthetic.write_pictures(tmp_path_factory.mktemp("d") / "dots.npz", 24)


@pytest.fixture(scope="module")
def small(pictures):
    """A plan whose network learns in no time."""
    made = plan(pictures, estimated=False).plan
    assert isinstance(made, Plan)
    network = {
        **made.network.model_dump(mode="json"),
        "widths": [4, 6], "strides": [2, 2], "stem": 0, "depths": [], "hidden": 4,
    }  # fmt: skip
    return made.with_changes(
        {
            "network": network, "families": {}, "batch": 8, "steps": 12, "views": ["as_is"],
            "split": {"folds": 1}, "stopping": {"share": 0.0},
        }
    )  # fmt: skip


def test_a_loss_that_is_none_stops_the_run_and_names_a_case(pictures, small, tmp_path):
    wild = small.with_changes(
        {"optimiser": {"learning_rate": 1e30, "warmup": 0.0, "clip": 1e30}, "steps": 40}
    )
    with pytest.raises(Diverged, match=r"not finite at step \d+") as caught:
        train(pictures, tmp_path / "run", wild, ONE)
    assert caught.value.exit_code == 3
    folder = RunFolder(tmp_path / "run")
    kept = {row.split(",")[0] for row in (folder.path / "split.csv").read_text().splitlines()}
    assert any(key in caught.value.problem for key in kept - {"case"})
    assert "learning_rate" in str(caught.value)
    if folder.learning(0).exists():
        saved = load_state(folder.learning(0))
        assert all(bool(torch.isfinite(t).all()) for t in saved.net.values())


def test_a_full_disk_leaves_the_last_state(tmp_path):
    def state(step):
        tensors = {"w": torch.full((50_000,), float(step))}
        return Saved(Position(0, step=step), tensors, tensors, tensors, {})

    path = tmp_path / "checkpoint" / "current.safetensors"
    save_state(path, state(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match="disk is full"):
            save_state(path, state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert load_state(path).position.step == 1
    assert [p.name for p in path.parent.iterdir()] == ["current.safetensors"]


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_state({"status": "running", "plan": "x"})
    left = tmp_path / "checkpoint" / ".current.safetensors.abc"
    left.mkdir(parents=True)
    (left / "current.safetensors").write_bytes(b"half")
    (tmp_path / "cache").mkdir()
    assert folder.open(resume=True)["status"] == "running"
    assert not left.exists()
    assert not (tmp_path / "cache").exists()


def test_memory_that_does_not_hold_a_batch_cuts_it(pictures, small, tmp_path):
    """In a process of its own whose memory is bounded once the libraries are loaded."""
    wide = small.with_changes(
        {
            "batch": 24, "steps": 1,
            "network": {**small.network.model_dump(mode="json"), "widths": [256, 256],
                        "strides": [1, 1]},
        }
    )  # fmt: skip
    wide.write(tmp_path / "plan.yaml")
    code = f"""
import resource, torch
from pathlib import Path
from diaphane.learn import Plan, TrainOptions, train
import diaphane.learn.classifying, sklearn.metrics, torch._dynamo
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 360 * 2**20,) * 2)
try:
    train({str(pictures)!r}, {str(tmp_path / "run")!r}, Plan.read(Path({str(tmp_path / "plan.yaml")!r})),
          TrainOptions(threads=1, probes=1), say=print)
except Exception as error:
    print('ended:', type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "cut into 2 pieces" in done.stdout, done.stdout + done.stderr


def test_patience_that_is_over_stays_over(pictures, small, tmp_path):
    """A run that is stopped when patience has just ended does not go on with that network."""
    hasty = small.with_changes({"steps": 60, "stopping": {"share": 0.2, "patience": 4}})

    def looks(run):
        return [(row["step"], row["loss"]) for row in rows(run / "metrics.csv")]

    whole = looks(train(pictures, tmp_path / "whole", hasty, ONE).folder)
    assert int(whole[-1][0]) < 60
    said = []

    def interrupt(line):
        said.append(line)
        if sum("epoch" in line and "left" in line for line in said) == len(whole):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(pictures, tmp_path / "run", hasty, ONE, say=interrupt)
    assert looks(tmp_path / "run") == whole
    resumed = train(pictures, tmp_path / "run", options=TrainOptions(resume=True, probes=2))
    assert looks(resumed.folder) == whole


def test_another_machine_is_refused_and_anywhere_allows_it(pictures, small, tmp_path):
    class Stop(KeyboardInterrupt):
        pass

    def interrupt(line):
        if "epoch" in line:
            raise Stop

    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(pictures, out, small, ONE, say=interrupt)
    state = json.loads((out / "run.json").read_text())
    assert state["status"] == "interrupted"
    state["machine"]["torch"] = "1.0"
    (out / "run.json").write_text(json.dumps(state))
    with pytest.raises(UsageError, match=r"torch was 1\.0"):
        train(pictures, out, options=TrainOptions(resume=True))
    said = []
    run = train(pictures, out, options=TrainOptions(resume=True, anywhere=True, threads=2, probes=2),
                say=said.append)  # fmt: skip
    assert any("not bit for bit" in line for line in said)
    assert any("keeps them" in line for line in said)
    state = json.loads((run.folder / "run.json").read_text())
    assert (state["status"], state["threads"]) == ("done", 1)


def test_options_that_change_a_resumed_run_are_refused(pictures, small, tmp_path):
    run = train(pictures, tmp_path / "run", small.with_changes({"steps": 2}), ONE)
    for other in (TrainOptions(resume=True, folds=2), TrainOptions(resume=True, seed=9)):
        with pytest.raises(PlanError, match="plan changed"):
            train(pictures, run.folder, options=other)


def test_unknown_keys_and_families_are_named(pictures, small, tmp_path):
    text = small.to_yaml()
    (tmp_path / "plan.yaml").write_text(text + "learning_speed: 3\n")
    with pytest.raises(PlanError, match="learning_speed"):
        train(pictures, tmp_path / "run", tmp_path / "plan.yaml", ONE)
    with pytest.raises(PlanError, match="no family 'fancy'"):
        train(pictures, tmp_path / "run", small, TrainOptions(families="fancy"))
    wrong = {"a": {}, "b": {"classes": {}}}
    with pytest.raises(PlanError, match="may not change classes"):
        small.with_changes({"families": wrong})
    assert not (tmp_path / "run").exists()


def test_a_class_with_one_case_is_refused_or_trained_with(tmp_path):
    random = np.random.default_rng(0)
    labels = np.zeros((20, 1), np.uint8)
    labels[7] = 1
    images = random.integers(0, 255, (20, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "one.npz", train_images=images, train_labels=labels)
    with pytest.raises(DatasetError) as caught:
        train(tmp_path / "one.npz", tmp_path / "run", options=ONE)
    assert caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_short_of_time_ends_annealed_and_says_so(pictures, small, tmp_path):
    said = []
    run = train(
        pictures, tmp_path / "run", small.with_changes({"steps": 40}),
        TrainOptions(threads=1, probes=2, time_budget=1.0), say=said.append,
    )  # fmt: skip
    assert run.plan.steps == 20, "the fewest that are planned, whatever the time"
    assert run.plan.time_budget == 1.0
    state = json.loads((run.folder / "run.json").read_text())
    early = state["annealed_early_at"]["0"]
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    ended = int(rows[-1]["step"])
    assert 1 <= ended <= last_step(20, early) < 20
    assert any("too short" in line for line in said)
    assert any("final annealing" in line and f"ended at {ended} of 20" in line for line in said)
    assert run.bundle.manifest.faithfulness["cases"] == 2
    assert Plan.read(run.folder / "plan.yaml").steps == 20


@pytest.mark.parametrize("said", [np.nan, 1.1])
def test_a_graph_that_says_otherwise_than_the_networks_is_refused(said):
    own = np.ones(3, dtype=np.float32)
    assert check_gap([(own, own), (own + np.float32(0.001), own)], 0.01) < 0.01
    with pytest.raises(BundleError, match="differs from the networks"):
        check_gap([(np.full(3, said, np.float32), own), (own, own)], 0.01)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"epochs": 2}, "--epochs"),
        ({"positive": "x"}, "--positive"),
        ({"tensorboard": True}, "ten"),
    ],
)
def test_options_of_labels_are_not_swallowed_by_masks(tmp_path, option, said):
    rng = np.random.default_rng(0)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:9, 4:9] = 1
    lines = ["file,mask"]
    for n in range(4):
        Image.fromarray(rng.integers(0, 99, (16, 16), np.uint8)).save(tmp_path / f"i{n}.png")
        Image.fromarray(mask).save(tmp_path / f"m{n}.png")
        lines.append(f"i{n}.png,m{n}.png")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    made = plan(tmp_path, estimated=False).plan
    with pytest.raises(UsageError, match=said):
        train(tmp_path, tmp_path / "run", made, TrainOptions(threads=1, **option))
    assert not (tmp_path / "run").exists()


def test_a_given_plan_takes_the_positive_class_of_a_column(pictures, small, tmp_path):
    wrong = TrainOptions(threads=1, positive="label=purple")
    with pytest.raises(UsageError, match="not a class"):
        train(pictures, tmp_path / "run", small, wrong)


def test_a_plan_for_other_labels_names_them(pictures, small, tmp_path):
    other = small.with_changes(
        {"label_columns": ["x"], "classes": {"x": ["0", "1"]}, "positive": {"x": "1"}}
    )
    with pytest.raises(PlanError, match="no label 'x'"):
        train(pictures, tmp_path / "run", other, ONE)
