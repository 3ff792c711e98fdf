"""DICOM files on disk: which there are, and one read whole."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diaphane.core.errors import EmptyInput, UsageError

DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR."""
_SUFFIXES = (".dcm", ".ima")


@contextmanager
def leniently() -> Iterator[None]:
    """Read what other programs wrote, however oddly, in silence: a warning would show values."""
    from pydicom import config

    settings = config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
        try:
            yield
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = before


def keep_apart(source: Path, out: Path) -> None:
    """Raise :class:`UsageError` when one of two places is, or lies in, the other."""
    if inside(out, source) or inside(source, out):
        raise UsageError(
            "Input and output must be apart.",
            path=out,
            remedy="Give a folder that is neither in the input nor around it.",
        )


def inside(path: Path, folder: Path) -> bool:
    """Whether a place is a folder or lies in it."""
    place, room = path.resolve(), folder.resolve()
    return place == room or room in place.parents


def read_object(path: Path, *, pixels: bool = True) -> Any:
    """A DICOM object with a transfer syntax, also from a file without file meta."""
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    data = dcmread(path, force=True, stop_before_pixels=not pixels)
    if getattr(data, "file_meta", None) is None:
        data.file_meta = FileMetaDataset()
    if not data.file_meta.get("TransferSyntaxUID"):
        implicit = data.original_encoding[0]
        data.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )
    return data


def dicom_files(source: Path) -> tuple[list[Path], int]:
    """DICOM files in and below a folder, in order, and how many other files there are.

    Raises
    ------
    EmptyInput
        There is no such place, or no DICOM file in it.
    UsageError
        It is an archive.
    """
    if not source.exists():
        raise EmptyInput("There is no such file or folder.", path=source)
    if source.is_file():
        if not _is_dicom(source) and zipfile.is_zipfile(source):
            raise UsageError(
                "An archive is not read here.", path=source, remedy="Unpack it and give the folder."
            )
        return [source], 0
    found, others = [], 0
    for folder, folders, names in os.walk(source):
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and _is_dicom(path):
                found.append(path)
            else:
                others += 1
    if not found:
        raise EmptyInput("There is no DICOM file here.", path=source)
    return found, others


def _is_dicom(path: Path) -> bool:
    """Begins as DICOM does, or is named so."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return path.suffix.lower() in _SUFFIXES
    bare = len(start) > 16 and start[:4] in (b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0")
    return start[128:] == b"DICM" or bare or path.suffix.lower() in _SUFFIXES
