"""Spacing of radiographs and ultrasound: where it holds, or unknown."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from diaphane.acquire import find_series, read


def radiograph(dicom, path, **values):
    def change(data, _):
        for name, value in values.items():
            setattr(data, name, value)

    return read(dicom.radiograph(path / "cr.dcm", change))


@pytest.mark.parametrize(
    ("values", "spacing", "at"),
    [
        ({"PixelSpacing": [0.2, 0.3]}, (0.2, 0.3), "patient"),
        (
            {"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]},
            (0.15, 0.15),
            "corrected",
        ),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "detector"),
        (
            {
                "PixelSpacing": [0.2, 0.2],
                "ImagerPixelSpacing": [0.2, 0.2],
                "PixelSpacingCalibrationType": "FIDUCIAL",
            },
            (0.2, 0.2),
            "corrected",
        ),
        (
            {"ImagerPixelSpacing": [0.3, 0.15], "EstimatedRadiographicMagnificationFactor": 1.5},
            (0.2, 0.1),
            "corrected",
        ),
        (
            {
                "PixelSpacing": [0.3, 0.3],
                "ImagerPixelSpacing": [0.3, 0.3],
                "EstimatedRadiographicMagnificationFactor": 1.2,
            },
            (0.25, 0.25),
            "corrected",
        ),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, (None, None), None),
    ],
)
def test_where_a_spacing_holds(dicom, tmp_path, values, spacing, at):
    volume = radiograph(dicom, tmp_path, **values)
    assert volume.geometry.spacing == (
        None,
        *(v if v is None else pytest.approx(v) for v in spacing),
    )
    assert volume.meta.get("spacing_at") == at


def region(box=(0, 0, 7, 5), kind=1, data=1, delta=(0.01, 0.02), units=(3, 3)):
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = kind, data, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    return item


def ultrasound(dicom, path, *regions):
    def change(data, _):
        data.SOPClassUID, data.Modality = pydicom.uid.UltrasoundImageStorage, "US"
        data.SequenceOfUltrasoundRegions = list(regions)

    return read(dicom.radiograph(path / "us.dcm", change))


def test_one_tissue_region_gives_the_spacing(dicom, tmp_path):
    volume = ultrasound(dicom, tmp_path, region())
    assert volume.geometry.spacing == (None, pytest.approx(0.2), pytest.approx(0.1))
    assert volume.meta["spacing_at"] == "patient"
    assert volume.meta["regions"] == (
        {
            "kind": "2-D",
            "data": "tissue",
            "box": (0, 0, 7, 5),
            "units": ("cm", "cm"),
            "delta": (0.01, 0.02),
        },
    )


def test_flow_over_tissue_and_an_ecg_do_not_matter(dicom, tmp_path):
    trace = region((0, 5, 7, 5), kind=4, data=10, units=(4, 0), delta=(0.01, 0))
    volume = ultrasound(dicom, tmp_path, region(), region((2, 2, 4, 4), data=2), trace)
    assert volume.geometry.spacing[1] == pytest.approx(0.2)
    assert len(volume.meta["regions"]) == 3


@pytest.mark.parametrize(
    ("regions", "problem"),
    [
        ([region(kind=3, data=3)], "no 2-D region"),
        ([region(), region((0, 3, 7, 5), kind=2)], "another region has other axes"),
        ([region((0, 0, 3, 5)), region((4, 0, 7, 5), delta=(0.02, 0.02))], "different scale"),
        ([region(units=(0, 0))], "not calibrated in cm"),
        ([region(delta=(0.0, 0.0))], "not calibrated in cm"),
        ([region((0, 0, 15, 11))], "a region leaves the image"),
        ([region((0, 0, 3, 2))], "less than half"),
    ],
)
def test_else_the_spacing_is_unknown_and_said_why(dicom, tmp_path, regions, problem):
    volume = ultrasound(dicom, tmp_path, *regions)
    assert volume.geometry.spacing == (None, None, None)
    assert problem in volume.meta["spacing_problem"]
    assert len(volume.meta["regions"]) == len(regions)


def test_real_ultrasound_that_was_shrunk_after_calibration():
    volume = read(get_testdata_file("examples_ybr_color.dcm", download=False))
    assert volume.geometry.spacing == (None, None, None)
    assert volume.meta["spacing_problem"] == "a region leaves the image"


@pytest.mark.shared_data
def test_real_ultrasound_and_radiograph(shared_data):
    zoo = shared_data("dicom_zoo")
    scan = find_series(zoo / "cornerstone_ts" / "US-YBR_FULL_422-EVRLE.dcm").series[0]
    assert scan.spacing[1:] == (pytest.approx(0.0616), pytest.approx(0.0616))
    plate = find_series(zoo / "highdicom_test" / "dx_image.dcm").series[0]
    assert plate.facts["spacing_at"] == "detector"
