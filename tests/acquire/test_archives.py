"""Zip archives and DICOMDIR as input: read as the folder that they stand for, or refused."""

from __future__ import annotations

import gc
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from zlib import crc32

import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet

from diaphane.acquire import Limits, ReadOptions, describe, find_series, open_inputs, read
from diaphane.core import errors


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """Where archives are unpacked to."""
    place = tmp_path / "rooms"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def packed(folder: Path, name: str = "study.zip") -> Path:
    path = folder.parent / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._a.dcm", b"shadow")
    return path


def test_an_archive_is_the_folder_that_it_holds(dicom, tmp_path, rooms):
    folder = dicom.series(tmp_path / "study" / "ct")
    path = packed(folder.parent)
    np.testing.assert_array_equal(read(path).voxels, read(folder).voxels)
    found = find_series(path)
    assert found.series[0].key == find_series(folder).series[0].key
    loaded = found.series[0].load()
    del found
    gc.collect()
    assert len(list(rooms.iterdir())) == 1  # the source still refers to it
    assert all(p.is_file() for p in loaded.value.source.open_for_dicom_writer())
    del loaded
    gc.collect()
    assert list(rooms.iterdir()) == []
    assert describe(path)["series"][0]["shape"] == [5, 6, 8]


def test_inputs_of_a_batch(dicom, tmp_path, rooms):
    path = packed(dicom.series(tmp_path / "study"))
    opened = open_inputs([str(path)], sequences=True)
    assert [entry.name for entry in opened.entries] == [str(path)]
    gc.collect()
    assert opened.entries[0].load().volume.shape == (5, 6, 8)
    del opened
    gc.collect()
    assert list(rooms.iterdir()) == []


def test_errors_name_the_file_in_the_archive(dicom, tmp_path, rooms):
    folder = dicom.series(tmp_path / "study")
    last = max(folder.glob("*.dcm"))
    last.write_bytes(last.read_bytes()[:-40])
    path = packed(folder)
    shown = [str(place) for place, _ in find_series(path).rejected]
    assert str(path / last.name) in shown
    with pytest.raises(errors.UnreadableFile) as caught:
        read(path)
    assert caught.value.path.startswith(str(path))
    assert str(rooms) not in str(caught.value)


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.external_attr = mode << 16
    return item


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../out.dcm", 0),
        ("a/../../out.dcm", 0),
        ("/etc/out.dcm", 0),
        ("C:\\out.dcm", 0),
        ("..\\out.dcm", 0),
        ("link.dcm", stat.S_IFLNK | 0o777),
        ("pipe.dcm", stat.S_IFIFO | 0o600),
    ],
)
def test_names_that_lead_out_of_the_archive(tmp_path, rooms, name, mode):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry(name, mode), b"/etc/passwd")
    with pytest.raises(errors.UnreadableFile):
        read(path)
    gc.collect()
    assert list(rooms.iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} == {"bad.zip", "rooms"}


def test_control_characters_in_names(dicom, tmp_path, rooms):
    content = dicom.save(dicom.image(), tmp_path / "a.dcm").read_bytes()
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry("a\x1b[2J\n.dcm"), content)
    [series] = find_series(path)
    assert series.files[0].name == "a_[2J_.dcm"


def test_one_name_twice(tmp_path, rooms):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.dcm", b"2")
    with pytest.raises(errors.UnreadableFile, match="twice"):
        read(path)


@pytest.mark.parametrize(
    "limits", [Limits(archive_files=4), Limits(archive_bytes=1000)], ids=["files", "bytes"]
)
def test_limits(dicom, tmp_path, rooms, limits):
    path = packed(dicom.series(tmp_path / "study"))
    with pytest.raises(errors.OverLimit):
        read(path, options=ReadOptions(limits=limits))
    gc.collect()
    assert list(rooms.iterdir()) == []


def test_bomb(tmp_path, rooms):
    path = tmp_path / "bomb.zip"
    packing = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", packing) as archive, archive.open("a.dcm", "w") as stream:
        for _ in range(260):
            stream.write(bytes(2**20))
    with pytest.raises(errors.OverLimit, match="would grow"):
        read(path)


def test_a_file_counts_with_what_is_stored(tmp_path, rooms):
    """A picture of 144 million points in 1 MB of nothing: 200 times as much, but not of its zip."""
    picture = tmp_path / "a.png"

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    picture.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0))
        + chunk(b"teXt", bytes(2**20))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(picture, "a.png")
    with pytest.raises(errors.UnreadableFile, match=r"damaged|cut short"):
        read(picture)
    with pytest.raises(errors.OverLimit, match="more than 200 times") as raised:
        read(path)
    assert raised.value.path == str(path / "a.png")
    assert "unpack the archive by hand" in raised.value.remedy


def test_size_that_lies(dicom, tmp_path, rooms):
    path = packed(dicom.series(tmp_path / "study", count=1))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    at = content.rindex(b"PK\x01\x02", 0, at)  # the entry of the image, before the shadow file's
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(errors.UnreadableFile, match="damaged"):
        read(path)


@pytest.mark.parametrize("keep", [30, 200, -30])
def test_truncated_archive(dicom, tmp_path, rooms, keep):
    path = packed(dicom.series(tmp_path / "study"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(errors.InputError):
        read(path)


def medium(dicom, tmp_path):
    """A folder with a DICOMDIR and four images, and its index."""
    files = FileSet()
    for index in range(4):
        data = dicom.image(index)
        data.StudyID, data.StudyTime = "1", "120000"
        files.add(data)
    files.write(tmp_path / "cd")
    return tmp_path / "cd" / "DICOMDIR"


def test_dicomdir_is_the_files_that_it_lists(dicom, tmp_path):
    index = medium(dicom, tmp_path)
    stray = dicom.image(9)
    dicom.save(stray, index.parent / "stray.dcm")
    assert read(index).shape == (4, 6, 8)
    with pytest.raises(errors.MissingSlice):
        read(index.parent)  # the folder holds the stray image as well


def test_missing_file_of_a_medium(dicom, tmp_path):
    index = medium(dicom, tmp_path)
    last = max(p for p in index.parent.rglob("*") if p.is_file() and p != index)
    last.unlink()
    found = find_series(index)
    assert not found.series  # never half a series
    assert "not there" in str(found.rejected[0][1])
    with pytest.raises(errors.UnreadableFile):
        read(index)


def test_names_in_small_letters(dicom, tmp_path):
    index = medium(dicom, tmp_path)
    for path in sorted(index.parent.rglob("*"), key=lambda p: -len(p.parts)):
        if path != index:
            path.rename(path.with_name(path.name.lower()))
    assert read(index).shape == (4, 6, 8)


@pytest.mark.parametrize("name", [["..", "secret"], ["/etc", "passwd"], ["A", "..", "..", "x"]])
def test_index_that_points_outside(dicom, tmp_path, name):
    index = medium(dicom, tmp_path)
    (tmp_path / "secret").write_bytes(b"x")
    data = pydicom.dcmread(index)
    for record in data.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = name
    data.save_as(index)
    with pytest.raises(errors.UnreadableFile, match="outside"):
        read(index)


def test_link_that_leads_outside(dicom, tmp_path):
    index = medium(dicom, tmp_path)
    first = min(p for p in index.parent.rglob("*") if p.is_file() and p != index)
    outside = tmp_path / "outside.dcm"
    first.rename(outside)
    first.symlink_to(outside)
    with pytest.raises(errors.UnreadableFile, match="outside"):
        read(index)


def test_index_of_nothing(dicom, tmp_path):
    index = medium(dicom, tmp_path)
    data = pydicom.dcmread(index)
    data.DirectoryRecordSequence = []
    data.save_as(index)
    with pytest.raises(errors.NoPixelData, match="lists no images"):
        read(index)
