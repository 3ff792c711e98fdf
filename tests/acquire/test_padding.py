"""Padded pixels take the smallest real value; a background of zero stays."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from diaphane.acquire import read


def padded(value, count=3, limit=None):
    """Signed CT slices whose first ``count`` pixels hold ``value``; the others 100, 101, ..."""

    def change(data, index):
        data.PixelRepresentation, data.BitsStored, data.HighBit = 1, 16, 15
        data.PixelPaddingValue = value
        if limit is not None:
            data.PixelPaddingRangeLimit = limit
        stored = np.arange(48, dtype=np.int16) + 100
        stored[:count] = value
        data.PixelData = stored.tobytes()

    return change


def test_padding_takes_the_smallest_real_value_of_the_volume(dicom, tmp_path):
    volume = read(dicom.series(tmp_path, count=2, change=padded(-2000)))
    assert volume.voxels.min() == 103 - 1024
    assert (volume.voxels.reshape(2, -1)[:, :4] == 103 - 1024).all()
    np.testing.assert_array_equal(volume.voxels[0].ravel()[4:], np.arange(104, 148) - 1024)
    assert volume.meta["padding"] == (-2000, -2000)


def test_a_range_of_padding(dicom, tmp_path):
    def change(data, index):
        padded(-2000, limit=-1990)(data, index)
        stored = np.frombuffer(data.PixelData, np.int16).copy()
        stored[:3] = -2000, -1995, -1990
        data.PixelData = stored.tobytes()

    volume = read(dicom.series(tmp_path, count=1, change=change))
    assert volume.voxels.min() == 103 - 1024
    assert volume.meta["padding"] == (-2000, -1990)


def test_padding_above_all_values_becomes_dark(dicom, tmp_path):
    volume = read(dicom.series(tmp_path, count=1, change=padded(3000)))
    assert volume.voxels.max() == 147 - 1024
    assert volume.voxels.ravel()[0] == 103 - 1024


@pytest.mark.parametrize(("stored", "kept"), [(0, True), (-5, False)])
def test_a_background_of_zero_stays(dicom, tmp_path, stored, kept):
    def change(data, index):
        padded(stored)(data, index)
        data.RescaleIntercept = 0

    voxels = read(dicom.series(tmp_path, count=1, change=change)).voxels
    assert voxels.ravel()[0] == (0 if kept else 103)


def test_a_volume_of_nothing_but_padding_is_kept(dicom, tmp_path):
    volume = read(dicom.series(tmp_path, count=2, change=padded(-2000, count=48)))
    assert (volume.voxels == -3024).all()


def test_a_slice_of_nothing_but_padding_takes_the_value_of_the_others(dicom, tmp_path):
    def change(data, index):
        padded(-2000, count=48 if index == 1 else 3)(data, index)

    volume = read(dicom.series(tmp_path, count=3, change=change))
    assert (volume.voxels[1] == 103 - 1024).all()


def test_padding_of_a_radiograph_that_is_turned(dicom, tmp_path):
    def change(data, _):
        data.PhotometricInterpretation = "MONOCHROME1"
        data.PixelPaddingValue = 0
        stored = np.arange(48, dtype=np.uint16) + 500
        stored[:3] = 0  # white when shown
        data.PixelData = stored.tobytes()

    voxels = read(dicom.radiograph(tmp_path / "cr.dcm", change)).voxels.ravel()
    assert voxels.max() == 1023 - 503
    assert voxels[0] == voxels.min() == 1023 - 547


def test_padding_in_big_endian(dicom, tmp_path):
    def change(data, index):
        padded(-2000)(data, index)
        data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"

    assert read(dicom.series(tmp_path, count=1, change=change)).voxels.min() == 103 - 1024


def test_real_scan_with_a_declared_value_that_does_not_occur():
    volume = read(get_testdata_file("CT_small.dcm", download=False))
    assert volume.meta["padding"] == (-2000, -2000)
    assert volume.voxels.min() == 128 - 1024
