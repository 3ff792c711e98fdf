"""Orthanc takes seg.dcm, sr.dcm and rtstruct.dcm beside their study, and gives them back."""

from __future__ import annotations

import json
import urllib.request

import pydicom
import pytest

import dicom_sources
import peers
from diaphane.acquire import find_series
from diaphane.core.finding import Analysis
from diaphane.report import DicomForms
from diaphane.report.dicom import write_dicom

pytestmark = pytest.mark.integration


def _post(server: peers.Orthanc, path: str, body: bytes):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}{path}", body) as answer:
        return json.load(answer)


def test_orthanc_files_the_results_with_their_study(tmp_path) -> None:
    if peers.program("Orthanc") is None:
        pytest.skip("Orthanc (Debian: orthanc) is not installed")
    files = dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs((6, 35, 31)))
    series = find_series(tmp_path / "in").series[0].load().value
    study = Analysis(
        "lung-ct", "1", "P-1", series.volume, (),
        labels=dicom_sources.labels_of(series.volume.voxels),
        structures={2: "right_lung", 5: "left_lung"}, source=series.source,
    )  # fmt: skip
    written = []
    for form in ("binary", "labelmap"):
        (tmp_path / form).mkdir()
        written += write_dicom(study, tmp_path / form, DicomForms(form, rtstruct=True))
    with peers.orthanc(tmp_path / "orthanc") as server:
        for path in (*files, *written):
            assert _post(server, "/instances", path.read_bytes())["Status"] == "Success"
        assert len(server.ask("/studies")) == len(server.ask("/patients")) == 1
        for path in written:
            uid = pydicom.dcmread(path).SOPInstanceUID
            (key,) = _post(server, "/tools/lookup", uid.encode())
            assert server.file(key["ID"]) == path.read_bytes()
