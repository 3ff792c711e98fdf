"""``evaluate``: whose split counts, who was seen, and what is written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from diaphane import batch
from diaphane.acquire import open_dataset
from diaphane.bundle import InputSpec, Seen, case_hash, load_bundle
from diaphane.core.errors import DatasetError, UsageError
from tables import rows

NAMES = ("auc", "average_precision", "accuracy", "sensitivity", "specificity", "f1", "brier", "ece")


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    place = tmp_path_factory.mktemp("b") / "toy"
    return load_bundle(toys.write_toy(place, manifest=toys.eight_bit_manifest()), threads=1)


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(
        tmp_path_factory.mktemp("d") / "set",
        12,
        columns={"site": lambda i: "north" if i < 6 else "south"},
    )


def knowing(toys, folder, stacks, **parts):
    """A bundle that has seen the cases of these numbers."""
    entries = open_dataset(stacks).entries
    hashes = {
        split: tuple(case_hash(entries[i].load(), "pinch") for i in numbers)
        for split, numbers in parts.items()
    }
    made = toys.eight_bit_manifest(seen=Seen(salt="pinch", **hashes))
    return load_bundle(toys.write_toy(folder, manifest=made), threads=1)


def test_whole_set(bundle, stacks, tmp_path):
    done = batch.evaluate(bundle, stacks, "all", tmp_path / "out", rounds=50)
    data = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {k: data[k] for k in ("task", "split", "n", "groups", "seen")} == {
        "task": "binary", "split": "all", "n": 12, "groups": 6, "seen": 0,
    }  # fmt: skip
    for name in NAMES:
        assert set(data["metrics"][name]) == {"value", "low", "high"}
    assert 0.5 < data["metrics"]["auc"]["value"] < 1
    table = rows(tmp_path / "out" / "predictions.csv")
    assert list(table[0]) == [
        "case", "group", "label", "seen", "file", "probability:benign", "probability:malignant",
        "prediction_set", "unlike_training",
    ]  # fmt: skip
    assert table[1]["case"] == "images/s01"
    assert table[1]["label"] == "malignant"
    assert table[0]["group"] == table[1]["group"] != table[2]["group"]
    assert "patient" not in table[0]["group"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "images/s" not in page
    assert "patient 0" not in page
    assert done.evaluation.settings["unlike_training"] == done.unlike_training
    assert not (tmp_path / "out" / "rejected.csv").exists()


def test_accuracy_is_that_of_the_table(bundle, stacks, tmp_path):
    done = batch.evaluate(bundle, stacks, "all", tmp_path / "out", rounds=20)
    table = rows(tmp_path / "out" / "predictions.csv")
    right = [
        (float(r["probability:malignant"]) >= 0.5) == (r["label"] == "malignant") for r in table
    ]
    assert done.evaluation.metrics["accuracy"].value == pytest.approx(np.mean(right))


def test_subgroups(bundle, stacks, tmp_path):
    done = batch.evaluate(bundle, stacks, "all", tmp_path / "o", subgroups=["site"], rounds=20)
    table = done.evaluation.subgroups["site"]
    assert {value: row["n"] for value, row in table.items()} == {"north": 6, "south": 6}
    data = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert "auc" in data["subgroups"]["site"]["north"]["metrics"]
    with pytest.raises(DatasetError, match="colour"):
        batch.evaluate(bundle, stacks, "all", tmp_path / "o2", subgroups=["colour"])
    assert not (tmp_path / "o2").exists()


def test_no_split_anywhere(bundle, stacks, tmp_path):
    with pytest.raises(DatasetError, match="--split all"):
        batch.evaluate(bundle, stacks, "test", tmp_path / "out")
    with pytest.raises(UsageError):
        batch.evaluate(bundle, stacks, "dev", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_split_of_the_bundle(toys, stacks, tmp_path):
    made = knowing(toys, tmp_path / "b", stacks, train=(0, 1, 2, 3), val=(4, 5), test=(6, 7, 8, 9))
    done = batch.evaluate(made, stacks, "test", tmp_path / "out", rounds=20)
    assert (done.evaluation.n, done.evaluation.seen) == (4, 0)
    names = [row["case"] for row in rows(tmp_path / "out" / "predictions.csv")]
    assert names == [f"images/s{i:02d}" for i in (6, 7, 8, 9)]
    assert done.evaluation.settings["split_from"] == "bundle"


def test_seen_cases_are_left_out_and_counted(toys, stacks, tmp_path):
    made = knowing(toys, tmp_path / "b", stacks, train=(0, 1, 2, 3), val=(4, 5), test=(6, 7))
    done = batch.evaluate(made, stacks, "all", tmp_path / "out", rounds=20)
    assert (done.evaluation.n, done.evaluation.seen) == (6, 6)
    table = rows(tmp_path / "out" / "predictions.csv")
    assert [row["seen"] for row in table] == ["1"] * 6 + ["0"] * 6
    whole = batch.evaluate(made, stacks, "all", tmp_path / "in", include_seen=True, rounds=20)
    assert (whole.evaluation.n, whole.evaluation.seen) == (12, 0)
    assert whole.seen == 6


def test_everything_was_seen(toys, stacks, tmp_path):
    made = knowing(toys, tmp_path / "b", stacks, train=range(12))
    done = batch.evaluate(made, stacks, "train", tmp_path / "out", rounds=20)
    data = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (data["n"], data["seen"]) == (0, 12)
    assert data["metrics"]["auc"] == {"value": None, "low": None, "high": None}
    assert any("seen in training" in note for note in done.notes)
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


def test_split_that_the_bundle_does_not_know_here(toys, stacks, tmp_path):
    other = toys.write_stacks(tmp_path / "other", 4, seed=9)
    made = knowing(toys, tmp_path / "b", stacks, train=(0, 1), test=(2, 3))
    with pytest.raises(DatasetError, match="knows none of its cases"):
        batch.evaluate(made, other, "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_split_of_the_data_set(toys, bundle, tmp_path):
    own = toys.write_stacks(
        tmp_path / "set", 8, columns={"split": lambda i: "train" if i < 4 else "test"}
    )
    done = batch.evaluate(bundle, own, "test", tmp_path / "out", rounds=20)
    assert done.evaluation.n == 4
    assert done.evaluation.settings["split_from"] == "dataset"
    with pytest.raises(DatasetError, match=r"test \(4\), train \(4\)"):
        batch.evaluate(bundle, own, "val", tmp_path / "out2")


def test_no_labels_and_foreign_labels(toys, bundle, tmp_path):
    own = toys.write_stacks(tmp_path / "set", 4)
    table = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(table.replace("malignant", "cat").replace("benign", "dog"))
    with pytest.raises(DatasetError, match="cat"):
        batch.evaluate(bundle, own, "all", tmp_path / "out")
    (own / "labels.csv").write_text(table.replace("label", "colour"))
    with pytest.raises(DatasetError, match="no labels"):
        batch.evaluate(bundle, own, "all", tmp_path / "out")
    some = table.replace("s00,benign", "s00,cat")
    (own / "labels.csv").write_text(some)
    done = batch.evaluate(bundle, own, "all", tmp_path / "out", rounds=20)
    assert done.evaluation.n == 3
    (refused,) = rows(tmp_path / "out" / "rejected.csv")
    assert refused["file"] == "images/s00"
    assert "cat" in refused["problem"]


def test_unreadable_case_is_refused_and_the_rest_judged(toys, bundle, tmp_path):
    own = toys.write_stacks(tmp_path / "set", 6)
    (own / "images/s02/0.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    done = batch.evaluate(bundle, own, "all", tmp_path / "out", rounds=20)
    assert (done.evaluation.n, len(done.refused)) == (5, 1)
    assert done.evaluation.settings["refused"] == 1


def test_multilabel(toys, tmp_path):
    own = toys.write_stacks(
        tmp_path / "set", 6,
        columns={"label:edema": lambda i: str(i % 2), "label:mass": lambda i: str(int(i < 3))},
    )  # fmt: skip
    table = (own / "labels.csv").read_text().replace("label,group", "old,group")
    (own / "labels.csv").write_text(table)
    made = toys.eight_bit_manifest(
        task="multilabel", classes=("edema", "mass"), label_columns=("edema", "mass"),
        positive_values=("1", "1"),
    )  # fmt: skip
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    done = batch.evaluate(bundle, own, "all", tmp_path / "out", rounds=20)
    assert (done.evaluation.task, done.evaluation.n) == ("multilabel", 6)
    table = rows(tmp_path / "out" / "predictions.csv")
    assert [row["label"] for row in table[:3]] == ["mass", "edema|mass", "mass"]


def test_medmnist_splits(toys, tmp_path):
    spec = InputSpec(kind="image", size=(16, 16))
    made = toys.eight_bit_manifest(
        input=spec, task="multiclass", classes=("0", "1", "2")
    )  # fmt: skip
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "m.npz",
        val_images=rng.integers(0, 255, (9, 16, 16), dtype=np.uint8),
        val_labels=(np.arange(9) % 3)[:, None].astype(np.uint8),
    )
    done = batch.evaluate(bundle, tmp_path / "m.npz", "val", tmp_path / "out", rounds=20)
    assert (done.evaluation.task, done.evaluation.n) == ("multiclass", 9)
    assert rows(tmp_path / "out" / "predictions.csv")[4]["case"] == "val/4"
    with pytest.raises(DatasetError, match="val"):
        batch.evaluate(bundle, tmp_path / "m.npz", "test", tmp_path / "out2")


def test_interrupted_leaves_nothing(bundle, stacks, tmp_path):
    def stop(stage, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch.evaluate(bundle, stacks, "all", tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()


def test_full_disk_leaves_nothing(bundle, stacks, tmp_path):
    """The limit lets the table through and stops the report: neither may stay."""
    script = (
        "import sys, signal, resource\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from diaphane import batch\n"
        "from diaphane.core.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "try:\n"
        "    batch.evaluate(sys.argv[1], sys.argv[2], 'all', sys.argv[3], rounds=20)\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle.path), str(stacks), str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "disk is full" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_grades_are_judged_by_how_far_answers_miss(toys, tmp_path):
    own = toys.write_stacks(
        tmp_path / "set",
        9,
        columns={"label:grade": lambda i: ("mild", "moderate", "severe")[i % 3]},
    )
    table = (own / "labels.csv").read_text().replace("label,group", "old,group")
    (own / "labels.csv").write_text(table)
    graph = {"weights": ((4.0, 0.0, -4.0),), "bias": (-1.0, 0.0, 1.0)}
    found = []
    for ordinal in (True, False):
        made = toys.eight_bit_manifest(
            task="multiclass", classes=("mild", "moderate", "severe"), label_columns=("grade",),
            ordinal=ordinal,
        )  # fmt: skip
        folder = toys.write_toy(tmp_path / f"grades-{ordinal}", manifest=made, **graph)
        done = batch.evaluate(
            load_bundle(folder), own, "all", tmp_path / f"out-{ordinal}", rounds=20
        )
        found.append(set(done.evaluation.metrics))
    assert found[0] - found[1] == {"kappa_quadratic", "mean_absolute_error"}
