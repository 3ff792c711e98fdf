"""SUV of PET: worked by hand, by vendor, or not at all and told why."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from diaphane.acquire import ReadOptions, find_series, read
from diaphane.acquire.suv import uptake_of

HALF_LIFE = 6586.2  # F-18, in s
SUBSTANCE = "RadiopharmaceuticalInformationSequence"
DOSE, WEIGHT = 370e6, 75.0


def pet(change=None):
    """Changes a CT slice to a GE-like PET slice, injected an hour before the scan."""

    def apply(data, index):
        data.SOPClassUID, data.Modality = pydicom.uid.PositronEmissionTomographyImageStorage, "PT"
        data.RescaleSlope, data.RescaleIntercept = 2.0 + index, 0
        data.Units, data.DecayCorrection = "BQML", "START"
        data.CorrectedImage = ["DECY", "ATTN", "SCAT"]
        data.SeriesDate = data.AcquisitionDate = "20260101"
        data.SeriesTime, data.AcquisitionTime = "110000", f"1100{5 + index:02d}.5"
        data.PatientWeight, data.PatientSize, data.PatientSex = WEIGHT, 1.8, "M"
        item = Dataset()
        item.RadionuclideTotalDose, item.RadionuclideHalfLife = DOSE, HALF_LIFE
        item.RadiopharmaceuticalStartTime = "100000.0"
        data.RadiopharmaceuticalInformationSequence = [item]
        if change is not None:
            change(data, item)

    return apply


def factor(dicom, path, change=None, kind="bw"):
    series = find_series(dicom.series(path, count=2, change=pet(change))).series[0]
    return uptake_of(series.planes, kind)


AFTER_AN_HOUR = 1000 * WEIGHT / (DOSE * 2 ** (-3600 / HALF_LIFE))


def test_values_are_bq_unless_suv_is_asked_for(dicom, tmp_path):
    folder = dicom.series(tmp_path, count=2, change=pet())
    plain = read(folder)
    assert plain.unit == "Bq/ml"
    assert plain.meta["suv_factor"] == pytest.approx(AFTER_AN_HOUR)
    for choice in (True, "bw"):
        suv = read(folder, options=ReadOptions(suv=choice))
        assert suv.unit == "SUVbw"
        for index in range(2):  # each slice has its own slope
            expected = dicom.stored(index) * (2.0 + index) * AFTER_AN_HOUR
            np.testing.assert_allclose(suv.voxels[index], expected, rtol=1e-5)


def scan_at(**times):
    def change(data, item):
        for name, value in times.items():
            setattr(item if "Radio" in name else data, name, value)

    return change


def test_times(dicom, tmp_path):
    def seconds(index, **times):
        found = factor(dicom, tmp_path / str(index), scan_at(**times)).factor
        return HALF_LIFE * np.log2(found / (1000 * WEIGHT / DOSE))

    assert seconds(0) == pytest.approx(3600)
    # A series time after the acquisition is that of the processing.
    assert seconds(1, SeriesTime="153000") == pytest.approx(3600 + 5.5)
    assert seconds(2, DecayCorrection="ADMIN") == pytest.approx(0, abs=1e-6)
    past_midnight = {"SeriesTime": "003000", "AcquisitionTime": "003010"}
    assert seconds(3, RadiopharmaceuticalStartTime="233000", **past_midnight) == pytest.approx(3600)
    assert seconds(4, RadiopharmaceuticalStartDateTime="20260101093000") == pytest.approx(5400)


def test_private_scan_time_of_ge(dicom, tmp_path):
    def change(data, item):
        data.SeriesTime = "153000"
        block = data.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", "20260101103000.00")

    found = factor(dicom, tmp_path, change).factor
    assert HALF_LIFE * np.log2(found / (1000 * WEIGHT / DOSE)) == pytest.approx(1800)


def philips(offset, value):
    def change(data, item):
        data.Units = "CNTS"
        data.private_block(0x7053, "Philips PET Private Group", create=True).add_new(
            offset, "DS", str(value)
        )

    return change


def test_counts_of_philips(dicom, tmp_path):
    assert factor(dicom, tmp_path / "a", philips(0x00, 0.000412)).factor == pytest.approx(0.000412)
    found = factor(dicom, tmp_path / "b", philips(0x09, 1.7)).factor
    assert found == pytest.approx(1.7 * AFTER_AN_HOUR)
    unit = read(dicom.series(tmp_path / "c", change=pet(philips(0x09, 1.7)))).unit
    assert unit == "1"


def test_values_that_are_suv_already(dicom, tmp_path):
    def change(data, item):
        data.Units = "GML"

    folder = dicom.series(tmp_path, count=1, change=pet(change))
    assert read(folder).unit == "SUVbw"
    np.testing.assert_array_equal(
        read(folder, options=ReadOptions(suv=True)).voxels, read(folder).voxels
    )


def test_lean_mass_and_surface(dicom, tmp_path):
    lean = 1.10 * WEIGHT - 120 * (WEIGHT / 180) ** 2
    found = factor(dicom, tmp_path / "a", kind="lbm")
    assert found.unit == "SUVlbm"
    assert found.factor / AFTER_AN_HOUR == pytest.approx(lean / WEIGHT)
    surface = 0.007184 * WEIGHT**0.425 * 180**0.725  # m2
    found = factor(dicom, tmp_path / "b", kind="bsa")
    assert found.factor / AFTER_AN_HOUR == pytest.approx(1e4 * surface / (1000 * WEIGHT))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (scan_at(PatientWeight=None), "weight"),
        (scan_at(RadionuclideTotalDose=None), "dose"),
        (scan_at(RadionuclideTotalDose=370), "dose"),  # MBq
        (scan_at(RadionuclideHalfLife=None), "half life"),
        (scan_at(DecayCorrection="NONE"), "decay correction"),
        (scan_at(CorrectedImage=["DECY"]), "attenuation"),
        (scan_at(Units="CNTS"), "factor"),
        (scan_at(Units="PROPCPS"), "unit"),
        (scan_at(RadiopharmaceuticalStartDateTime="20260102090000"), "contradict"),
        (scan_at(RadiopharmaceuticalStartTime=None), "injection"),
        (lambda data, _: delattr(data, SUBSTANCE), "one radiopharmaceutical"),
    ],
)
def test_what_is_missing_is_told_and_values_stay(dicom, tmp_path, change, problem):
    folder = dicom.series(tmp_path, count=2, change=pet(change))
    volume = read(folder, options=ReadOptions(suv=True))
    assert not volume.unit.startswith("SUV")
    assert problem in volume.meta["suv_problem"]
    np.testing.assert_array_equal(volume.voxels, read(folder).voxels)


def test_other_images_have_no_uptake(dicom, tmp_path):
    folder = dicom.series(tmp_path, count=2)
    volume = read(folder, options=ReadOptions(suv=True))
    assert volume.unit == "HU"
    assert not {"suv_factor", "suv_problem"} & set(volume.meta)
