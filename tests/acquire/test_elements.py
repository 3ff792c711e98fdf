"""The fast header walker says what pydicom says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.data import get_testdata_file

from diaphane.acquire import read
from diaphane.acquire.elements import PIXEL_DATA, looks_like_dicom, read_elements
from diaphane.acquire.headers import TAGS, read_header
from diaphane.core import errors

FILES = Path(pydicom.data.__file__).parent / "test_files"
NAMES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_rle.dcm",
    "image_dfl.dcm",
    "693_J2KI.dcm",
]


@pytest.mark.parametrize("name", NAMES)
def test_header_equals_pydicom(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not bring {name}")
    header = read_header(Path(path))
    data = pydicom.dcmread(path)
    assert header.sop_uid == str(data.SOPInstanceUID)
    assert (header.rows, header.columns) == (data.Rows, data.Columns)
    assert header.bits_stored == data.BitsStored
    assert header.signed == bool(data.PixelRepresentation)
    assert header.modality == data.Modality
    assert header.photometric == data.PhotometricInterpretation
    assert header.frames == int(data.get("NumberOfFrames", 1) or 1)
    assert header.spacing == tuple(float(v) for v in data.get("PixelSpacing", None) or ())
    assert header.slope == float(data.get("RescaleSlope", 1))
    assert header.elements.pixel_tag == PIXEL_DATA


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm"])
def test_pixels_begin_where_stated(name):
    path = Path(get_testdata_file(name, download=False))
    found = read_elements(path, TAGS.values())
    pixels = path.read_bytes()[found.pixel_offset : found.pixel_offset + found.pixel_length]
    assert pixels == pydicom.dcmread(path).PixelData


def test_every_file_of_pydicom_is_read_or_refused_by_name():
    count = 0
    for path in sorted(FILES.rglob("*")):
        if not path.is_file() or not looks_like_dicom(path):
            continue
        count += 1
        try:
            read_header(path)
        except errors.UnreadableFile:
            continue
    assert count > 100


def test_damaged_bytes_never_escape_as_other_errors():
    content = bytearray(Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes())
    import random
    import tempfile

    chance = random.Random(3)
    read = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(8):
                damaged[chance.randrange(132, 6000)] = chance.randrange(256)
            path.write_bytes(bytes(damaged))
            try:
                found = read_header(path)
            except errors.UnreadableFile:
                refused += 1
                continue
            assert isinstance(found.rows, int)
            read += 1
    assert read + refused == 60  # nothing else escaped
    assert read  # most of the damage does no harm


def test_explicit_elements_of_a_file_that_declares_implicit_ones(dicom, tmp_path):
    path = dicom.save(dicom.image(), tmp_path / "a.dcm")
    content = path.read_bytes()
    declared, other = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"
    assert content.count(declared) == 1
    path.write_bytes(content.replace(declared, other))
    np.testing.assert_array_equal(read(path).voxels[0], dicom.stored().astype(int) - 1024)
