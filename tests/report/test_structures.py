"""rtstruct.dcm: any mask comes back from its contours, whatever holes and parts it has."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from pydicom.uid import ImplicitVRLittleEndian

import dicom_sources
from diaphane.acquire import find_series
from diaphane.acquire.drawn import read_mask
from diaphane.core.finding import Analysis
from diaphane.report import DicomForms
from diaphane.report.dicom import write_dicom

SHAPE = (3, 9, 11)


@pytest.fixture(scope="module")
def there_and_back(tmp_path_factory) -> Callable[[np.ndarray], np.ndarray]:
    """Labels 1 and 2, written as contours and read again on the grid of an oblique series."""
    place = tmp_path_factory.mktemp("rt")
    studies = {}

    def study(shape: tuple[int, ...]) -> tuple[Analysis, Path]:
        if shape not in studies:
            folder = place / "-".join(map(str, shape))
            dicom_sources.write_series(folder / "in", np.zeros(shape, np.int16), "oblique")
            series = find_series(folder / "in").series[0].load().value
            names = {1: "right_lung", 2: "left_lung"}
            made = Analysis(
                "lung-ct", "1", "P-1", series.volume, (), structures=names, source=series.source
            )
            studies[shape] = made, folder
        return studies[shape]

    def there_and_back(labels: np.ndarray) -> np.ndarray:
        made, folder = study(labels.shape)
        write_dicom(replace(made, labels=labels), folder, DicomForms(rtstruct=True))
        return np.asarray(read_mask(folder / "rtstruct.dcm", made.volume).voxels)

    there_and_back.folder = place  # type: ignore[attr-defined]
    return there_and_back


@settings(max_examples=40, deadline=None)
@given(labels=arrays(np.uint16, SHAPE, elements={"min_value": 0, "max_value": 2}))
def test_any_mask_comes_back(there_and_back, labels) -> None:
    labels[:, 0, 0], labels[:, -1, -1] = 1, 2  # a slice left out would be taken for a wide step
    np.testing.assert_array_equal(there_and_back(labels), labels)


def test_thousands_of_parts_and_of_holes(there_and_back) -> None:
    labels = np.zeros((2, 120, 120), np.uint16)
    labels[0, ::2, ::2] = 1  # 3,600 parts
    labels[1] = 1
    labels[1, 1:-1:3, 1:-1:3] = 0  # one part with 1,600 holes, some with an island
    labels[1, 40:60, 40:60] = 0
    labels[1, 45:55, 45:55] = 2
    labels[1, 49:51, 49:51] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(there_and_back(labels), labels)
    written = pydicom.dcmread(there_and_back.folder / "2-120-120" / "rtstruct.dcm")
    # Its longest contour has more bytes than a length of explicit VR can state.
    assert written.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    counts = [len(roi.ContourSequence) for roi in written.ROIContourSequence]
    assert counts == [3_601, 1]
