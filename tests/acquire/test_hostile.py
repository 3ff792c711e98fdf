"""Damaged files of every format: read or refused by name, in bounded time and memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest
from PIL import Image

import malformed
from diaphane.acquire import describe, open_dataset, open_inputs, read
from diaphane.core import errors

GOLDEN = sorted(p for p in (Path(__file__).parents[1] / "golden" / "hostile").iterdir() if p.suffix != ".md")  # fmt: skip
FILES = 500
SECONDS = 50  # of processor time for all of them; a slow machine does fewer, never less than 100


def workers_memory():
    """Bytes of the processes that decode."""
    workers = [p for p in psutil.Process().children() if "diaphane.acquire.worker" in p.cmdline()]
    return sum(p.memory_info().rss for p in workers)


def outcome(path):
    """What reading comes to; anything but a refusal by name escapes."""
    found = []
    for action in (describe, read):
        try:
            action(path)
        except errors.DiaphaneError as error:
            told, code = str(error), error.code
        else:
            told, code = "", "read"
        assert told.replace("\n", "").isprintable()
        assert "Planted" not in told
        found.append(code)
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return malformed.Corpus(tmp_path_factory.mktemp("corpus"))


def test_five_hundred_damaged_files(corpus, tmp_path):
    began, found = time.process_time(), set()
    folder = tmp_path / "in"
    folder.mkdir()
    with malformed.within_a_gigabyte():
        for number in range(FILES):
            path = corpus.write(number, folder)
            found.update(outcome(path))
            corpus.remove(path)
            if number >= 100 and time.process_time() - began > SECONDS:
                break
    assert {"read", "UnreadableFile", "NoPixelData", "GeometryError"} <= found
    assert list(folder.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert workers_memory() < 2**30


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_files_that_a_fuzzer_found(path):
    assert outcome(path)


def test_the_command_refuses_without_a_traceback(corpus, tmp_path):
    for number in (1, 2, 5, 7):
        corpus.write(number, tmp_path)
    (tmp_path / "\x1b[31m=1+1.dcm").write_bytes(b"DICM")
    done = subprocess.run(
        [sys.executable, "-m", "diaphane", "info", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_data_sets_with_damaged_tables(tmp_path):
    import random

    for number in range(60):
        chance = random.Random(number)
        for table in malformed.tables(tmp_path / str(number)):
            table.write_bytes(malformed.damaged(table.read_bytes(), chance))
            for opener in (open_dataset, lambda place: open_inputs([place], sequences=False)):
                with contextlib.suppress(errors.DiaphaneError):
                    for entry in opener(table.parent):
                        assert entry.load().volumes


def test_a_gz_that_grows_a_thousandfold(tmp_path):
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
    header.set_data_shape((1024, 1024, 1024))
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with (tmp_path / "a.nii.gz").open("wb") as file:
        file.write(packer.compress(header.binaryblock + bytes(4)))
        file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
        file.write(bytes(1_100_000))  # DEFLATE could hold as much in a file of this size
    with pytest.raises(errors.OverLimit, match="grow"):
        read(tmp_path / "a.nii.gz")


def test_a_scaled_nifti_takes_no_doubles_of_all(tmp_path):
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.25, -3)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
    expected = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj, np.float32)
    np.testing.assert_array_equal(read(tmp_path / "a.nii.gz").voxels, expected.transpose(2, 1, 0))


def png_of(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes((width + 1) * height), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_that_grows_a_thousandfold(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of(12_000, 12_000))
    with pytest.raises(errors.OverLimit, match="grow"):
        read(tmp_path / "a.png")


def test_a_picture_that_declares_more_than_is_read(tmp_path):
    data = bytearray(malformed.picture_files()["a.bmp"])
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    (tmp_path / "a.bmp").write_bytes(bytes(data))
    with pytest.raises(errors.InputError):
        read(tmp_path / "a.bmp")


def test_a_picture_by_name_that_would_run_a_program(tmp_path):
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "EPS")
    (tmp_path / "a.png").write_bytes(out.getvalue())
    with pytest.raises(errors.UnreadableFile, match="not a picture"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "line",
    [
        "ElementDataFile = ../secret.raw", "ElementDataFile: ../secret.raw",
        "\tElementDataFile\t=\t/etc/passwd", "elementdatafile = LIST\n../secret.raw",
        "ElementDataFile = ..\\secret.raw",
    ],
)  # fmt: skip
def test_headers_that_name_data_elsewhere(tmp_path, line):
    (tmp_path / "secret.raw").write_bytes(bytes(60))
    (tmp_path / "in").mkdir()
    head = "ObjectType = Image\nNDims = 3\nDimSize = 3 4 5\nElementType = MET_UCHAR\n"
    (tmp_path / "in" / "a.mhd").write_text(f"{head}{line}\n")
    with pytest.raises(errors.UnreadableFile, match="another folder"):
        read(tmp_path / "in" / "a.mhd")


def test_a_header_so_long_that_its_data_file_is_not_seen(tmp_path):
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 3 4 5\nencoding: raw\n"
    (tmp_path / "a.nhdr").write_text(head + "# x\n" * 20_000 + "data file: ../secret.raw\n")
    with pytest.raises(errors.OverLimit, match="header"):
        read(tmp_path / "a.nhdr")
