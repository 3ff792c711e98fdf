"""``compare``: the same cases on both sides, whatever the sides are."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from diaphane import batch
from diaphane.acquire import open_dataset
from diaphane.bundle import Seen, case_hash, load_classifier
from diaphane.core.decision import Calibration
from diaphane.core.errors import DatasetError, EmptyInput, UsageError
from tables import rows, write_csv


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 24)


@pytest.fixture(scope="module")
def evaluated(toys, stacks, tmp_path_factory):
    """Folders of ``evaluate``: a bundle, the same one steeper, and one that saw four cases."""
    place = tmp_path_factory.mktemp("e")
    entries = open_dataset(stacks).entries
    seen = Seen(salt="p", train=tuple(case_hash(e.load(), "p") for e in entries[:4]))
    for name, changes in {
        "plain": {},
        "steep": {"name": "steep", "calibration": Calibration("binary", (8.0,), (4.0,))},
        "knowing": {"name": "knowing", "seen": seen},
    }.items():
        made = toys.write_toy(place / f"b-{name}", manifest=toys.eight_bit_manifest(**changes))
        batch.evaluate(load_classifier(made, threads=1), stacks, "all", place / name, rounds=20)
    return place


def test_two_evaluations(evaluated, tmp_path):
    done = batch.compare(evaluated / "plain", evaluated / "steep", out=tmp_path / "o", rounds=200)
    assert (done.names, done.n, done.groups, done.only) == (("toy", "steep"), 24, 12, (0, 0))
    assert done.differences["auc"].difference.value == 0
    assert done.differences["auc"].difference.high == 0
    loss = done.differences["log_loss"]
    metrics = [
        json.loads((evaluated / name / "metrics.json").read_text())["metrics"]["log_loss"]["value"]
        for name in ("plain", "steep")
    ]
    assert (loss.baseline, loss.model) == pytest.approx(tuple(metrics))
    assert loss.difference.value == pytest.approx(metrics[1] - metrics[0])
    assert loss.difference.low <= loss.difference.value <= loss.difference.high
    data = json.loads((tmp_path / "o/compare.json").read_text())
    assert data["metrics"]["log_loss"]["difference"]["value"] == loss.difference.value
    page = (tmp_path / "o/report.html").read_text()
    for text in (page, json.dumps(data)):
        assert "images/s" not in text
        assert str(evaluated) not in text
    assert "steep" in page


def test_turned_round_the_signs_turn(evaluated):
    one = batch.compare(evaluated / "plain", evaluated / "steep", rounds=50)
    other = batch.compare(evaluated / "steep", evaluated / "plain", rounds=50)
    for name, found in one.differences.items():
        back = other.differences[name]
        if found.difference.value is not None:
            assert found.difference.value == pytest.approx(-back.difference.value)
            assert found.difference.low == pytest.approx(-back.difference.high)


def test_seen_cases_are_left_out_and_counted(evaluated):
    done = batch.compare(evaluated / "plain", evaluated / "knowing", rounds=20)
    assert (done.n, done.only) == (20, (4, 0))
    assert any("4 cases are left out" in note for note in done.notes)


def test_nothing_left_of_seen_cases(evaluated, stacks, toys, tmp_path):
    entries = open_dataset(stacks).entries
    seen = Seen(salt="p", train=tuple(case_hash(e.load(), "p") for e in entries))
    made = toys.write_toy(tmp_path / "b", manifest=toys.eight_bit_manifest(seen=seen))
    batch.evaluate(load_classifier(made, threads=1), stacks, "all", tmp_path / "all", rounds=20)
    with pytest.raises(DatasetError, match=r"0 by the second, beside 0 and 24 that they"):
        batch.compare(evaluated / "plain", tmp_path / "all")


def test_another_tool_with_its_cases_under_other_names(evaluated, stacks, tmp_path):
    ours = rows(evaluated / "plain/predictions.csv")
    lines = [
        (f"{r['case'].rpartition('/')[2]}_0000.png", float(r["probability:malignant"]) / 2)
        for r in ours[:20]
    ]
    table = write_csv(tmp_path / "t.csv", ("id", "score"), lines)
    with pytest.raises(UsageError, match="--dataset"):
        batch.compare(evaluated / "plain", table)
    truth = batch.Truth(stacks, positive="malignant")
    done = batch.compare(evaluated / "plain", table, truth=truth, rounds=50)
    assert (done.names, done.n, done.only) == (("toy", "predictions"), 20, (4, 0))
    assert any("4 cases have no usable prediction" in note for note in done.notes)
    assert done.differences["auc"].difference.value == pytest.approx(0)


def run_of(folder, evaluated, stacks, name, shift, **plan):
    """A run's folder as training leaves it, as far as it is compared."""
    keys = {e.name: e.key for e in open_dataset(stacks).entries}
    folder.mkdir()
    table = rows(evaluated / "plain/predictions.csv")
    chance = np.array([float(r["probability:malignant"]) for r in table])
    moved = np.clip(chance + shift * np.random.default_rng(0).normal(size=len(chance)), 0, 1)
    write_csv(
        folder / "predictions.csv",
        ("case", "group", "split", "label", "probability:benign", "probability:malignant"),
        [
            (keys[r["case"]], r["group"], "out_of_fold", r["label"], 1 - p, p)
            for r, p in zip(table, moved, strict=True)
        ],
    )
    stated = {"name": name, "task": "binary", "batch": 32, "network": {"widths": [8, 16]}, **plan}
    (folder / "plan.yaml").write_text(yaml.safe_dump(stated))
    write_csv(
        folder / "metrics.csv",
        ("member", "fold", "epoch", "loss", "stop_loss", "stop_metric"),
        [(m, m, e, 1 / (e + 1), "", "") for m in range(2) for e in range(5)],
    )
    return folder


def test_two_runs(evaluated, stacks, tmp_path):
    a = run_of(tmp_path / "a", evaluated, stacks, "base", 0.0)
    b = run_of(tmp_path / "b", evaluated, stacks, "wide", 0.3, network={"widths": [16, 32]})
    done = batch.compare(a, b, out=tmp_path / "o", rounds=100)
    assert (done.names, done.n) == (("base", "wide"), 24)
    assert done.plan == (
        ("name", '"base"', '"wide"'), ("network.widths", "[8, 16]", "[16, 32]"),
    )  # fmt: skip
    page = (tmp_path / "o/report.html").read_text()
    assert "Training loss" in page
    assert "network.widths" in page
    same = batch.compare(a, a, rounds=20)
    assert same.names == ("A: base", "B: base")
    assert same.plan == ()
    assert all(
        found.difference.value in (0, None) and found.p in (1.0, None)
        for found in same.differences.values()
    )


def test_runs_are_ordered_by_their_scores(evaluated, stacks, tmp_path):
    a = run_of(tmp_path / "a", evaluated, stacks, "base", 0.0)
    plain = batch.compare(a, a, rounds=20)
    table = rows(a / "predictions.csv")
    for row in table:
        p = float(row["probability:malignant"])
        row |= {"order:benign": p, "order:malignant": 1 - p}
    write_csv(a / "predictions.csv", list(table[0]), [list(row.values()) for row in table])
    turned = batch.compare(a, a, rounds=20)
    assert turned.differences["auc"].model == pytest.approx(1 - plain.differences["auc"].model)
    assert turned.differences["brier"] == plain.differences["brier"]


def test_runs_of_other_images_are_said_to_be(evaluated, stacks, tmp_path):
    a = run_of(tmp_path / "a", evaluated, stacks, "base", 0.0)
    b = run_of(tmp_path / "b", evaluated, stacks, "wide", 0.3)
    facts = {"height": {"low": 8.0}, "width": {"low": 8.0}, "slices": {"low": 1.0}, "intensity": {}}
    (a / "fingerprint.json").write_text(json.dumps(facts))
    assert not batch.compare(a, b, rounds=20).notes
    (b / "fingerprint.json").write_text(json.dumps({**facts, "intensity": {"all": [1]}}))
    assert batch.compare(a, a, rounds=20).notes == ()
    assert "different images" in batch.compare(a, b, rounds=20, lang="en").notes[0]


def test_a_run_and_an_evaluation_of_the_same_cases(evaluated, stacks, tmp_path):
    run = run_of(tmp_path / "a", evaluated, stacks, "base", 0.0)
    for truth in (None, batch.Truth(stacks)):
        done = batch.compare(run, evaluated / "plain", truth=truth, rounds=20)
        assert done.n == 24
        assert done.differences["brier"].difference.value == pytest.approx(0)


def test_what_cannot_be_compared(evaluated, stacks, toys, tmp_path):
    with pytest.raises(EmptyInput):
        batch.compare(evaluated / "absent", evaluated / "plain")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/plan.yaml").write_text("task: binary\n")
    with pytest.raises(DatasetError, match=r"no predictions\.csv"):
        batch.compare(tmp_path / "run", evaluated / "plain")
    made = toys.write_toy(
        tmp_path / "b", manifest=toys.eight_bit_manifest(classes=("calm", "wild"))
    )
    text = (stacks / "labels.csv").read_text()
    other = toys.write_stacks(tmp_path / "set", 6, seed=3)
    table = (other / "labels.csv").read_text()
    (other / "labels.csv").write_text(table.replace("malignant", "wild").replace("benign", "calm"))
    batch.evaluate(load_classifier(made), other, "all", tmp_path / "e", rounds=20)
    with pytest.raises(UsageError, match="classes differ"):
        batch.compare(tmp_path / "e", evaluated / "plain")
    changed = rows(evaluated / "plain/predictions.csv")
    changed[0]["label"] = "malignant"
    (tmp_path / "c").mkdir()
    write_csv(tmp_path / "c/predictions.csv", changed[0], [list(r.values()) for r in changed])
    with pytest.raises(DatasetError, match="disagree on the truth"):
        batch.compare(tmp_path / "c", evaluated / "plain")
    strangers = [{**r, "case": f"x{i}"} for i, r in enumerate(changed)]
    (tmp_path / "d").mkdir()
    write_csv(tmp_path / "d/predictions.csv", changed[0], [list(r.values()) for r in strangers])
    with pytest.raises(DatasetError, match="No case was scored by both"):
        batch.compare(tmp_path / "d", evaluated / "plain")
    with pytest.raises(UsageError, match="another report"):
        batch.compare(evaluated / "plain", evaluated / "steep", out=evaluated / "plain")
    assert text == (stacks / "labels.csv").read_text()


def test_masks(tmp_path):
    for folder in ("set/imagesTr", "set/labelsTr", "a", "b"):
        (tmp_path / folder).mkdir(parents=True)
    for i in range(8):
        mask = np.zeros((4, 20, 20), np.uint8)
        mask[1:3, 4:14, 4:14] = 1
        for name, values in (
            (f"set/imagesTr/c{i}_0000", mask * 50), (f"set/labelsTr/c{i}", mask),
            (f"a/c{i}", np.roll(mask, 1, axis=1)), (f"b/c{i}", np.roll(mask, 2 + i % 2, axis=1)),
        ):  # fmt: skip
            sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"{name}.nii.gz"))
    stated = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "whole": 1},
              "numTraining": 8, "file_ending": ".nii.gz"}  # fmt: skip
    (tmp_path / "set/dataset.json").write_text(json.dumps(stated))
    truth = batch.Truth(tmp_path / "set")
    done = batch.compare(
        tmp_path / "a", tmp_path / "b", truth=truth, out=tmp_path / "o", rounds=100
    )
    dice = done.differences["dice:whole"]
    assert (dice.baseline, dice.model) == pytest.approx((0.9, 0.75))
    assert dice.difference.high < 0
    assert done.names == ("A: predictions", "B: predictions")
    asked = batch.Outside(tmp_path / "a", tmp_path / "set", "all", rounds=20)
    batch.evaluate_predictions(asked, tmp_path / "e")
    mixed = batch.compare(tmp_path / "e", tmp_path / "b", truth=truth, rounds=20)
    assert mixed.differences["dice:whole"].difference.value == pytest.approx(-0.15)


def test_two_segmentation_runs(tmp_path):
    for name, level in (("thin", 0.8), ("deep", 0.9)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "plan.yaml").write_text(f"name: {name}\ntask: segmentation\n")
        write_csv(
            folder / "predictions.csv",
            ("case", "group", "seen", "failed", "unit", "dice", "dice:rim", "hd95:rim"),
            [
                (f"C-{i}", f"G-{i // 2}", 0, 0, "mm", "", level + 0.01 * (i % 3), 2 if i else "")
                for i in range(20)
            ],
        )
        write_csv(
            folder / "metrics.csv",
            ("member", "fold", "step", "loss", "dice", "dice:rim"),
            [(0, 0, 50 * k, 1 / k, level - 1 / k, level - 1 / k) for k in range(1, 6)],
        )
    done = batch.compare(tmp_path / "thin", tmp_path / "deep", out=tmp_path / "o", rounds=100)
    assert (done.task, done.n, done.groups) == ("segmentation", 20, 10)
    assert done.differences["dice:rim"].difference.value == pytest.approx(0.1)
    assert done.differences["hd95:rim"].difference.value == 0
    page = (tmp_path / "o/report.html").read_text()
    assert "Mean Dice on the held-out cases" in page
    assert ">Step<" in page
