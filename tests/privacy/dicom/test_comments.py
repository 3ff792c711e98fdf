"""Comments in compressed pixel data."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from diaphane.privacy.dicom.comments import without_comments
from diaphane.privacy.dicom.folder import Order, deidentify_folder

NAME = b"Nightingale^Florence"


def with_comment(name: str):
    """A file with a comment in its codestream, and how its pixels were."""
    data = dcmread(get_testdata_file(name))
    before = data.pixel_array.copy()
    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    if frame[:2] == b"\xff\xd8":
        size = (len(NAME) + 2).to_bytes(2, "big")
        frame = b"".join([frame[:2], b"\xff\xfe", size, NAME, b"\xff\xe1", size, NAME, frame[2:]])
    else:
        at = frame.index(b"\xff\x4f\xff\x51")
        after = at + 4 + int.from_bytes(frame[at + 4 : at + 6], "big")
        size = (len(NAME) + 4).to_bytes(2, "big")
        frame = frame[:after] + b"\xff\x64" + size + b"\0\1" + NAME + frame[after:]
    data.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    return data, before


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm"],
)
def test_comments_are_blanked_and_pixels_stay(tmp_path, name):
    data, before = with_comment(name)
    (tmp_path / "in").mkdir()
    data.save_as(tmp_path / "in" / "a.dcm")
    assert NAME in data.PixelData
    deidentify_folder(Order(tmp_path / "in", tmp_path / "out"))
    written = dcmread(next((tmp_path / "out").rglob("*.dcm")))
    assert NAME not in written.PixelData
    assert b"Nightingale" not in written.PixelData
    np.testing.assert_array_equal(written.pixel_array, before)


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 12, 40, 100, 300])
def test_what_is_cut_short_ends_and_keeps_its_length(cut):
    data, _ = with_comment("SC_rgb_jpeg_dcmtk.dcm")
    assert len(without_comments(data.PixelData[:cut])) == cut
