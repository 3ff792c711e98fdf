"""MetaImage and NRRD files, through SimpleITK in a worker process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS, require_proportion, require_voxels, stored_bytes
from diaphane.acquire.isolation import Budget, Load, isolated
from diaphane.acquire.nifti import DEFLATE_LIMIT
from diaphane.core.errors import (
    GeometryError,
    InvalidVoxels,
    NotApplicable,
    OverLimit,
    UnreadableFile,
)
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits
from diaphane.core.volume import Volume

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")

PRELOADED = ("SimpleITK",)

_NRRD = (".nrrd", ".nhdr")
_DATA_FILE = re.compile(
    rb"(?:^|[\r\n])[ \t]*(?:ElementDataFile[ \t]*[=:]|data ?file[ \t]*:=?)[ \t]*([^\r\n]+)",
    re.IGNORECASE,
)
_HEADER_BYTES = 64 * 1024
_MASK = 384 * 2**20  # as MASK; ITK and the program hold it at once


def read_itk(path: Path, limits: Limits = LIMITS) -> Volume:
    """The volume of a MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr) file, in LPS.

    Spacing and place that the header leaves out are ``None``, not 1 mm at the origin.
    Floating point becomes float32.

    Raises
    ------
    UnreadableFile
        When the file is damaged or cut short.
    NotApplicable
        When it has more than three dimensions.
    GeometryError
        When its axes do not span space.
    InvalidVoxels
        When values are NaN, infinite or complex.
    OverLimit
        When it would grow out of proportion, or takes too long.
    """
    stated = _stated(path)
    files = _files(path)
    size, stored = _size(files), sum(map(stored_bytes, files))
    grown = min(_MASK, DEFLATE_LIMIT * size)
    budget = Budget.of(Load(grown, grown, size, grown), limits)
    ((facts, voxels),) = isolated(image_of, path, budget, stored=stored, limits=asdict(limits))
    geometry = Geometry.from_dict(facts["geometry"])
    if not stated["spacing"]:
        geometry = replace(geometry, spacing=(None, None, None))
    elif facts["dimensions"] == 2:
        geometry = replace(geometry, spacing=(None, *geometry.spacing[1:]))
    if not (stated["place"] and stated["spacing"]):
        geometry = replace(geometry, direction=None, origin=None)
    return Volume(voxels, geometry).require_finite(str(path))


def image_of(
    path: Path, stored: int, limits: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
    """Voxels, geometry and number of dimensions, as a task of a worker process."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in _NRRD else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) > 3:
            raise NotApplicable(
                f"The image has {len(size)} dimensions; one volume is read at a time.",
                path=path,
                remedy="Split it into volumes.",
            )
        _require_room(reader, path, stored, Limits(**limits))
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        image = reader.Execute()
    except RuntimeError as error:
        raise UnreadableFile(
            "This is not a whole MetaImage or NRRD file.",
            path=path,
            remedy="Copy or export it again; a header file needs its data file beside it.",
        ) from error
    if "complex" in image.GetPixelIDTypeAsString():
        raise InvalidVoxels("Voxels are complex, not real numbers.", path=path)
    if image.GetPixelID() == sitk.sitkFloat64:
        image = sitk.Cast(image, sitk.sitkFloat32)
    try:
        volume = Volume.from_sitk(image, copy=False)
    except GeometryError as error:
        raise GeometryError(error.problem, path=path) from error
    yield {"geometry": volume.geometry.to_dict(), "dimensions": len(size)}, volume.voxels


def _stated(path: Path) -> dict[str, bool]:
    """What the text header says, since ITK fills in what it does not."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_HEADER_BYTES)
    except OSError as error:
        raise UnreadableFile(f"Cannot be opened: {error.strerror or error}.", path=path) from error
    _require_beside(start, path)
    if start.startswith(b"NRRD"):
        names = _names(start.split(b"\n\n")[0].split(b"\r\n\r\n")[0], b":")
        return {
            "spacing": "space directions" in names or "spacings" in names,
            "place": "space" in names and "space directions" in names,
        }
    names = _names(start.split(b"ElementDataFile")[0], b"=")
    return {
        "spacing": bool({"elementspacing", "elementsize"} & names),
        "place": bool({"transformmatrix", "orientation", "rotation"} & names)
        and bool({"offset", "position", "origin"} & names),
    }


def _require_beside(start: bytes, path: Path) -> None:
    """Refuse a header whose data file lies in another folder: it could name any file."""
    found = _DATA_FILE.search(start)
    if not found and len(start) == _HEADER_BYTES and b"\n\n" not in start.replace(b"\r", b""):
        raise OverLimit(
            f"The header is longer than {_HEADER_BYTES} bytes.",
            path=path,
            remedy="Take comments out of it.",
        )
    names = [found[1].decode("latin-1").strip()] if found else []
    if found and names[0].upper().startswith("LIST"):
        names = start[found.end() :].decode("latin-1").split()
    if any("\\" in n or Path(n).name != n.removeprefix("./") for n in names):
        raise UnreadableFile(
            "The header names a data file in another folder.",
            path=path,
            remedy="Put both files into one folder, and name the data file without a path.",
        )


def _names(text: bytes, separator: bytes) -> set[str]:
    lines = (line.split(separator)[0] for line in text.splitlines() if separator in line)
    return {line.decode("latin-1").strip().lower() for line in lines}


def _files(path: Path) -> list[Path]:
    """The file, or a header with the data files beside it."""
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return [path]
    stem = path.name.split(".")[0]
    return [file for file in path.parent.iterdir() if file.name.startswith(stem)]


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _require_room(reader: Any, path: Path, stored: int, limits: Limits) -> None:
    """Refuse voxels that the file cannot hold, before they are read."""
    import SimpleITK as sitk

    voxels = int(np.prod([int(n) for n in reader.GetSize()], dtype=object))
    bits = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    wide = 8 if "64" in bits else 4 if "32" in bits else 2 if "16" in bits else 1
    grown = voxels * reader.GetNumberOfComponents() * wide
    size = _size(_files(path))
    if grown > max(size, 1) * DEFLATE_LIMIT:
        raise UnreadableFile(
            f"The header declares {voxels} voxels, which {size} bytes cannot hold.", path=path
        )
    require_voxels(path, voxels, limits)
    require_proportion(path, grown, stored, limits, small=_MASK)
