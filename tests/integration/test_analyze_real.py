"""``lung-ct`` on real data: a CT with a large tumour, and studies without lungs."""

import json
import shutil
import subprocess
from xml.etree import ElementTree as ET

import numpy as np
import pydicom
import pytest

import ohif
from diaphane.acquire.drawn import read_mask
from diaphane.apps import analyze
from diaphane.apps.stages import Stages
from diaphane.apps.study import read_study
from diaphane.core.errors import NoLungs, NotApplicable, UsageError
from diaphane.core.protocols import Request
from diaphane.report import DicomForms
from diaphane.report.dicom import write_dicom
from diaphane.report.dicom.source import SourceImages

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data("lung_pet_ct_dx")


@pytest.fixture(scope="module")
def boxes(folder):
    """Annotated tumour boxes of A0001_L: slice index from the feet -> (x0, y0, x1, y1)."""
    headers = [
        pydicom.dcmread(path, stop_before_pixels=True) for path in (folder / "A0001_L").iterdir()
    ]
    headers.sort(key=lambda h: float(h.ImagePositionPatient[2]))
    order = {str(h.SOPInstanceUID): z for z, h in enumerate(headers)}
    found = {}
    for path in (folder / "Annotation" / "A0001").glob("*.xml"):
        if path.stem in order:
            box = ET.parse(path).getroot().find("object/bndbox")
            found[order[path.stem]] = [
                int(box.findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax")
            ]
    assert len(found) == 11
    return found


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """The whole study (two series, annotations, a table) without a hint: object and folder."""
    out = tmp_path_factory.mktemp("real") / "out"
    return analyze(folder, "lung-ct", out), out


@pytest.fixture(scope="module")
def alone(written):
    return written[0]


def inside_boxes(analysis, finding, boxes):
    """Share of the finding's mask inside the boxes, and how many boxes its section fits."""
    mask = np.asarray(analysis.labels) == finding.mask_label
    union = np.zeros_like(mask)
    fits = 0
    # The slice order of the volume, from the feet or from the head.
    up = analysis.volume.geometry.affine[2, 0] > 0
    for z, (x0, y0, x1, y1) in boxes.items():
        index = z if up else mask.shape[0] - 1 - z
        union[index, y0 : y1 + 1, x0 : x1 + 1] = True
        rows, columns = np.nonzero(mask[index])
        if rows.size:
            mine = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            fits += overlap(mine, (x0, y0, x1 + 1, y1 + 1)) >= 0.5
    return float((mask & union).sum() / mask.sum()), fits


def overlap(a, b):
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return both / (sum(areas) - both)


def tumour_of(analysis):
    masses = [f for f in analysis.findings if f.code == "mass"]
    return max(masses, key=lambda f: f.measure("volume").value)


def test_the_tumour_is_the_first_finding(alone, boxes):
    finding = alone.findings[0]
    assert finding is tumour_of(alone)
    assert finding.code == "mass"
    assert finding.location.anatomy["side"] == "left"
    share, fits = inside_boxes(alone, finding, boxes)
    assert share >= 0.7
    assert fits >= 8
    assert 45 < finding.measure("long_axis").value < 75


def test_its_probability_is_withheld_and_says_why(alone):
    finding = tumour_of(alone)
    assert finding.assessment.probability is None
    assert "larger_than_training" in finding.assessment.reasons
    assert finding.evidence is None
    assert finding.rules[0].outcome == "mass"
    assert "thick_slices" in finding.notes


def test_few_others_are_shown_and_all_in_the_lungs(alone):
    others = [*alone.findings[1:], *alone.candidates]
    assert len(others) <= 8
    names = dict(alone.structures)
    lungs = np.isin(alone.labels, [v for v, name in names.items() if name != "airways"])
    for finding in others:
        z, y, x = (round(c) for c in finding.location.centre_index)
        assert lungs[z, y, x] or (alone.labels == finding.mask_label)[lungs].any()


def test_the_readers_point_finds_it_too(folder, alone, boxes):
    point = tumour_of(alone).location.centre_mm
    found = analyze(folder / "A0001_L", points=[point])
    finding = found.findings[0]
    assert finding.origin == "reader"
    share, fits = inside_boxes(found, finding, boxes)
    assert share >= 0.7
    assert fits >= 8
    assert "larger_than_training" in finding.assessment.reasons


def test_a_study_of_two_series_gives_one_report(written):
    found, out = written
    taken, left = found.series
    assert (taken.number, taken.taken, taken.reasons) == (2, True, ("preferred",))
    assert (left.number, left.taken, left.reasons) == (3, False, ("kernel",))
    names = {"findings.json", "report.html", "report.txt", "masks.nii.gz", "seg.dcm", "sr.dcm"}
    assert {p.name for p in out.iterdir()} == names
    said = json.loads((out / "findings.json").read_text())
    assert len(said["findings"]) == len(found.findings)


def test_the_other_series_on_request(folder):
    study = read_study(Request(folder, series="3"), None, Stages())
    assert [s.number for s in study.series if s.taken] == [3]


def test_a_point_outside_the_scan(folder):
    with pytest.raises(UsageError, match="outside the scan"):
        analyze(folder / "A0001_L", points=[(0.0, 0.0, 9999.0)])


def test_a_ct_in_nifti(shared_data, tmp_path):
    found = analyze(
        shared_data("totalsegmentator_example") / "example_ct.nii.gz", out=tmp_path / "o"
    )
    assert {"assumed_hu"} <= {code for code, _ in found.notes}
    assert not (tmp_path / "o" / "seg.dcm").exists()
    assert (tmp_path / "o" / "masks.nii.gz").exists()


@pytest.mark.parametrize(
    "name",
    [
        "totalsegmentator_example/example_mr_sm.nii.gz",
        "msd_hippocampus/imagesTr/hippocampus_003.nii.gz",
    ],
)
def test_studies_without_lungs_are_refused(shared_data, name, tmp_path):
    root, _, rest = name.partition("/")
    path = shared_data(root) / rest
    with pytest.raises((NoLungs, NotApplicable)):
        analyze(path, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def objections(path):
    """What dciodvfy calls errors."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


@pytest.mark.integration
def test_its_dicom_results_are_what_others_expect(folder, written, tmp_path):
    """Masks bit for bit; no error that dciodvfy does not find in the source; OHIF's values."""
    found, out = written
    write_dicom(found, tmp_path, DicomForms("labelmap", rtstruct=True))
    values = sorted(v for v in np.unique(found.labels) if v)
    wanted = np.searchsorted([0, *values], found.labels)
    for path in (out / "seg.dcm", tmp_path / "seg.dcm", tmp_path / "rtstruct.dcm"):
        back = read_mask(path, found.volume)
        np.testing.assert_array_equal(back.voxels, wanted, err_msg=str(path))

    source = SourceImages.open(found.source, found.volume.geometry)
    told = ohif.read(ohif.reader(), out / "sr.dcm", source, tmp_path)["told"]
    assert {state["label"].split()[0] for state in told} == {f.id for f in found.findings}
    for state, finding in zip(
        sorted(told, key=lambda s: s["label"].split()[0]),
        sorted(found.findings, key=lambda f: f.id),
        strict=True,
    ):
        assert float(state["stats"]["length"]) == pytest.approx(finding.long_axis.length, rel=1e-5)
        assert float(state["stats"]["width"]) == pytest.approx(finding.short_axis.length, rel=1e-5)

    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    of_source = objections(found.source.open_for_dicom_writer()[0])
    for path in (*out.glob("*.dcm"), tmp_path / "rtstruct.dcm"):
        assert objections(path) <= of_source, path.name
