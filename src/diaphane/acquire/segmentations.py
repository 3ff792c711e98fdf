"""DICOM Segmentation objects: binary, fractional and label map.

Source: DICOM PS3.3 A.51 and C.8.20 (Segmentation), Supplement 243 (Label Map).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.declared import check_pixels
from diaphane.acquire.elements import NATIVE_LITTLE
from diaphane.acquire.frames import decode
from diaphane.acquire.headers import Header, read_header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.quiet import quiet
from diaphane.acquire.segments import Segment, Target
from diaphane.acquire.stored import unpacked
from diaphane.core.errors import GeometryError, NotApplicable, UnreadableFile
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits

_ON_SLICE = 0.1  # of a slice
_PARALLEL = 1e-3


@dataclass(frozen=True)
class _Frame:
    """Place of one frame: in the patient, or on an image by its UID and frame (from 0)."""

    index: int
    number: int  # of its segment; 0 for a label map
    affine: Geometry | None
    sources: tuple[tuple[str, int], ...]


class Segmentation:
    """A Segmentation object; pixels are read when drawn.

    Attributes
    ----------
    path:
        The file.
    kind:
        "binary", "fractional" or "labelmap".
    segments:
        By number.

    Raises
    ------
    UnreadableFile
        When it is damaged.
    NotApplicable
        For slide microscopy, whose tiles are not read.
    """

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self.path = path
        self._header = read_header(path, limits)
        check_pixels(self._header)
        try:
            with quiet():
                data = parsed(path, limits=limits)
                self.kind = str(data.get("SegmentationType", "BINARY")).lower()
                self._maximum = float(data.get("MaximumFractionalValue", 255) or 255)
                self._reference = str(data.get("FrameOfReferenceUID", "") or "")
                background = _background(data)
                self.segments = tuple(
                    segment
                    for segment in sorted(map(_segment, data.SegmentSequence), key=_number)
                    if segment.number != background
                )
                self._frames = _frames(data, self._header, {s.number for s in self.segments})
        except Exception as error:  # pydicom raises whatever a damaged file makes it meet
            raise damaged(path, error, "segmentation is") from error

    def drawn(
        self, target: Target, numbers: Sequence[int]
    ) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """As :meth:`MaskFile.drawn`.

        Raises
        ------
        GeometryError
            When the mask cannot be placed on the grid, or lies wholly outside it.
        """
        wanted = frozenset(numbers)
        frames = [f for f in self._frames if self.kind == "labelmap" or f.number in wanted]
        placed = target.geometry.is_spatial and all(f.affine is not None for f in frames)
        if placed:
            target.require_frame(self._reference, self.path)
            found = self._in_space(frames, target)
        else:
            found = self._by_source(frames, target)
        for number, z, plane in found:
            if self.kind == "labelmap":
                for value in np.unique(plane):
                    if int(value) in wanted:
                        yield int(value), z, plane == value
            elif self.kind == "fractional":
                yield number, z, plane.astype(np.float32) / np.float32(self._maximum)
            else:
                yield number, z, plane != 0

    def _in_space(
        self, frames: Sequence[_Frame], target: Target
    ) -> Iterator[tuple[int, int, NDArray[Any]]]:
        grid = target.geometry
        at = [_on_grid(f.affine, grid) for f in frames if f.affine is not None]
        if all(place is not None for place in at):
            pairs = [(f, p) for f, p in zip(frames, at, strict=True) if p is not None]
            inside = [
                (frame, (z, rows, columns))
                for frame, (z, rows, columns) in pairs
                if 0 <= z < grid.shape[0] and max(rows) >= 0 and max(columns) >= 0
            ]
            if frames and not inside:
                raise self._outside()
            for (frame, (z, rows, columns)), pixels in zip(
                inside, self._pixels([f.index for f, _ in inside]), strict=True
            ):
                yield frame.number, z, _taken(pixels, rows, columns)
            return
        yield from self._resampled(frames, grid)

    def _resampled(
        self, frames: Sequence[_Frame], grid: Geometry
    ) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Frames as a volume of their own, its nearest voxels taken on the grid."""
        from scipy.ndimage import affine_transform

        for number in sorted({f.number for f in frames}):
            members = [f for f in frames if f.number == number]
            box, slots = _stacked([f.affine for f in members if f.affine], self.path)
            voxels: NDArray[Any] | None = None
            pixels = self._pixels([f.index for f in members])
            for slot, plane in zip(slots, pixels, strict=True):
                if voxels is None:
                    voxels = np.zeros(box.shape, plane.dtype)
                np.maximum(voxels[slot], plane, out=voxels[slot])
            assert voxels is not None
            change = np.linalg.inv(box.affine) @ grid.affine
            moved = affine_transform(
                voxels, change[:3, :3], change[:3, 3], grid.shape, order=0, mode="grid-constant"
            )
            if voxels.any() and not moved.any():
                raise self._outside()
            for z in np.flatnonzero(moved.any(axis=(1, 2))):
                yield number, int(z), moved[z]

    def _by_source(
        self, frames: Sequence[_Frame], target: Target
    ) -> Iterator[tuple[int, int, NDArray[Any]]]:
        rows, columns = target.geometry.shape[1:]
        if (self._header.rows, self._header.columns) != (rows, columns):
            raise GeometryError(
                f"The mask has {self._header.rows} x {self._header.columns} pixels, its image "
                f"{rows} x {columns}, and neither says where they lie.",
                path=self.path,
            )
        places = [
            next((target.places[s] for s in f.sources if s in target.places), None) for f in frames
        ]
        if frames and all(place is None for place in places):
            raise GeometryError(
                "The mask does not say on which of these images it is drawn.",
                path=self.path,
                remedy="Give the series that it was drawn on.",
            )
        known = [(f, z) for f, z in zip(frames, places, strict=True) if z is not None]
        for (frame, z), pixels in zip(
            known, self._pixels([f.index for f, _ in known]), strict=True
        ):
            yield frame.number, z, pixels

    def _pixels(self, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Stored pixels ``(y, x)`` of frames, one after the other."""
        header = self._header
        if header.bits_allocated != 1 or header.elements.syntax not in NATIVE_LITTLE:
            yield from decode(header, indices)
            return
        packed = np.memmap(
            self.path, np.uint8, "r", header.elements.pixel_offset, (header.bytes_expected,)
        )
        for index in indices:
            yield unpacked(packed, index, header)

    def _outside(self) -> GeometryError:
        return GeometryError(
            "The mask lies wholly outside the image.",
            path=self.path,
            remedy="Give the series that it was drawn on.",
        )


def _number(segment: Segment) -> int:
    return segment.number


def _background(data: Any) -> int | None:
    """The value of a label map that is no segment, though it may be listed as one."""
    if str(data.get("SegmentationType", "")) != "LABELMAP":
        return None
    return int(data.get("PixelPaddingValue", 0) or 0)


def _segment(item: Any) -> Segment:
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or []
    code = None
    if kinds:
        scheme = str(kinds[0].get("CodingSchemeDesignator", ""))
        code = (scheme, str(kinds[0].get("CodeValue", ""))) if scheme else None
    return Segment(int(item.SegmentNumber), str(item.get("SegmentLabel", "")), code)


def _frames(data: Any, header: Header, known: Collection[int]) -> tuple[_Frame, ...]:
    shared = (data.get("SharedFunctionalGroupsSequence") or [{}])[0]
    each = list(data.get("PerFrameFunctionalGroupsSequence") or [])
    slides = ("PlanePositionSlideSequence", "TotalPixelMatrixColumns")
    if slides[1] in data or (each and slides[0] in each[0]):
        raise NotApplicable("Masks of slide microscopy are not read.", path=header.path)
    if len(each) != header.frames:
        raise UnreadableFile(
            f"The file declares {header.frames} frames and describes {len(each)}.",
            path=header.path,
        )
    labelmap = str(data.get("SegmentationType", "")) == "LABELMAP"
    found = []
    for index, item in enumerate(each):
        told = _of((item, shared), "SegmentIdentificationSequence", "ReferencedSegmentNumber")
        number = 0 if labelmap or told is None else int(told)
        if not labelmap and number not in known:
            raise UnreadableFile(
                f"Frame {index + 1} is of no segment that the file describes.",
                path=header.path,
                remedy="The file is damaged; export it again.",
            )
        found.append(_Frame(index, number, _plane(item, shared, header), _sources(item, shared)))
    return tuple(sorted(found, key=lambda f: f.number))


def _of(items: Sequence[Any], group: str, name: str) -> Any:
    for item in items:
        inner = (item.get(group) or [None])[0]
        if inner is not None and inner.get(name) is not None:
            return inner.get(name)
    return None


def _plane(item: Any, shared: Any, header: Header) -> Geometry | None:
    """A frame as a grid of one slice; ``None`` unless it states its place."""
    both = (item, shared)
    position = _of(both, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _of(both, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _of(both, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or orientation is None or spacing is None:
        return None
    depth = _of(both, "PixelMeasuresSequence", "SpacingBetweenSlices") or _of(
        both, "PixelMeasuresSequence", "SliceThickness"
    )
    across, down = np.asarray(orientation[:3], float), np.asarray(orientation[3:], float)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cross(across, down) * (abs(float(depth or 0)) or 1.0)
    matrix[:3, 1] = down * float(spacing[0])
    matrix[:3, 2] = across * float(spacing[1])
    matrix[:3, 3] = [float(v) for v in position]
    return Geometry.from_affine((1, header.rows, header.columns), matrix)


def _sources(item: Any, shared: Any) -> tuple[tuple[str, int], ...]:
    found = []
    for group in (item, shared):
        for derivation in group.get("DerivationImageSequence") or []:
            for source in derivation.get("SourceImageSequence") or []:
                uid = str(source.get("ReferencedSOPInstanceUID", ""))
                numbers = source.get("ReferencedFrameNumber")
                listed = [1] if numbers is None else np.atleast_1d(numbers)
                found += [(uid, int(n) - 1) for n in listed]
    return tuple(found)


def _on_grid(
    plane: Geometry, grid: Geometry
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]] | None:
    """The slice of ``grid`` that a plane lies on, and the plane's row and column (or -1) for each of
    the grid's; ``None`` when it lies between slices, or is turned against them.
    """
    change = np.linalg.inv(plane.affine) @ grid.affine  # grid index to plane index
    steps = change[:3, :3] / np.abs(change[:3, :3]).max(axis=0)
    if np.abs(steps - np.diag(np.diag(steps))).max() > _PARALLEL:
        return None
    z = float((np.linalg.inv(grid.affine) @ plane.affine)[0, 3])
    if abs(z - round(z)) > _ON_SLICE:
        return None
    axes = []
    for axis in (1, 2):
        line = np.arange(grid.shape[axis]) * change[axis, axis] + change[axis, 3]
        index = np.rint(line).astype(np.int64)
        axes.append(np.where((index < 0) | (index >= plane.shape[axis]), -1, index))
    return round(z), axes[0], axes[1]


def _taken(
    pixels: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[Any]:
    taken = pixels[np.ix_(rows, columns)]
    taken[rows < 0] = 0
    taken[:, columns < 0] = 0
    return taken


def _stacked(planes: Sequence[Geometry], path: Path) -> tuple[Geometry, list[int]]:
    """The even grid that parallel planes lie on, and the slot of each."""
    first = planes[0]
    normal = np.asarray(first.direction)[:, 0]
    for plane in planes:
        if not np.allclose(plane.affine[:3, :3], first.affine[:3, :3], atol=1e-4):
            raise GeometryError("The frames of the mask are not parallel.", path=path)
    along = np.array([float(np.dot(p.affine[:3, 3], normal)) for p in planes])
    step = first.spacing_mm[0]
    low = int(along.argmin())
    slots = np.rint((along - along[low]) / step).astype(int)
    if np.abs(along - along[low] - slots * step).max() > 0.1 * step:
        raise GeometryError("The frames of the mask are not evenly spaced.", path=path)
    matrix = planes[low].affine
    shape = (int(slots.max()) + 1, *first.shape[1:])
    return Geometry.from_affine(shape, matrix), [int(s) for s in slots]
