"""``evaluate`` with a segmentation bundle: figures by hand, seen cases, labels that differ."""

import csv
import json

import nibabel
import numpy as np
import pytest

from diaphane.acquire import open_dataset
from diaphane.batch import evaluate
from diaphane.bundle import LabelSpec, Seen, case_hash
from diaphane.core.errors import DatasetError

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def write_set(folder, segments, count=5, *, spoil=0, names='{"rim": 1, "core": 2}', **columns):
    """Ring volumes; the truth of the first lacks ``spoil`` slices of its core."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for k in range(count):
        image, truth = segments.ring_image((10, 24, 26), seed=k)
        if k == 0 and spoil:
            truth[: truth.shape[0] // 2][truth[: truth.shape[0] // 2] == 2] = 1
        for name, voxels in (("i", image), ("m", truth)):
            file = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), AFFINE)
            nibabel.save(file, folder / "images" / f"{name}{k}.nii.gz")
        row = {"file": f"images/i{k}.nii.gz", "mask": f"images/m{k}.nii.gz"}
        rows.append({**row, **{c: make(k) for c, make in columns.items()}})
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if names:
        (folder / "labels.json").write_text(names)
    return folder


@pytest.fixture(scope="module")
def rings(segments, tmp_path_factory):
    return segments.write_rings(tmp_path_factory.mktemp("b") / "rings")


def test_figures_are_those_of_the_masks(rings, segments, tmp_path):
    data = write_set(tmp_path / "d", segments, spoil=1)
    done = evaluate(rings, data, "all", tmp_path / "out", rounds=50)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["task"] == "segmentation"
    assert metrics["n"] == 5
    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5
    truth = segments.ring_image((10, 24, 26), seed=0)[1]
    half = truth.copy()
    half[:5][half[:5] == 2] = 1
    a, b = (truth == 2).sum(), (half == 2).sum()
    assert float(rows[0]["dice:core"]) == pytest.approx(2 * b / (a + b))
    assert float(rows[0]["volume:core"]) == pytest.approx(2 * a)
    assert float(rows[0]["true_volume:core"]) == pytest.approx(2 * b)
    assert float(rows[1]["dice:core"]) == 1.0
    mean = np.mean([[float(r[f"dice:{n}"]) for n in ("rim", "core")] for r in rows])
    figures = metrics["metrics"]
    assert figures["dice"]["value"] == pytest.approx(mean)
    assert figures["dice:core"]["low"] <= figures["dice:core"]["value"]
    assert {"hd95", "surface_distance", "volume_error"} <= set(figures)
    assert 0 <= float(rows[0]["predicted_dice:rim"]) <= 1
    assert rows[0]["predicted_dice:core"] == ""
    page = (tmp_path / "out" / "report.html").read_text()
    assert "images/i0" not in page
    assert page.count("<svg") >= 3
    assert done.seen == 0


def test_seen_cases_stay_out_of_the_headline(segments, tmp_path):
    data = write_set(tmp_path / "d", segments, spoil=1)
    case = open_dataset(data).entries[0].load()
    manifest = segments.segment_manifest(seen=Seen(salt="x", train=(case_hash(case, "x"),)))
    bundle = segments.write_rings(tmp_path / "b", manifest=manifest)
    done = evaluate(bundle, data, "all", tmp_path / "out", rounds=20)
    assert (done.evaluation.n, done.seen) == (4, 1)
    assert done.evaluation.metrics["dice"].value == 1.0
    with_it = evaluate(bundle, data, "all", tmp_path / "in", include_seen=True, rounds=20)
    assert with_it.evaluation.n == 5
    assert with_it.evaluation.metrics["dice"].value < 1.0
    stored = evaluate(bundle, data, "train", tmp_path / "tr", include_seen=True, rounds=20)
    assert stored.evaluation.n == 1


def test_labels_are_matched_by_name(segments, tmp_path):
    """The bundle calls the same things by other values."""
    labels = (LabelSpec(value=7, name="rim"), LabelSpec(value=5, name="core"))
    bundle = segments.write_rings(tmp_path / "b", manifest=segments.segment_manifest(labels=labels))
    data = write_set(tmp_path / "d", segments)
    done = evaluate(bundle, data, "all", tmp_path / "out", rounds=20)
    assert done.evaluation.metrics["dice"].value == 1.0


def test_labels_of_other_names_are_matched_by_value_and_said(rings, segments, tmp_path):
    data = write_set(tmp_path / "d", segments, names=None)
    done = evaluate(rings, data, "all", tmp_path / "out", rounds=20)
    assert done.evaluation.metrics["dice"].value == 1.0
    assert any("matched by value" in note for note in done.notes)


def test_data_sets_without_a_known_mask_are_refused(rings, segments, tmp_path):
    other = write_set(tmp_path / "d", segments, names='{"bone": 1, "fat": 2}')
    assert evaluate(rings, other, "all", tmp_path / "o", rounds=20).evaluation.n == 5
    labels = (LabelSpec(value=8, name="a"), LabelSpec(value=9, name="b"))
    manifest = segments.segment_manifest(labels=labels, quality={})
    strange = segments.write_rings(tmp_path / "b", manifest=manifest)
    with pytest.raises(DatasetError, match="None of the labels"):
        evaluate(strange, other, "all", tmp_path / "o2")
    (tmp_path / "bare").mkdir()
    (other / "images" / "i0.nii.gz").rename(tmp_path / "bare" / "i0.nii.gz")
    with pytest.raises(DatasetError, match="no masks"):
        evaluate(rings, tmp_path / "bare", "all", tmp_path / "o3")


def test_subgroups(rings, segments, tmp_path):
    data = write_set(tmp_path / "d", segments, **{"subgroup:site": lambda k: "ab"[k % 2]})
    done = evaluate(rings, data, "all", tmp_path / "out", rounds=20)
    assert set(done.evaluation.subgroups["site"]) == {"a", "b"}
