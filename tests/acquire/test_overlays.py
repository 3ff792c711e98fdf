"""Overlays come as masks when asked for, and never change the image."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from diaphane.acquire import find_series
from diaphane.core import errors


def overlay(data, group=0x6000, *, shape=(6, 8), origin=(1, 1), frames=1, bits=None):
    data.add_new((group, 0x0010), "US", shape[0])
    data.add_new((group, 0x0011), "US", shape[1])
    data.add_new((group, 0x0015), "IS", frames)
    data.add_new((group, 0x0040), "CS", "G")
    data.add_new((group, 0x0050), "SS", list(origin))
    data.add_new((group, 0x0100), "US", 1)
    data.add_new((group, 0x0102), "US", 0)
    packed = np.packbits(np.asarray(bits, bool).ravel(), bitorder="little").tobytes()
    data.add_new((group, 0x3000), "OW", packed + b"\0" * (len(packed) % 2))


def test_real_overlay_agrees_with_pydicom():
    path = get_testdata_file("examples_overlay.dcm", download=False)
    series = find_series(path).series[0]
    masks = series.overlays()
    assert series.facts["overlays"] == ("6000",)
    np.testing.assert_array_equal(
        masks["6000"].voxels[0], pydicom.dcmread(path).overlay_array(0x6000)
    )
    assert masks["6000"].geometry == series.geometry


def test_place_on_the_image_and_several_groups(dicom, tmp_path):
    def change(data, index):
        overlay(data, shape=(2, 3), origin=(2, 7), bits=np.ones((2, 3)))  # one column too wide
        overlay(data, 0x6002, shape=(3, 3), origin=(0, 0), bits=np.eye(3))

    series = find_series(dicom.series(tmp_path, count=2, change=change)).series[0]
    masks = series.overlays()
    assert list(masks) == ["6000", "6002"]
    expected = np.zeros((6, 8), int)
    expected[1:3, 6:8] = 1
    np.testing.assert_array_equal(masks["6000"].voxels, [expected, expected])
    assert np.argwhere(masks["6002"].voxels[0]).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("syntax", [None, pydicom.uid.RLELossless])
def test_overlay_in_unused_bits(dicom, tmp_path, syntax):
    drawn = np.zeros((6, 8), bool)
    drawn[2:4, 3] = True

    def change(data, index):
        overlay(data, bits=drawn)
        del data[0x6000, 0x3000]
        data[0x6000, 0x0102].value = 14
        data.PixelData = (dicom.stored(index) | (drawn.astype(np.uint16) << 14)).tobytes()
        if syntax:
            data.compress(syntax, generate_instance_uid=False)

    series = find_series(dicom.series(tmp_path, count=2, change=change)).series[0]
    np.testing.assert_array_equal(series.overlays()["6000"].voxels, [drawn, drawn])
    np.testing.assert_array_equal(
        series.load().value.volume.voxels[1], dicom.stored(1).astype(int) - 1024
    )


def test_overlay_of_some_frames(dicom, tmp_path):
    drawn = np.zeros((2, 6, 8), bool)
    drawn[0, 1, 1] = drawn[1, 2, 2] = True

    def change(data, _):
        overlay(data, frames=2, bits=drawn)
        data.add_new((0x6000, 0x0051), "US", 2)

    series = find_series(dicom.enhanced(tmp_path / "mr.dcm", change=change)).series[0]
    found = series.overlays()["6000"].voxels
    assert np.argwhere(found).tolist() == [[1, 2, 2], [2, 1, 1]]  # stored from top to bottom


def test_damaged_overlay_is_refused(dicom, tmp_path):
    def change(data, _):
        overlay(data, bits=np.ones((6, 8)))
        data[0x6000, 0x3000].value = b"\1\1"

    series = find_series(dicom.series(tmp_path, count=1, change=change)).series[0]
    with pytest.raises(errors.UnreadableFile, match="overlay 6000"):
        series.overlays()


def test_series_without_overlays(dicom, tmp_path):
    series = find_series(dicom.series(tmp_path, count=1)).series[0]
    assert series.overlays() == {}
    assert "overlays" not in series.facts
