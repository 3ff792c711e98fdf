"""The limits that a person sets hold for headers, codecs and every format, and archives."""

from __future__ import annotations

import gzip
import sys
import time

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

import malformed
import misbehaving
from diaphane.acquire import (
    Limits,
    ReadOptions,
    describe,
    find_series,
    open_dataset,
    open_inputs,
    read,
)
from diaphane.acquire.drawn import read_mask
from diaphane.acquire.isolation import Budget, Load, isolated
from diaphane.acquire.network.sending import outgoing
from diaphane.core.errors import DatasetError, InputError, OverLimit

GIB = 2**30


def within(**limits):
    return ReadOptions(limits=Limits(**limits))


@pytest.fixture
def place(tmp_path):
    """A folder, and a way to put a file there."""

    def put(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(malformed.dumped(data) if hasattr(data, "file_meta") else data)
        return path

    return put


def refused(path, options):
    """Refused by every way to read it, and read without these limits."""
    for action in (
        lambda: read(path, options=options),
        lambda: describe(path, options=options),
        lambda: next(iter(open_inputs([path], sequences=False, options=options))).load(),
    ):
        with pytest.raises(OverLimit):
            action()
    assert read(path).voxels.size


def test_depth(place):
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    ends = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    deep = (b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff" + item) * 9 + ends * 9
    data = malformed.dumped(malformed.ct())
    at = data.index(b"\x10\x00\x10\x00PN")
    refused(place("deep.dcm", data[:at] + deep + data[at:]), within(depth=8))
    bare = data[data.index(b"\x08\x00\x05\x00") : at] + deep + data[at:]
    refused(place("bare.dcm", bare), within(depth=8))  # pydicom reads it


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_length_of_an_element(place, syntax):
    data = malformed.ct()
    data.add_new(0x00091010, "OB", bytes(2**21))
    path = place("long.dcm", malformed.in_syntax(data, syntax))
    refused(path, within(element_bytes=2**20))


def test_pixels(place, tmp_path):
    few = within(pixels=100)
    for name, data in malformed.dicom_files().items():
        if name in ("ct", "rle", "jpeg", "enhanced", "deflated"):
            path = place(f"{name}.dcm", data)
            with pytest.raises(OverLimit):
                read(path, options=few)
    for suffix in (".mha", ".nrrd"):
        refused(place(f"a{suffix}", malformed.itk_bytes(tmp_path, suffix)), few)
    image = nibabel.Nifti1Image(malformed.voxels(), malformed.AFFINE)
    refused(place("a.nii.gz", gzip.compress(image.to_bytes())), few)
    refused(place("a.png", malformed.picture_files()["grey.png"]), few)
    refused(place("a.tif", malformed.picture_files()["lzw.tif"]), few)


def test_proportion(place):
    data = malformed.ct()
    data.Rows = data.Columns = 12_000
    data.PixelData = np.zeros((12_000, 12_000), np.uint16).tobytes()
    path = place("blank.dcm", malformed.in_syntax(data, uid.RLELossless))
    with pytest.raises(OverLimit, match="grow"):
        read(path, options=within(archive_ratio=10.0))


@pytest.mark.parametrize("name", ["large.dcm", "large.tif", "large.nrrd"])
def test_memory_and_seconds_of_the_worker(place, tmp_path, name):
    pixels = np.zeros((1, 8000, 5000), np.uint16)
    if name == "large.dcm":
        data = malformed.ct()
        data.Rows, data.Columns = 8000, 5000
        data.PixelData = pixels.tobytes()
        path = place(name, malformed.in_syntax(data, uid.RLELossless))
    elif name == "large.tif":
        path = tmp_path / name
        Image.fromarray(pixels[0]).save(path, compression="tiff_lzw")
    else:
        path = tmp_path / name
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path), useCompression=True)
    if sys.platform == "linux":
        with pytest.raises(InputError):  # some codecs say that the image is damaged
            read(path, options=within(memory_bytes=2**20))
    with pytest.raises(OverLimit, match="too long"):
        read(path, options=within(seconds=0.0))


def test_seconds_of_the_header(place):
    block = b"".join(b"\x09\x00\x10\x00LO\x00\x00" for _ in range(1000))
    whole = malformed.dumped(malformed.ct())
    at = whole.index(b"\x10\x00\x10\x00PN")
    path = place("many.dcm", whole[:at] + block + whole[at:])
    with pytest.raises(OverLimit, match="too long to read"):
        read(path, options=within(seconds=0.0))
    items = (
        b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 1000
    )
    end = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    refused(place("items.dcm", whole[:at] + items + end + whole[at:]), within(seconds=0.0))
    with pytest.raises(OverLimit, match="too long to read"):
        outgoing(path, Limits(seconds=0.0))


def test_masks_and_data_sets(place, tmp_path):
    source = malformed.ct()
    place("case/image/a.dcm", source)
    seg = malformed.segmentation(source)
    seg.add_new(0x00091010, "OB", bytes(2**21))
    place("case/seg.dcm", seg)
    place("case/labels.csv", b"file,mask\nimage,seg.dcm\n")
    strict = within(element_bytes=2**20)
    series = find_series(tmp_path / "case" / "image").series[0]
    with pytest.raises(OverLimit):
        read_mask(tmp_path / "case" / "seg.dcm", series, limits=strict.limits)
    with pytest.raises(OverLimit):
        open_dataset(tmp_path / "case", options=strict).entries[0].load()
    for kind in ("x", "y"):
        place(f"classes/{kind}/a.png", malformed.picture_files()["grey.png"])
    opened = open_dataset(tmp_path / "classes", options=within(pixels=10))
    with pytest.raises(OverLimit):
        opened.entries[0].load()


def test_an_npz(place, tmp_path):
    path = place("a.npz", malformed.seeds(tmp_path / "seeds")["a.npz"])
    with pytest.raises(DatasetError, match="grows"):
        open_dataset(path, options=within(archive_bytes=100))
    assert open_dataset(path).entries


@pytest.mark.parametrize("array", [1, 2**20, 128 * 2**20, 2**34])
@pytest.mark.parametrize("decoded", [1, 2**27, 2**40])
def test_a_small_file_gets_little_whatever_it_declares(array, decoded):
    budget = Budget.of(Load(array, decoded, 100_000))
    assert budget.memory_bytes < 0.5 * GIB
    assert budget.cpu_seconds < 5
    assert budget.seconds < 11


def test_a_gigabyte_of_frames_gets_what_it_needs():
    budget = Budget.of(Load(2**19, 2**30, 330 * 2**20))
    assert budget.memory_bytes > 330 * 2**20 + 16 * 2**19  # the file, and a frame in a codec
    assert budget.cpu_seconds > 2**30 / 10e6  # the slowest of healthy codecs
    stated = Budget.of(Load(2**19, 2**30, 330 * 2**20), Limits(memory_bytes=7, seconds=5.0))
    assert stated == Budget(7, 5.0, 5.0)


def test_the_clock_stands_still_while_nobody_reads(tmp_path):
    room = Budget(512 * 2**20, 60.0, 0.8)
    found = []
    for _, array in isolated(misbehaving.large, tmp_path, room, count=3):
        time.sleep(0.5)
        found.append(array.size)
    assert found == [2**22] * 3


def test_many_frames_are_decoded_by_one_request(place):
    frame = malformed.ct(shape=(64, 64))
    one = malformed.in_syntax(frame, uid.JPEGLSLossless)
    encoded = one.PixelData
    data = malformed.enhanced(60)
    data.Rows = data.Columns = 64
    data.PixelData = encapsulate([get_frame(encoded, 0, number_of_frames=1)] * 60)
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
    voxels = read(place("many.dcm", data)).voxels
    assert voxels.shape == (60, 64, 64)
    stored = np.frombuffer(frame.PixelData, np.uint16).reshape(64, 64)
    assert np.array_equal(voxels[59], stored.astype(voxels.dtype) * 2 + 1)
