"""DICOM files made to do harm: refused by name, within bounds."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

import malformed
from diaphane.acquire import describe, find_series, read
from diaphane.core import errors

PIXELS = b"\xe0\x7f\x10\x00"
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HHI", 0xFFFE, e, n) for e, n in ((0xE000, 0xFFFFFFFF), (0xE00D, 0), (0xE0DD, 0)))  # fmt: skip
SEQUENCE = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff"


def with_element(element):
    """A CT file with raw bytes before (0008,1120)."""
    data = malformed.dumped(malformed.ct())
    at = data.index(b"\x10\x00\x10\x00PN")
    return data[:at] + element + data[at:]


@pytest.fixture(autouse=True)
def _little_memory():
    with malformed.within_a_gigabyte():
        yield


@pytest.mark.parametrize("depth", [100, 10_000])
def test_sequences_in_sequences(tmp_path, depth):
    path = tmp_path / "deep.dcm"
    path.write_bytes(with_element((SEQUENCE + ITEM) * depth + (ITEM_END + SEQUENCE_END) * depth))
    with pytest.raises(errors.OverLimit, match="nested"):
        read(path)


def test_sequences_in_sequences_of_an_unusual_file(tmp_path):
    deep = with_element((SEQUENCE + ITEM) * 10_000 + (ITEM_END + SEQUENCE_END) * 10_000)
    path = tmp_path / "deep.dcm"
    path.write_bytes(deep[132:])  # without its beginning pydicom reads it
    with pytest.raises(errors.InputError):
        read(path)


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("vr", [b"UT", b"OB", b"UN", b"SQ"])
def test_declared_lengths_of_gigabytes(tmp_path, vr, length):
    path = tmp_path / "long.dcm"
    path.write_bytes(with_element(b"\x09\x00\x10\x00" + vr + b"\0\0" + struct.pack("<I", length)))
    with pytest.raises(errors.InputError):
        read(path)


def test_texts_longer_than_any(tmp_path):
    path = tmp_path / "text.dcm"
    name = b"\x08\x00\x3e\x10UT\0\0" + struct.pack("<I", 2**20) + b"a b " * 2**18
    path.write_bytes(with_element(name).replace(b"\x08\x00\x3e\x10LO", b"\x08\x00\x3d\x10LO"))
    with pytest.raises(errors.OverLimit, match="longer than"):
        describe(path)


def test_a_deflated_data_set_that_grows_a_thousandfold(tmp_path):
    plain = malformed.dumped(
        malformed.in_syntax(malformed.ct(), uid.DeflatedExplicitVRLittleEndian)
    )
    head = plain[: plain.index(b"1.2.840.10008.1.2.1.99") + 22]
    squeezer = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [squeezer.compress(b"\x09\x00\x10\x00OB\0\0" + struct.pack("<I", 2**30))]
    parts += [squeezer.compress(bytes(2**20)) for _ in range(80)]
    path = tmp_path / "bomb.dcm"
    path.write_bytes(head + b"\0" * (len(head) % 2) + b"".join(parts) + squeezer.flush())
    with pytest.raises(errors.OverLimit, match="grow"):
        read(path)


def test_many_frames_in_a_file_that_cannot_hold_them(tmp_path):
    data = malformed.in_jpeg(malformed.picture(uid.UltrasoundMultiFrameImageStorage))
    data.NumberOfFrames = 2**31 - 1
    path = tmp_path / "frames.dcm"
    path.write_bytes(malformed.dumped(data))
    with pytest.raises(errors.InputError):
        read(path)


@pytest.mark.parametrize("size", [8192, 65535])
def test_frames_that_inflate_a_thousandfold(tmp_path, size):
    data = malformed.ct()
    data.Rows = data.Columns = size
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    run = b"\x81\x00" * (size * size // 128 // 64)  # a 64th of what is declared
    data.PixelData = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + run])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = uid.RLELossless
    path = tmp_path / "rle.dcm"
    path.write_bytes(malformed.dumped(data))
    with pytest.raises(errors.InputError):
        read(path)


def test_files_that_are_small_alone_and_huge_together(tmp_path):
    data = malformed.ct()
    data.Rows = data.Columns = 3000
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = bytes(3000 * 3000)
    data.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    for index in range(16):
        data.ImagePositionPatient[2] = data.InstanceNumber = index
        data.SOPInstanceUID = f"1.2.3.{index}"
        (tmp_path / f"{index}.dcm").write_bytes(malformed.dumped(data))
    assert len(find_series(tmp_path).series) == 1
    with pytest.raises(errors.OverLimit, match="grow"):
        read(tmp_path)


def test_a_codestream_that_declares_other_sizes(tmp_path):
    data = malformed.in_syntax(malformed.ct(shape=(40, 36)), uid.JPEG2000Lossless)
    data.PixelData = data.PixelData.replace(
        struct.pack(">II", 36, 40), struct.pack(">II", 65000, 65000)
    )
    path = tmp_path / "j2k.dcm"
    path.write_bytes(malformed.dumped(data))
    with pytest.raises(errors.UnreadableFile, match="65000"):
        read(path)


def test_bad_huffman_tables(tmp_path):
    data = malformed.dumped(malformed.in_jpeg(malformed.picture()))
    at = data.index(b"\xff\xc4")
    for number in range(40):
        broken = bytearray(data)
        broken[at + 5 + number % 16] = 255 - number
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(bytes(broken))
        with contextlib.suppress(errors.InputError):
            assert read(path).shape == (1, 12, 10)
