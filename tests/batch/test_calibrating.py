"""``calibrate``: same model, other decisions, and both said."""

import csv
import json

import numpy as np
import pytest

from diaphane import batch
from diaphane.acquire import open_dataset
from diaphane.bundle import InputSpec, Seen, case_hash, load_classifier, verify
from diaphane.core.decision import Calibration
from diaphane.core.errors import DatasetError, OutputError, UsageError

TOO_STEEP = Calibration("binary", (6.0,), (2.0,))


@pytest.fixture(scope="module")
def site(toys, tmp_path_factory):
    """Eighty stacks of forty patients, some with another label than the model expects."""
    place = toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 80)
    lines = (place / "labels.csv").read_text().splitlines()
    other = {"benign": "malignant", "malignant": "benign"}
    rng = np.random.default_rng(1)
    for i in rng.choice(80, 18, replace=False):
        file, label, group = lines[i + 1].split(",")
        lines[i + 1] = ",".join((file, other[label], group))
    (place / "labels.csv").write_text("\n".join(lines) + "\n")
    return place


def bundle_of(toys, folder, **changes):
    return load_classifier(
        toys.write_toy(folder, manifest=toys.eight_bit_manifest(**changes)), threads=1
    )


@pytest.fixture(scope="module")
def steep(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("b") / "toy"
    return bundle_of(toys, folder, calibration=TOO_STEEP)


@pytest.fixture(scope="module")
def done(steep, site, tmp_path_factory):
    return batch.calibrate(steep, site, tmp_path_factory.mktemp("o") / "new", rounds=200)


def test_it_helps_a_bundle_that_is_too_sure(done):
    assert done.helped is True
    assert "It helps" in done.verdict
    assert (done.n, done.groups, done.seen) == (80, 40, 0)
    assert sum(done.counts.values()) == 80
    loss = done.changes["log_loss"]
    assert loss.model < loss.baseline
    for name in ("brier", "ece", "coverage", "mean_set_size", "sensitivity_at:youden"):
        if name in done.changes:
            assert done.changes[name].model is not None
    assert done.changes["coverage:benign"].model_interval.low is not None


def test_the_new_bundle_is_whole_and_says_what_it_is(done, steep, site):
    made = verify(done.out)
    m, old = made.manifest, steep.manifest
    assert made.model == steep.model
    assert (m.name, m.version) == ("toy-site", "1.0.0+site")
    assert m.calibration != old.calibration
    about = m.metrics_about
    assert about["before"]["calibration"] == old.calibration.to_dict()
    assert about["before"]["bundle"]["sha256"] == steep.sha256
    assert (about["n"], about["groups"]) == (80, 40)
    assert about["verdict"] == done.verdict
    assert m.recipe == old.recipe
    assert m.input == old.input
    assert made.licence == steep.licence
    assert "80 cases of 40 groups" in made.card
    assert "| log_loss |" in made.card
    assert "Bundle `toy`, version" not in made.card
    assert [p.name for p in m.operating_points] == ["sensitivity_95", "youden", "specificity_95"]
    for point in m.operating_points:
        change = done.changes.get(f"sensitivity_at:{point.name}")
        assert change is None or change.model == point.sensitivity
    entries = open_dataset(site).entries
    assert all(made.has_seen(entry.load()) for entry in entries[:3])
    assert not any(steep.has_seen(entry.load()) for entry in entries[:3])
    page = done.report.read_text()
    assert "images/s" not in page
    assert "log loss" in page


def test_its_cases_are_no_test_for_it(done, site, tmp_path):
    again = batch.evaluate(done.out, site, "all", tmp_path / "e", rounds=20)
    assert (again.evaluation.n, again.evaluation.seen) == (0, 80)
    with pytest.raises(DatasetError, match="trained on all 80 cases"):
        batch.calibrate(done.out, site, tmp_path / "b")


def test_a_calibrated_bundle_is_not_said_to_gain(done, toys, tmp_path):
    """Calibrated once more on other cases of the same kind, nothing clear may be left."""
    other = toys.write_stacks(tmp_path / "set", 80, seed=5)
    fresh = verify(done.out).manifest
    made = bundle_of(
        toys, tmp_path / "b", calibration=fresh.calibration,
        prediction_sets=fresh.prediction_sets, operating_points=fresh.operating_points,
    )  # fmt: skip
    lines = (other / "labels.csv").read_text().splitlines()
    flip = {"benign": "malignant", "malignant": "benign"}
    for i in np.random.default_rng(9).choice(80, 18, replace=False):
        file, label, group = lines[i + 1].split(",")
        lines[i + 1] = ",".join((file, flip[label], group))
    (other / "labels.csv").write_text("\n".join(lines) + "\n")
    again = batch.calibrate(made, other, tmp_path / "new", rounds=300)
    assert again.helped is not True
    assert "does not clearly help" in again.verdict or "worse" in again.verdict


def test_the_same_seed_gives_the_same_bytes(steep, site, tmp_path):
    one = batch.calibrate(steep, site, tmp_path / "a", rounds=50, seed=4)
    other = batch.calibrate(steep, site, tmp_path / "b", rounds=50, seed=4)
    files = [sorted(p.name for p in done.out.iterdir()) for done in (one, other)]
    assert files[0] == files[1]
    for name in files[0]:
        assert (one.out / name).read_bytes() == (other.out / name).read_bytes(), name


def test_seen_cases_and_the_test_part_are_left_out(toys, tmp_path):
    own = toys.write_stacks(
        tmp_path / "set", 60, columns={"split": lambda i: "test" if i >= 50 else "train"}
    )
    entries = open_dataset(own).entries
    hashes = tuple(case_hash(entry.load(), "p") for entry in entries[:10])
    made = bundle_of(toys, tmp_path / "b", seen=Seen(salt="p", train=hashes))
    done = batch.calibrate(made, own, tmp_path / "new", rounds=20)
    assert (done.n, done.seen, done.kept_for_test) == (40, 10, 10)
    seen = verify(done.out).manifest.seen
    assert (len(seen.train), len(seen.calibration), seen.salt) == (10, 40, "p")
    assert not verify(done.out).has_seen(entries[55].load())
    with pytest.raises(DatasetError, match="too few"):
        batch.calibrate(made, own, tmp_path / "t", split="test")


def test_too_little_is_refused_with_what_is_needed(toys, steep, tmp_path):
    few = toys.write_stacks(tmp_path / "few", 16)
    with pytest.raises(DatasetError, match=r"too few.*8 benign, 8 malignant.*At least 12"):
        batch.calibrate(steep, few, tmp_path / "o")
    table = (few / "labels.csv").read_text()
    (few / "labels.csv").write_text(table.replace("malignant", "benign"))
    with pytest.raises(DatasetError, match="one class only"):
        batch.calibrate(steep, few, tmp_path / "o")
    (few / "labels.csv").write_text(table.replace("malignant", "cat").replace("benign", "dog"))
    with pytest.raises(DatasetError, match=r"cat, dog.*It knows: benign, malignant"):
        batch.calibrate(steep, few, tmp_path / "o")
    one = toys.write_stacks(tmp_path / "one", 40)
    text = (one / "labels.csv").read_text()
    for i in range(20):
        text = text.replace(f"patient {i}\n", f"patient {i % 4}\n")
    (one / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"come from 4 groups.*At least 10"):
        batch.calibrate(steep, one, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "o.html").exists()


def test_nothing_is_overwritten(steep, site, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists"):
        batch.calibrate(steep, site, tmp_path / "there")
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputError):
        batch.calibrate(steep, site, tmp_path / "page")
    with pytest.raises(UsageError, match="no name"):
        batch.calibrate(steep, site, tmp_path / "n", name="No Name")
    with pytest.raises(UsageError):
        batch.calibrate(steep, site, tmp_path / "n", split="dev")


def test_several_classes(toys, tmp_path):
    spec = InputSpec(kind="image", size=(16, 16))
    made = bundle_of(
        toys, tmp_path / "b", input=spec, task="multiclass", classes=("0", "1", "2")
    )  # fmt: skip
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.normal(60 + 60 * labels[:, None, None], 40, (60, 16, 16)).clip(0, 255)
    np.savez(tmp_path / "m.npz", val_images=images.astype(np.uint8), val_labels=labels[:, None])
    done = batch.calibrate(made, tmp_path / "m.npz", tmp_path / "new", rounds=50, name="mine")
    new = verify(done.out).manifest
    assert (new.name, new.operating_points) == ("mine", ())
    assert len(new.calibration.slope) == 3
    assert {"auc", "accuracy", "coverage:2"} <= set(done.changes)


def test_several_labels(toys, tmp_path):
    own = toys.write_stacks(
        tmp_path / "set", 60,
        columns={"label:edema": lambda i: str(i % 2), "label:mass": lambda i: str(int(i % 3 > 0))},
    )  # fmt: skip
    with (own / "labels.csv").open(newline="") as stream:
        rows = [{k: v for k, v in row.items() if k != "label"} for row in csv.DictReader(stream)]
    with (own / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    made = bundle_of(
        toys, tmp_path / "b", task="multilabel", classes=("edema", "mass"),
        label_columns=("edema", "mass"), positive_values=("1", "1"), prediction_sets=None,
    )  # fmt: skip
    done = batch.calibrate(made, own, tmp_path / "new", rounds=50)
    assert done.counts == {"edema": 30, "not edema": 30, "mass": 40, "not mass": 20}
    assert verify(done.out).manifest.prediction_sets is None


@pytest.mark.shared_data
def test_the_shipped_bundle_on_real_nodules(shared_data, tmp_path):
    """Its own training cases are refused; as strangers, they find it calibrated already."""
    from diaphane.bundle import load_bundle, write_bundle

    nodules = shared_data("lidc_nodules")
    table = (nodules / "labels.csv").read_text().splitlines()
    own = tmp_path / "some"
    own.mkdir()
    (own / "images").symlink_to(nodules / "images")
    (own / "labels.csv").write_text("\n".join([table[0], *table[1:101]]) + "\n")
    shipped = load_bundle("lung-nodule", threads=1)
    with pytest.raises(DatasetError, match="trained on all 100 cases"):
        batch.calibrate(shipped, own, tmp_path / "a")
    (tmp_path / "m.onnx").write_bytes(shipped.model)
    write_bundle(
        tmp_path / "stranger", shipped.manifest.model_copy(update={"seen": Seen()}),
        tmp_path / "m.onnx", card=shipped.card, licence=shipped.licence,
        reference=shipped.reference,
    )  # fmt: skip
    done = batch.calibrate(tmp_path / "stranger", own, tmp_path / "b", rounds=200)
    assert done.n == 100
    assert done.helped is not True
    new = verify(done.out)
    assert new.reference.limit != shipped.reference.limit
    assert "## Figures before recalibration" in new.card
    assert json.loads((done.out / "bundle.json").read_text())["seen"]["salt"]
