"""From a dataset to a bundle: whole, repeatable, resumable, and the same number everywhere."""

from __future__ import annotations

import csv
import json
import re
import signal
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from commands import Command
from diaphane.acquire import open_dataset
from diaphane.bundle import case_hash, load_bundle
from diaphane.core.decision import sigmoid
from diaphane.core.errors import DatasetError, Interrupted, OutputError, PlanError, UsageError
from diaphane.learn import Plan, TrainOptions, train
from diaphane.learn.augment import Augmentation
from diaphane.learn.cases import read_cases
from diaphane.learn.predicting import predict
from diaphane.models import Ensemble, load_checkpoint
from diaphane.preprocess import Recipe

QUICK = TrainOptions(epochs=2, threads=1, probes=4)
TWO = TrainOptions(epochs=2, threads=1, folds=2, probes=4)


def members(folder):
    return [load_checkpoint(path) for path in sorted(folder.glob("checkpoint/member-*"))]


def test_a_run_is_whole(ball_run):
    run, said = ball_run
    names = {path.name for path in run.folder.iterdir()}
    assert {"plan.yaml", "split.csv", "metrics.csv", "checkpoint", "report.html", "bundle"} <= names
    assert json.loads((run.folder / "run.json").read_text())["status"] == "done"
    assert not list(run.folder.glob("checkpoint/current*"))
    assert sum("epoch" in line and "left" in line for line in said) == 6
    with (run.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["member"], r["epoch"]) for r in rows] == [(m, e) for m in "01" for e in "012"]
    assert all(float(r["loss"]) > 0 and int(r["step"]) > 0 for r in rows)


def test_no_name_and_no_path_is_kept(ball_run, balls):
    run, _ = ball_run
    with (run.folder / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    for path in run.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert re.search(rb"patient \d", data) is None
            assert b"case000" not in data
            assert str(balls.parent).encode() not in data


def test_probability_is_the_same_from_raw_file_to_bundle(ball_run, balls):
    """Training side: prepared in memory, torch. Bundle side: files, ONNX."""
    run, _ = ball_run
    plan = run.plan
    store = read_cases(
        open_dataset(balls),
        plan.input,
        Recipe.from_dict(plan.recipe),
        Augmentation(versions=0),
        salt="",
        seed=0,
    )
    net = Ensemble(members(run.folder), plan.views).eval()
    cases = np.arange(len(store))
    said = predict(net, store, cases, 7, torch.device("cpu"))
    own = run.bundle.manifest.calibration.probabilities(said.logit)
    loaded = load_bundle(run.folder)
    for number, entry in enumerate(open_dataset(balls).entries):
        found = loaded.predict(entry.load())
        assert found.probability["suspicious"] == pytest.approx(own[number, 1], abs=1e-5)
        assert found.probability["calm"] == pytest.approx(own[number, 0], abs=1e-5)


def test_contributions_of_a_trained_model_add_up(ball_run, balls):
    run, _ = ball_run
    for entry in open_dataset(balls).entries[:6]:
        found = run.bundle.predict(entry.load())
        parts = found.contributions["suspicious"]
        room = 1e-4 * max(1.0, sum(abs(v) for v in parts.values()))
        assert sum(parts.values()) == pytest.approx(float(found.logit[0]), abs=room)
        p = sigmoid(
            np.asarray([found.logit[0]]) * run.bundle.manifest.calibration.slope[0]
            + run.bundle.manifest.calibration.offset[0]
        )[0]
        assert found.probability["suspicious"] == pytest.approx(float(p), abs=1e-6)


def test_seen_cases_are_marked_and_none_is_named(ball_run, balls):
    run, _ = ball_run
    assert all(run.bundle.has_seen(entry.load()) for entry in open_dataset(balls).entries[:5])
    manifest = run.bundle.manifest
    first = open_dataset(balls).entries[0].load()
    assert case_hash(first, manifest.seen.salt) in manifest.seen.train
    assert case_hash(first, "another salt") not in manifest.seen.train


def test_the_card_says_what_must_be_said(ball_run):
    card = ball_run[0].bundle.card
    for words in (
        "Not a medical device",
        "Intended use",
        "n = 24",
        "empirical coverage",
        "faithful",
        "Limits",
        "Licence",
        "cross-fitted",
    ):
        assert words in card


class Stop(KeyboardInterrupt):
    """What Ctrl-C raises, at a chosen epoch."""


@pytest.mark.parametrize("epoch", [2, 99], ids=["stopped", "never stopped"])
def test_the_same_seed_gives_the_same_bundle(ball_run, balls, tmp_path, epoch):
    """Bit for bit, whether the run was interrupted or not."""
    run, _ = ball_run
    seen = []

    def interrupt(line):
        seen.append(line)
        if sum("epoch" in s and "left" in s for s in seen) == epoch:
            raise Stop

    out = tmp_path / "run"
    options = TrainOptions(folds=2, epochs=3, threads=1, probes=4)
    if epoch < 6:
        with pytest.raises(Interrupted) as caught:
            train(balls, out, options=options, say=interrupt)
        assert caught.value.exit_code == 130
        assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
        options = TrainOptions(resume=True, probes=4)
    resumed = train(balls, out, options=options)
    for one, other in zip(
        sorted(run.folder.glob("checkpoint/*")), sorted(out.glob("checkpoint/*")), strict=True
    ):
        a, b = load_file(one), load_file(other)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert resumed.bundle.sha256 == run.bundle.sha256


def test_a_resumed_run_must_be_the_same_run(balls, synthetic, tmp_path):
    out = tmp_path / "run"

    def interrupt(line):
        if "epoch" in line:
            raise Stop

    with pytest.raises(Interrupted):
        train(balls, out, options=QUICK, say=interrupt)
    other = synthetic.write_balls(tmp_path / "other", 24, seed=9, per_group=1)
    with pytest.raises(PlanError, match="dataset changed"):
        train(other, out, options=TrainOptions(resume=True))
    text = (out / "plan.yaml").read_text().replace("dropout: 0.2", "dropout: 0.3")
    (out / "plan.yaml").write_text(text)
    with pytest.raises(PlanError, match="plan changed"):
        train(balls, out, options=TrainOptions(resume=True))


def test_refusals_leave_nothing(balls, ball_run, synthetic, tmp_path):
    with pytest.raises(OutputError, match="finished run"):
        train(balls, ball_run[0].folder)
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not a run"):
        train(balls, busy)
    assert [p.name for p in busy.iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match="no run to resume"):
        train(balls, tmp_path / "none", options=TrainOptions(resume=True))
    one = synthetic.write_balls(tmp_path / "one", 6, classes=("same",))
    with pytest.raises(DatasetError, match="two classes"):
        train(one, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_group_in_two_splits_is_refused(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "d", 24, splits=True)
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text.replace("patient 8,val", "patient 0,val"))
    with pytest.raises(DatasetError, match=r"both|two splits"):
        train(folder, tmp_path / "out")


def test_unreadable_cases_are_left_out_and_listed(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "d", 20, per_group=1)
    for file in (folder / "images" / "case003").iterdir():
        file.write_bytes(b"not a picture")
    run = train(folder, tmp_path / "run", options=TWO)
    assert [case.name for case in run.refused] == ["images/case003"]
    with (run.folder / "rejected.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file"] == "images/case003"
    with (run.folder / "split.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 19


def test_own_splits_are_kept_and_test_is_scored(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "d", 36, splits=True, per_group=1)
    run = train(folder, tmp_path / "run", options=TWO)
    assert run.bundle.manifest.metrics_about["split"] == "test"
    assert run.figures.n == 6
    seen = run.bundle.manifest.seen
    assert (len(seen.train) + len(seen.val), len(seen.test)) == (30, 6)
    by_split = {entry.split: entry for entry in open_dataset(folder).entries}
    assert run.bundle.has_seen(by_split["val"].load())
    assert not run.bundle.has_seen(by_split["test"].load())


def test_three_classes(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "d", 30, classes=("a", "b", "c"), per_group=1)
    run = train(folder, tmp_path / "run", options=TWO)
    found = run.bundle.predict(open_dataset(folder).entries[0].load())
    assert list(found.probability) == ["a", "b", "c"]
    assert sum(found.probability.values()) == pytest.approx(1.0)
    assert run.figures.metrics["auc"].value > 0.75


def test_several_label_columns(synthetic, tmp_path):
    folder = synthetic.write_balls(tmp_path / "d", 24, per_group=1)
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "label:large", "label:odd", "group"])
        writer.writeheader()
        for number, row in enumerate(rows):
            large = "yes" if row["label"] == "suspicious" else "no"
            odd = str(number % 2)
            writer.writerow(
                {"file": row["file"], "group": row["group"], "label:large": large, "label:odd": odd}
            )
    run = train(folder, tmp_path / "run", options=TWO)
    assert run.bundle.manifest.task == "multilabel"
    found = run.bundle.predict(open_dataset(folder).entries[0].load())
    assert list(found.probability) == list(run.plan.label_columns)
    assert set(found.contributions) == set(run.plan.label_columns)


def test_single_pictures(synthetic, tmp_path):
    path = synthetic.write_pictures(tmp_path / "dots.npz", 60)
    options = TrainOptions(epochs=12, threads=1, probes=4, folds=2, families="cnn-rnn")
    run = train(path, tmp_path / "run", options=options)
    assert run.plan.network.sequence == "rows"
    assert run.bundle.manifest.metrics_about["split"] == "test"
    assert run.figures.metrics["auc"].value > 0.7


def test_an_edited_plan_is_obeyed(ball_run, balls, tmp_path):
    plan = ball_run[0].plan.with_changes(
        {
            "epochs": 2,
            "seeds": [0, 3],
            "name": "mine",
            "views": ["as_is"],
            "stopping": {"share": 0.0, "patience": 3},
            "network": {**ball_run[0].plan.network.model_dump(mode="json"), "rnn": "lstm"},
        }
    )
    plan.write(tmp_path / "plan.yaml")
    run = train(balls, tmp_path / "run", tmp_path / "plan.yaml", TrainOptions(threads=1, probes=4))
    assert run.bundle.name == "mine"
    assert run.bundle.manifest.model["members"] == 4
    assert {net.config.rnn for net in members(run.folder)} == {"lstm"}
    assert Plan.read(run.folder / "plan.yaml").seeds == (0, 3)


def test_a_killed_process_can_be_resumed(balls, tmp_path):
    """SIGKILL in the middle: no warning, no clean-up."""
    out = tmp_path / "run"
    command = Command("train", balls, "--out", out, "--epochs", 12, "--folds", 2, "--threads", 1)
    end = time.monotonic() + 120
    while not list(out.glob("checkpoint/current*.safetensors")):
        assert command.running
        assert time.monotonic() < end
        time.sleep(0.02)
    command.send(signal.SIGKILL)
    assert command.done().returncode == -signal.SIGKILL
    run = train(balls, out, options=TrainOptions(resume=True, probes=4))
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for member in {row["member"] for row in rows}:
        epochs = [int(row["epoch"]) for row in rows if row["member"] == member]
        assert epochs == list(range(len(epochs)))
    assert run.bundle.path.is_dir()
