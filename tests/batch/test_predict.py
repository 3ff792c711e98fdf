"""``predict``: rows in order, refused inputs beside them, nothing half-written."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from diaphane import batch
from diaphane.bundle import InputSpec, load_bundle
from diaphane.core.errors import UsageError
from tables import rows


@pytest.fixture(scope="module")
def folder(toys, tmp_path_factory):
    return toys.write_toy(tmp_path_factory.mktemp("b") / "toy", manifest=toys.eight_bit_manifest())


@pytest.fixture(scope="module")
def bundle(folder):
    return load_bundle(folder, threads=1)


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 5)


def test_manifest_rows_in_order(bundle, stacks, tmp_path):
    done = batch.predict(bundle, [stacks], tmp_path / "p.csv")
    found = rows(done.out)
    assert list(found[0]) == [
        "file", "probability:benign", "probability:malignant", "prediction_set", "unlike_training",
    ]  # fmt: skip
    assert [row["file"] for row in found] == [f"images/s{i:02d}" for i in range(5)]
    assert done.rejected is None
    for row in found:
        p = [float(row["probability:benign"]), float(row["probability:malignant"])]
        assert sum(p) == pytest.approx(1)
        assert set(row["prediction_set"].split("|")) <= {"benign", "malignant"}
        assert row["unlike_training"] in "01"
    assert float(found[1]["probability:malignant"]) > float(found[0]["probability:malignant"])


def test_cases_of_one_name_in_several_inputs_are_told_apart(bundle, toys, stacks, tmp_path):
    other = toys.write_stacks(tmp_path / "other", 6)
    done = batch.predict(bundle, [stacks, other], tmp_path / "p.csv")
    found = [row["file"] for row in rows(done.out)]
    assert found[0] == f"{stacks}/images/s00"
    assert found[-2:] == [f"{other}/images/s04", "images/s05"]
    assert len(set(found)) == 11


def test_contributions_add_up_to_the_logit(bundle, stacks, tmp_path):
    done = batch.predict(bundle, [stacks], tmp_path / "p.csv", contributions=True)
    for row in rows(done.out):
        parts = {k: float(v) for k, v in row.items() if k.startswith("contribution:")}
        assert list(parts) == [
            f"contribution:{name}" for name in ("bias", "image", "diameter", "area")
        ]
        assert sum(parts.values()) == pytest.approx(float(row["logit"]), abs=1e-4)
        logit = float(row["logit"])
        assert float(row["probability:malignant"]) == pytest.approx(1 / (1 + np.exp(-logit)))


def test_several_logits(toys, stacks, tmp_path):
    made = toys.eight_bit_manifest(task="multiclass", classes=("a", "b", "c"))
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    done = batch.predict(bundle, [stacks], tmp_path / "p.csv", contributions=True)
    row = rows(done.out)[0]
    for name in "abc":
        parts = [float(v) for k, v in row.items() if k.startswith(f"contribution:{name}:")]
        assert len(parts) == 4
        assert sum(parts) == pytest.approx(float(row[f"logit:{name}"]), abs=1e-4)
    assert "logit" not in row


def test_what_cannot_be_read_is_listed_and_the_rest_is_done(bundle, stacks, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes((stacks / "images/s01/0.png").read_bytes()[:60])
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(black)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    inputs = [broken, stacks / "images/s00", tmp_path / "absent", black, text]
    done = batch.predict(bundle, inputs, tmp_path / "out" / "p.csv")
    assert [row["file"] for row in rows(done.out)] == [str(stacks / "images/s00")]
    refused = rows(tmp_path / "out" / "rejected.csv")
    assert list(refused[0]) == ["file", "error", "problem", "remedy"]
    assert {row["file"] for row in refused} == {
        str(p) for p in (broken, tmp_path / "absent", black, text)
    }
    assert all(row["error"] and row["problem"] for row in refused)
    assert next(r for r in refused if r["file"] == str(black))["error"] == "NotApplicable"


def test_an_old_list_of_refusals_goes_away(bundle, stacks, tmp_path):
    batch.predict(bundle, [tmp_path / "absent", stacks], tmp_path / "p.csv")
    assert (tmp_path / "rejected.csv").exists()
    batch.predict(bundle, [stacks], tmp_path / "p.csv")
    assert not (tmp_path / "rejected.csv").exists()


def test_nothing_could_be_done(bundle, tmp_path):
    done = batch.predict(bundle, [tmp_path / "absent"], tmp_path / "p.csv")
    assert done.out is None
    assert not (tmp_path / "p.csv").exists()
    assert len(rows(done.rejected)) == 1


def test_npz_with_objects_is_refused(bundle, tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, test_images=np.array([{"a": 1}], dtype=object), test_labels=np.zeros((1, 1)))
    done = batch.predict(bundle, [path], tmp_path / "p.csv")
    assert done.out is None
    assert len(done.refused) == 1


def test_npz_names_are_split_and_index(toys, tmp_path):
    spec = InputSpec(kind="image", size=(16, 16))
    made = toys.eight_bit_manifest(input=spec)
    bundle = load_bundle(toys.write_toy(tmp_path / "b", manifest=made))
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "m.npz", test_images=images, test_labels=np.zeros((3, 1), np.uint8))
    done = batch.predict(bundle, [tmp_path / "m.npz"], tmp_path / "p.csv")
    assert [row["file"] for row in rows(done.out)] == ["test/0", "test/1", "test/2"]


def test_folder_as_images(bundle, stacks, tmp_path):
    folder = stacks / "images/s03"
    one = batch.predict(bundle, [folder], tmp_path / "one.csv")
    each = batch.predict(bundle, [folder], tmp_path / "each.csv", stack=False)
    assert (one.done, each.done) == (1, 4)


def test_same_answer_alone_and_among_others(bundle, stacks, tmp_path):
    whole = rows(batch.predict(bundle, [stacks], tmp_path / "a.csv").out)
    alone = rows(batch.predict(bundle, [stacks / "images/s04"], tmp_path / "b.csv").out)
    name = "probability:malignant"
    assert float(alone[0][name]) == pytest.approx(float(whole[4][name]), abs=1e-6)


def test_wrong_calls(bundle, tmp_path):
    with pytest.raises(UsageError):
        batch.predict(bundle, [], tmp_path / "p.csv")
    with pytest.raises(UsageError):
        batch.predict(bundle, ["x"], tmp_path)
    with pytest.raises(UsageError):
        batch.predict(bundle, ["x"], tmp_path / "rejected.csv")


def test_full_disk_leaves_the_old_file(folder, stacks, tmp_path):
    script = (
        "import sys, signal, resource\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from diaphane import batch\n"
        "from diaphane.bundle import load_bundle\n"
        "from diaphane.core.errors import OutputError\n"
        "bundle = load_bundle(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try:\n"
        "    batch.predict(bundle, [sys.argv[2]], sys.argv[3])\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    out = tmp_path / "p.csv"
    out.write_text("file,unlike_training\n")
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(stacks), str(out)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "disk is full" in done.stdout
    assert out.read_text() == "file,unlike_training\n"
    assert list(tmp_path.iterdir()) == [out]


def test_interrupted_leaves_nothing(bundle, stacks, tmp_path):
    def stop(stage, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch.predict(bundle, [stacks], tmp_path / "p.csv", progress=stop)
    assert list(tmp_path.iterdir()) == []
