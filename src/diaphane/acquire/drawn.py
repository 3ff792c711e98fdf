"""Masks drawn elsewhere, DICOM SEG and RT Structure Set, read onto the grid of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.elements import looks_like_dicom
from diaphane.acquire.headers import read_header
from diaphane.acquire.rtstruct import StructureSet
from diaphane.acquire.segmentations import Segmentation
from diaphane.acquire.segments import MaskFile, Segment, Target
from diaphane.acquire.series import SeriesHeader
from diaphane.core.errors import AmbiguousInput, DatasetError, NoPixelData, UsageError
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits
from diaphane.core.volume import Volume

Onto = SeriesHeader | Volume | Geometry | Target
Overlap = Literal["refuse", "first", "last"]

MODALITIES = ("SEG", "RTSTRUCT")
HALF = 0.5
"""Share of a fractional segment from which a voxel belongs to it."""


def is_mask_file(path: Path, limits: Limits = LIMITS) -> bool:
    """Whether the file is a DICOM SEG or RT Structure Set."""
    if not (path.is_file() and looks_like_dicom(path)):
        return False
    return read_header(path, limits).modality in MODALITIES


def open_mask(path: str | Path, limits: Limits = LIMITS) -> MaskFile:
    """The segments of a DICOM SEG or RT Structure Set; they are drawn when read.

    Raises
    ------
    NoPixelData
        For another DICOM object.
    UnreadableFile
        When it is damaged or not DICOM.
    """
    place = Path(path)
    modality = read_header(place, limits).modality
    if modality == "SEG":
        return Segmentation(place, limits)
    if modality == "RTSTRUCT":
        return StructureSet(place, limits)
    raise NoPixelData(
        f"This DICOM object ({modality}) holds no mask.",
        path=place,
        remedy="Give a Segmentation or an RT Structure Set.",
    )


def list_segments(path: str | Path, limits: Limits = LIMITS) -> tuple[Segment, ...]:
    """Segments or regions of interest, by number.

    Raises
    ------
    InputError
        As :func:`open_mask`.
    """
    return open_mask(path, limits).segments


def read_mask(
    path: str | Path,
    onto: Onto,
    *,
    segments: Sequence[int] | None = None,
    overlap: Overlap = "refuse",
    limits: Limits = LIMITS,
) -> Volume:
    """A DICOM SEG or RT Structure Set as a label map on the grid of an image.

    A voxel holds the number of its segment, 0 outside. A fractional segment takes the voxels
    of which it holds at least half.

    Parameters
    ----------
    path:
        The file.
    onto:
        The image: a found series, which also tells which images the mask refers to; or a
        volume or geometry.
    segments:
        Numbers to read; ``None`` for all.
    overlap:
        Where two segments share a voxel: refused, or it takes the lower ("first") or the higher
        ("last") number. :func:`read_segments` gives each its own mask.
    limits:
        Bounds of reading.

    Raises
    ------
    DatasetError
        When segments overlap and no rule is chosen.
    GeometryError
        When the mask has no place on this grid, or another frame of reference.
    UsageError
        For a number that is not there.
    InputError
        When the file is damaged or holds no mask.

    Examples
    --------
    >>> series = find_series("ct_chest/").choose("3")  # doctest: +SKIP
    >>> mask = read_mask("seg.dcm", series)  # doctest: +SKIP
    """
    return label_map(open_mask(path, limits), Target.of(onto), segments, overlap)


def label_map(
    opened: MaskFile, target: Target, segments: Sequence[int] | None, overlap: Overlap
) -> Volume:
    """As :func:`read_mask`, of an opened file."""
    numbers = _numbers(opened, segments)
    kind = np.uint8 if max(numbers, default=0) <= 255 else np.uint16
    labels: NDArray[Any] = np.zeros(target.geometry.shape, kind)
    for number, z, share in opened.drawn(target, numbers):
        inside = share >= HALF if share.dtype.kind == "f" else share
        there = labels[z]
        taken = inside & (there != 0) & (there != number)
        if taken.any():
            if overlap == "refuse":
                other = int(there[taken][0])
                raise DatasetError(
                    f"The segments {other} and {number} of the mask overlap.",
                    path=opened.path,
                    remedy="Choose which goes first, read them one by one, or name one of them.",
                )
            keep = there < number if overlap == "first" else there > number
            inside = inside & ~(taken & keep)
        there[inside] = number
    return Volume(labels, target.geometry, "SEG")


def read_segments(
    path: str | Path,
    onto: Onto,
    *,
    segments: Sequence[int] | None = None,
    fractional: bool = False,
    limits: Limits = LIMITS,
) -> dict[int, Volume]:
    """A mask of 0 and 1 for each segment, by number; they may overlap.

    Parameters
    ----------
    path, onto, segments, limits:
        As for :func:`read_mask`.
    fractional:
        Give the shares of a fractional segmentation as float32 from 0 to 1 instead.

    Raises
    ------
    InputError, UsageError
        As :func:`read_mask`.
    """
    opened, target = open_mask(path, limits), Target.of(onto)
    kind = np.float32 if fractional else np.uint8
    found = {number: np.zeros(target.geometry.shape, kind) for number in _numbers(opened, segments)}
    for number, z, share in opened.drawn(target, list(found)):
        plane = share if fractional or share.dtype.kind != "f" else share >= HALF
        np.maximum(found[number][z], plane.astype(kind), out=found[number][z])
    return {number: Volume(mask, target.geometry, "SEG") for number, mask in found.items()}


def _numbers(opened: MaskFile, wanted: Sequence[int] | None) -> list[int]:
    known = [segment.number for segment in opened.segments]
    if wanted is None:
        return known
    missing = sorted(set(wanted) - set(known))
    if missing:
        raise UsageError(
            f"The mask has no segment {missing[0]}.",
            path=opened.path,
            remedy=f"It has: {', '.join(map(str, known))}.",
        )
    return [number for number in known if number in set(wanted)]


def only_mask_in(folder: Path, limits: Limits = LIMITS) -> Path | None:
    """The DICOM mask in or below a folder; ``None`` where there is none.

    Raises
    ------
    AmbiguousInput
        When there are several.
    """
    seen = [p for p in sorted(folder.rglob("*")) if not p.name.startswith(".")]
    found = [p for p in seen if is_mask_file(p, limits)]
    if len(found) > 1:
        raise AmbiguousInput(
            f"There are {len(found)} DICOM masks in this folder.",
            path=folder,
            remedy="Name one of them.",
        )
    return found[0] if found else None
