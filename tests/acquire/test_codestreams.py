"""Sizes that compressed frames declare."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

from diaphane.acquire.codestreams import declared_size


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_jpeg_dcmtk.dcm",
        "JPEG2000.dcm",
        "JPGExtended.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_jp2klossless.dcm",
        "693_J2KI.dcm",
    ],
)
def test_real_frames(name):
    data = pydicom.dcmread(get_testdata_file(name, download=False))
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    assert declared_size(frame) == (data.Rows, data.Columns)


@pytest.mark.parametrize(
    "frame",
    [b"", b"words", b"\xff\xd8", b"\xff\xd8\xff\xff\xff\xd9" + bytes(9), b"\xff\x4f\xff\x51"],
)
def test_frames_that_tell_nothing(frame):
    assert declared_size(frame) is None
