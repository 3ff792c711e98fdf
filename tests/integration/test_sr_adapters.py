"""The report as OHIF reads it: npm's @cornerstonejs/adapters finds every finding and its value."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

import dicom_sources
import ohif
from diaphane.acquire import find_series
from diaphane.core.finding import (
    Analysis,
    Assessment,
    Diameter,
    Finding,
    Location,
    Measurement,
)
from diaphane.report.dicom import write_dicom
from diaphane.report.dicom.source import SourceImages

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def reader() -> Path:
    """The adapters' script."""
    return ohif.reader()


def nodule(number: int, z: int, y: int, x: int, length: float) -> Finding:
    long, short = length / dicom_sources.SPACING[1] / 2, length / dicom_sources.SPACING[1] / 4
    return Finding(
        id=f"F{number}",
        code="nodule",
        location=Location(
            (z, y, x, z + 1, y + 1, x + 1), (z, y, x), None, z, None,
            {"organ": "lung", "side": "right", "third": "upper"},
        ),
        measurements=(
            Measurement("volume", 10.0 * length, "mm3"),
            Measurement("long_axis", length, "mm"),
            Measurement("short_axis", length / 2, "mm"),
            Measurement("mean_density", 40.0, "[hnsf'U]"),
        ),
        assessment=_rated(0.1 * number),
        long_axis=Diameter((z, y, x - long), (z, y, x + long), length, "mm"),
        short_axis=Diameter((z, y - short, x), (z, y + short, x), length / 2, "mm"),
        mask_label=10 + number,
    )  # fmt: skip


def _rated(share: float) -> Assessment:
    return Assessment(
        {"benign": 1 - share, "malignant": share}, (), ("malignant",), 0.9, positive="malignant"
    )


@pytest.mark.parametrize("kind", ["oblique", "mixed", "enhanced"])
def test_every_finding_appears_with_its_value(reader, tmp_path, kind) -> None:
    voxels = dicom_sources.blobs((6, 35, 31))
    if kind == "enhanced":
        dicom_sources.write_enhanced(tmp_path / "in", voxels)
    else:
        orientation = "oblique" if kind == "oblique" else "axial"
        dicom_sources.write_series(tmp_path / "in", voxels, orientation, order="mixed")
    series = find_series(tmp_path / "in").series[0].load().value
    outlined = [nodule(1, 1, 10, 12, 6.4), nodule(2, 4, 20, 9, 8.8), nodule(3, 5, 25, 24, 3.2)]
    labels = np.zeros(series.volume.shape, np.uint16)
    for finding in outlined:
        z, y, x = (int(v) for v in finding.location.centre_index)
        labels[z, y - 2 : y + 3, x - 2 : x + 3] = finding.mask_label
    bare = {"mask_label": None, "measurements": (), "long_axis": None, "short_axis": None}
    whole = replace(outlined[0], id="F4", code="image", origin="whole_image", **bare)
    point = replace(outlined[1], id="F5", code="point", origin="reader", **bare)
    study = Analysis(
        "lung-ct", "1", "P-1", series.volume, (*outlined, whole, point), labels=labels,
        source=series.source,
    )  # fmt: skip
    write_dicom(study, tmp_path)
    source = SourceImages.open(series.source, series.volume.geometry)
    assert source is not None
    read_back = ohif.read(reader, tmp_path / "sr.dcm", source, tmp_path)
    told = {state["label"].split()[0]: state for state in read_back["told"]}
    assert sorted(told) == ["F1", "F2", "F3", "F4", "F5"]

    segments = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    for finding, segment in zip(outlined, segments, strict=True):
        state = told[finding.id]
        assert state["tool"] == "Bidirectional"
        assert state["uid"] == segment.TrackingUID
        assert (state["finding"], state["sites"]) == ("Nodule", ["Lung"])
        stats = state["stats"]
        assert float(stats["length"]) == pytest.approx(finding.long_axis.length)
        assert float(stats["width"]) == pytest.approx(finding.short_axis.length)
        assert stats["unit"] == "mm"
        ends = [finding.long_axis.start, finding.long_axis.end]
        ends += [finding.short_axis.start, finding.short_axis.end]
        wanted = [series.volume.geometry.to_patient(end) for end in ends]
        np.testing.assert_allclose(state["points"], wanted, atol=1e-3)
        assert f"malignant {finding.assessment.probability['malignant']:.2f}" in state["label"]
    assert (told["F4"]["tool"], told["F5"]["tool"]) == ("RectangleROI", "Probe")
    assert "malignant 0.10" in told["F4"]["label"]

    # OHIF's own list of an SR: all quantities, and coordinates on an image that is there.
    images = {key.partition(":")[0] for key in json.loads((tmp_path / "images.json").read_text())}
    for group, finding in zip(read_back["shown"], study.findings, strict=True):
        wanted = [m.value for m in finding.measurements]
        wanted += [*finding.assessment.probability.values(), 0.9]
        assert sorted(group["values"]) == pytest.approx(sorted(wanted), rel=1e-5)
        assert group["shape"] == ("POINT" if finding.id == "F5" else "POLYLINE")
        assert group["image"] in images
