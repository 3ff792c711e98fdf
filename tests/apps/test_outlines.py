"""``analyze`` with a segmentation bundle: a finding for every label, and the full report."""

import json

import jsonschema
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.apps import analyze
from diaphane.apps.outlines import expectation
from diaphane.bundle import LabelSpec, PatchSpec
from diaphane.core.errors import AmbiguousInput, UsageError
from diaphane.preprocess import Recipe, make_step
from diaphane.report import schema

AFFINE = np.diag([0.9, 1.1, 2.0, 1.0])


@pytest.fixture(scope="module")
def rings(segments, tmp_path_factory):
    return segments.write_rings(tmp_path_factory.mktemp("b") / "rings")


def valid(folder):
    document = json.loads((folder / "findings.json").read_text())
    jsonschema.validate(document, schema())
    return document


def test_a_finding_for_every_label(rings, segments, tmp_path):
    image, truth = segments.ring_image((12, 30, 34))
    nibabel.save(nibabel.Nifti1Image(image.transpose(2, 1, 0), AFFINE), tmp_path / "s.nii.gz")
    stages = []
    found = analyze(
        tmp_path / "s.nii.gz", rings, tmp_path / "out",
        progress=lambda stage, share: stages.append((stage, share)),
    )  # fmt: skip
    assert [f.location.anatomy["label"] for f in found.findings] == ["rim", "core"]
    rim, core = found.findings
    for finding, value in ((rim, 1), (core, 2)):
        mask = truth == value
        assert finding.mask_label == value
        assert finding.measure("volume").value == pytest.approx(mask.sum() * 0.9 * 1.1 * 2.0)
        assert finding.location.key_slice == mask.sum(axis=(1, 2)).argmax()
        assert finding.assessment.probability is None
        assert finding.long_axis.unit == "mm"
        assert 0 <= finding.measure("uncertain_share").value <= 1
    assert 0 < rim.measure("predicted_dice").value < 1
    assert core.measure("predicted_dice") is None
    document = valid(tmp_path / "out")
    assert document["structures"] == [{"label": 1, "code": "rim"}, {"label": 2, "code": "core"}]
    masks = nibabel.load(tmp_path / "out" / "masks.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(masks.dataobj).T, truth)
    np.testing.assert_allclose(masks.affine, AFFINE, atol=1e-6)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "expects its outline to agree" in page
    assert page.count('class="layer"') >= 2
    assert "s.nii" not in page
    assert [share for _, share in stages] == sorted(share for _, share in stages)
    assert "Predicted Dice" in page


def test_both_languages_and_the_text(rings, segments, tmp_path):
    image, _ = segments.ring_image((8, 20, 22))
    nibabel.save(nibabel.Nifti1Image(image.transpose(2, 1, 0), AFFINE), tmp_path / "s.nii.gz")
    analyze(tmp_path / "s.nii.gz", rings, tmp_path / "zh", lang="zh")
    assert "预测 Dice" in (tmp_path / "zh" / "report.html").read_text()
    assert "rim" in (tmp_path / "zh" / "report.txt").read_text()


def test_what_is_not_there_is_said(rings, tmp_path):
    empty = np.zeros((6, 12, 12), np.uint8)
    nibabel.save(nibabel.Nifti1Image(empty, AFFINE), tmp_path / "empty.nii.gz")
    found = analyze(tmp_path / "empty.nii.gz", rings, tmp_path / "out")
    assert found.findings == ()
    valid(tmp_path / "out")
    assert "Nothing was outlined." in (tmp_path / "out" / "report.html").read_text()
    some = empty.copy()
    some[2:4, 3:9, 3:9] = 120
    nibabel.save(nibabel.Nifti1Image(some, AFFINE), tmp_path / "some.nii.gz")
    found = analyze(tmp_path / "some.nii.gz", rings, tmp_path / "out2")
    assert [f.location.anatomy["label"] for f in found.findings] == ["rim"]
    assert "Not found in this image: core" in (tmp_path / "out2" / "report.html").read_text()


def test_a_photograph_has_an_area(segments, tmp_path):
    manifest = segments.segment_manifest(
        patch=PatchSpec(channels=3, size=(1, 16, 16)), quality={},
        labels=(LabelSpec(value=1, name="disc"),),
    )  # fmt: skip
    bundle = segments.write_rings(tmp_path / "b", manifest=manifest)
    pixels = np.zeros((40, 50, 3), np.uint8)
    pixels[10:20, 15:40] = 230
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    found = analyze(tmp_path / "eye.png", bundle, tmp_path / "out")
    (disc,) = found.findings
    assert (disc.measure("area").value, disc.measure("area").unit) == (250.0, "px2")
    assert disc.measure("volume") is None
    assert "pixels" in disc.notes
    valid(tmp_path / "out")


def test_dicom_gets_a_segmentation_with_the_labels_names(segments, tmp_path):
    write_dicom_series(chest_phantom(3, (8.0, 4.0, 4.0), (20, 64, 64)), tmp_path / "study")
    step = make_step("rescale_intensity", {"in_low": -1000.0, "in_high": 1000.0})
    manifest = segments.segment_manifest(recipe=Recipe((step,)).to_dict())
    bundle = segments.write_rings(tmp_path / "b", manifest=manifest, levels=(0.48, 0.6))
    found = analyze(tmp_path / "study", bundle, tmp_path / "out")
    assert len(found.findings) == 2
    written = pydicom.dcmread(tmp_path / "out" / "seg.dcm")
    assert [s.SegmentLabel for s in written.SegmentSequence] == ["rim", "core"]
    kinds = {s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in written.SegmentSequence}
    assert kinds == {"Tissue"}
    assert found.findings[0].location.instance_number is not None
    valid(tmp_path / "out")


def test_points_and_several_cases_are_refused(rings, tmp_path):
    (tmp_path / "two").mkdir()
    for k in range(2):
        nibabel.save(
            nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), AFFINE),
            tmp_path / "two" / f"{k}.nii.gz",
        )
    with pytest.raises(AmbiguousInput, match="2 cases"):
        analyze(tmp_path / "two", rings)
    with pytest.raises(UsageError, match="no points"):
        analyze(tmp_path / "two" / "0.nii.gz", rings, points=[(0, 0, 0)])


def test_words_for_a_predicted_dice():
    said = [expectation(d) for d in (0.95, 0.85, 0.8, 0.7, 0.5)]
    assert [s.rsplit("_", 1)[1] for s in said] == ["good", "good", "fair", "fair", "poor"]
