"""The segments of a DICOM mask, the grid that they are drawn on, and their names without identity."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from diaphane.acquire.facts import description_terms
from diaphane.acquire.headers import Header, read_header
from diaphane.acquire.series import SeriesHeader
from diaphane.core.errors import GeometryError, InputError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

Planar = NDArray[Any]


@dataclass(frozen=True)
class Segment:
    """One segment or region of interest.

    Attributes
    ----------
    number:
        SegmentNumber or ROINumber.
    label:
        As a person typed it; it may tell of the patient and is not for output.
    code:
        Coding scheme and value of what it is, such as ``("SCT", "272673000")``; or ``None``.
    """

    number: int
    label: str = field(repr=False)
    code: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """A name that cannot hold identity.

        The standard meaning of its code; else its label, if every word of it is technical or
        anatomical; else its number.
        """
        return self._told() or f"segment {self.number}"

    @property
    def is_named(self) -> bool:
        """Whether :attr:`name` is more than a number."""
        return bool(self._told())

    def _told(self) -> str:
        meaning = "" if self.code is None else _meanings().get(self.code, "")
        words = self.label.replace("_", " ").replace("-", " ").lower().split()
        return meaning or (self.label if all(map(_is_plain, words)) else "")


def _is_plain(word: str) -> bool:
    return description_terms(word) == (word,)


@functools.cache
def _meanings() -> Mapping[tuple[str, str], str]:
    """Meaning by scheme and value, as the standard prints it."""
    from pydicom.sr import _concepts_dict

    concepts: Any = _concepts_dict.concepts
    return {
        (scheme, str(value)): str(meaning).partition(" (")[0]
        for scheme, names in concepts.items()
        for values in names.values()
        for value, (meaning, _) in values.items()
    }


@dataclass(frozen=True, eq=False)
class Target:
    """The grid on which masks are read.

    Attributes
    ----------
    geometry:
        Of the image.
    frame_of_reference:
        UID; "" where unknown.
    places:
        Slice ``z`` by SOPInstanceUID and frame (from 0); empty where unknown.
    """

    geometry: Geometry
    frame_of_reference: str = field(default="", repr=False)
    places: Mapping[tuple[str, int], int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, onto: SeriesHeader | Volume | Geometry | Target) -> Target:
        """The grid of a series, a volume or a geometry."""
        if isinstance(onto, Target):
            return onto
        if isinstance(onto, Geometry):
            return cls(onto)
        if isinstance(onto, Volume):
            return cls(onto.geometry)
        places = {(p.header.sop_uid, p.frame): z for z, p in enumerate(onto.planes)}
        if onto.resampling is not None or len(places) < len(onto.planes):
            places = {}  # slices are not single images
        return cls(onto.geometry, onto.planes[0].header.frame_of_reference, places)

    @classmethod
    def of_files(cls, geometry: Geometry, files: Sequence[Path]) -> Target:
        """The grid of an image that was read from these files, in slice order."""
        headers: list[Header] = []
        for path in files:
            try:
                headers.append(read_header(path))
            except InputError:  # not a DICOM file
                return cls(geometry)
        if not headers:
            return cls(geometry)
        places: dict[tuple[str, int], int] = {}
        if len(headers) == geometry.shape[0]:
            places = {(h.sop_uid, 0): z for z, h in enumerate(headers)}
        elif len(headers) == 1 and not geometry.is_spatial:
            places = {(headers[0].sop_uid, z): z for z in range(geometry.shape[0])}
        return cls(geometry, headers[0].frame_of_reference, places)

    def require_frame(self, uid: str, path: Path) -> None:
        """Refuse a mask of another frame of reference.

        Raises
        ------
        GeometryError
            When both are known and differ.
        """
        if uid and self.frame_of_reference and uid != self.frame_of_reference:
            raise GeometryError(
                "The mask is drawn in another frame of reference than the image.",
                path=path,
                remedy="Give the series that it was drawn on.",
            )


class MaskFile(Protocol):
    """A DICOM object that holds masks."""

    path: Path
    kind: str
    segments: tuple[Segment, ...]

    def drawn(self, target: Target, numbers: Sequence[int]) -> Iterator[tuple[int, int, Planar]]:
        """Segment number, slice ``z`` and share ``(y, x)`` from 0 to 1 of what is drawn there.

        By ascending segment number; one slice of a segment may come several times.
        """
        ...
