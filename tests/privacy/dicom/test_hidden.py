"""What hides beside the picture in pixel data."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import MPEG4HP41

from diaphane.core.errors import PrivacyError
from diaphane.privacy.dicom.checking import check_folder
from diaphane.privacy.dicom.comments import without_comments
from diaphane.privacy.dicom.folder import Order, deidentify_folder
from diaphane.privacy.dicom.hidden import clear_hidden
from diaphane.privacy.dicom.words import NOBODY, identifiers_of

NAME = b"Nightingale^Florence"


def through(data, tmp_path):
    (tmp_path / "in").mkdir()
    data.save_as(tmp_path / "in" / "a.dcm")
    assert NAME in data.PixelData
    assert ("(7FE0,0010)", "text") in {
        (x.where, x.what) for x in check_folder(tmp_path / "in").left
    }
    outcome = deidentify_folder(Order(tmp_path / "in", tmp_path / "out"))
    assert outcome.refused == []
    assert check_folder(tmp_path / "out", tmp_path / "in").left == []
    written = next((tmp_path / "out").rglob("*.dcm"))
    assert b"Nightingale" not in written.read_bytes()
    return dcmread(written)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "liver_1frame.dcm"])
def test_bytes_after_the_last_frame_are_cut_off(tmp_path, name):
    data = dcmread(get_testdata_file(name))
    before = data.pixel_array.copy()
    data.PixelData += NAME
    np.testing.assert_array_equal(through(data, tmp_path).pixel_array, before)


def test_an_overlay_in_unused_bits_goes_and_the_picture_stays(tmp_path):
    data = dcmread(get_testdata_file("CT_small.dcm"))
    words = np.frombuffer(data.PixelData, "<u2") & 0xFFF
    data.PixelData = (words | np.arange(len(words), dtype="<u2") % 2 << 12).tobytes()
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    for element, value in ((0x10, 128), (0x11, 128), (0x100, 16), (0x102, 12)):
        data.add_new(0x60000000 | element, "US", value)
    assert clear_hidden(data, NOBODY)
    np.testing.assert_array_equal(np.frombuffer(data.PixelData, "<u2"), words)
    compressed = dcmread(get_testdata_file("JPEG2000.dcm"))
    compressed.add_new(0x60000102, "US", 15)
    compressed.BitsStored, compressed.HighBit = 12, 11
    with pytest.raises(PrivacyError, match="overlay"):
        clear_hidden(compressed, NOBODY)


def segment(marker: bytes, text: bytes = NAME) -> bytes:
    return marker + struct.pack(">H", len(text) + 2) + text


def jpeg(name: str = "SC_rgb_jpeg_dcmtk.dcm"):
    data = dcmread(get_testdata_file(name))
    return data, next(generate_frames(data.PixelData, number_of_frames=1)).rstrip(b"\0")


@pytest.mark.parametrize(
    "hide",
    [
        lambda f: f[:2] + b"\xff\xff" + segment(b"\xff\xfe") + f[2:],
        lambda f: f[:-2] + segment(b"\xff\xfe") + f[-2:],
        lambda f: f + NAME,
        lambda f: f[:2] + segment(b"\xff\xe0", b"JFIF\0\1\2\0\0\1\0\1\0\0" + NAME) + f[2:],
        lambda f: f[:2] + segment(b"\xff\xe5", b"JFIF\0" + NAME) + f[2:],
    ],
    ids=["fill bytes", "after the scan", "after the end", "thumbnail", "false name"],
)
def test_comments_of_jpeg_are_found_wherever_they_stand(tmp_path, hide):
    data, frame = jpeg()
    before = data.pixel_array.copy()
    frame = hide(frame)
    data.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    np.testing.assert_array_equal(through(data, tmp_path).pixel_array, before)


def test_a_comment_over_two_fragments_and_a_false_table_of_offsets(tmp_path):
    data, frame = jpeg()
    before = data.pixel_array.copy()
    frame = frame[:2] + segment(b"\xff\xfe", NAME * 3) + frame[2:]
    frame += b"\0" * (len(frame) % 2)
    pieces = [NAME, frame[:16], frame[16:50], frame[50:]]
    data.PixelData = b"".join(b"\xfe\xff\0\xe0" + struct.pack("<I", len(p)) + p for p in pieces)
    np.testing.assert_array_equal(through(data, tmp_path).pixel_array, before)


def test_comments_of_tiles_and_boxes_of_jpeg_2000(tmp_path):
    data, frame = jpeg("JPEG2000.dcm")
    before = data.pixel_array.copy()
    tile = frame.index(b"\xff\x90")
    (part,) = struct.unpack_from(">I", frame, tile + 6)
    said = segment(b"\xff\x64", b"\0\1" + NAME)
    start = tile + 12
    frame = b"".join(
        [frame[: tile + 6], struct.pack(">I", part and part + len(said)), frame[tile + 10 : start],
         said, frame[start:], NAME]
    )  # fmt: skip
    data.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    np.testing.assert_array_equal(through(data, tmp_path).pixel_array, before)
    box = struct.pack(">I", len(NAME) + 8) + b"xml " + NAME
    boxed = b"\0\0\0\x0cjP  \r\n\x87\n" + box + struct.pack(">I", len(frame) + 8) + b"jp2c" + frame
    cleared = without_comments(encapsulate([boxed + b"\0" * (len(boxed) % 2)]))
    assert b"Nightingale" not in cleared
    assert frame[start + len(said) : -len(NAME)] in cleared


def test_what_says_a_name_in_a_film_is_refused():
    data, _ = jpeg()
    data.file_meta.TransferSyntaxUID = MPEG4HP41
    data.PixelData = encapsulate([b"\0\0\1\xb2 encoded for Nightingale "])
    who = identifiers_of(["Nightingale^F"], [], [])
    with pytest.raises(PrivacyError, match="as text"):
        clear_hidden(data, who)
