"""RT Structure Sets: contours in patient space, filled on the grid of an image.

The rules: closed planar contours count; points and open lines enclose nothing. Contours of one
region in one plane are combined by exclusive or, so that an inner one is a hole; a keyhole, one
line that goes in and out again, gives the same. The same contour twice counts once. A pixel
belongs to a region when its centre does. Each contour stands for a slab as thick as the distance
of the region's contours; slices between two neighbouring contours take the shape halfway by
signed distance; wider gaps stay empty, and so does one of more than 5 mm between the only two
planes of a region.

Source: DICOM PS3.3 C.8.8.5, C.8.8.6 (Structure Set, ROI Contour).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.quiet import quiet
from diaphane.acquire.segments import Segment, Target
from diaphane.core.errors import GeometryError, MissingSpacing
from diaphane.core.options import Limits

_CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_ON_SLICE = 0.1  # of a slice
_FLAT = 0.25  # of a slice
_GAP = 1.5  # distances of contours
_LONE_GAP = 5.0  # mm; contours of one region that has but two planes
_EVEN = 0.01  # of a slice: halfway, however it is rounded
_ON_LINE = 1e-9  # of a pixel

Bits = NDArray[np.bool_]
Points = NDArray[np.float64]


class StructureSet:
    """An RT Structure Set.

    Attributes
    ----------
    path:
        The file.
    kind:
        "contours".
    segments:
        Regions with at least one closed contour, by number.

    Raises
    ------
    UnreadableFile
        When it is damaged.
    """

    kind = "contours"

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self.path = path
        try:
            with quiet():
                data = parsed(path, limits=limits)
                self._contours = _contours(data)
                self.segments, self._frames = _regions(data, self._contours)
        except Exception as error:  # pydicom raises whatever a damaged file makes it meet
            raise damaged(path, error, "structure set is") from error

    def drawn(
        self, target: Target, numbers: Sequence[int]
    ) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """As :meth:`MaskFile.drawn`.

        Raises
        ------
        MissingSpacing
            When the image has no known place in the patient.
        GeometryError
            When contours are not parallel to the slices, belong to another frame of reference, or
            all lie outside the image.
        """
        grid = target.geometry
        if not grid.is_spatial:
            raise MissingSpacing(
                "Contours are drawn in the patient, and the image does not state its place there.",
                path=self.path,
            )
        found = False
        for number in sorted(set(numbers)):
            target.require_frame(self._frames[number], self.path)
            planes = self._planes([grid.to_index(points) for points in self._contours[number]])
            lone = _LONE_GAP / grid.spacing_mm[0]
            for z, mask in _slices(planes, grid.shape, lone):
                found = found or bool(mask.any())
                yield number, z, mask
        if numbers and not found:
            raise GeometryError(
                "The contours lie wholly outside the image.",
                path=self.path,
                remedy="Give the series that they were drawn on.",
            )

    def _planes(self, contours: Sequence[Points]) -> list[_Plane]:
        """Contours, in indices ``(z, y, x)``, gathered by plane, ascending."""
        places = np.array([float(points[:, 0].mean()) for points in contours])
        flat = max(float(np.ptp(points[:, 0])) for points in contours)
        if flat > _FLAT:
            raise GeometryError(
                "Contours are not parallel to the slices of the image.",
                path=self.path,
                remedy="Give the series that they were drawn on.",
            )
        planes: list[_Plane] = []
        for index in np.argsort(places, kind="stable"):
            if not planes or places[index] - planes[-1].place > _ON_SLICE:
                planes.append(_Plane(float(places[index]), []))
            planes[-1].lines.append(contours[index][:, 1:])
        return planes


@dataclass(frozen=True)
class _Plane:
    """Closed lines ``(n, 2)`` as (y, x) in one plane at ``place``, a fractional slice."""

    place: float
    lines: list[Points]

    def fill(self, shape: tuple[int, int]) -> Bits:
        """The pixels whose centres lie inside an odd number of lines."""
        inside = np.zeros(shape, bool)
        for line in {line.tobytes(): line for line in self.lines}.values():
            low = np.clip(np.floor(line.min(0)), 0, shape).astype(int)
            high = np.clip(np.floor(line.max(0)) + 1, 0, shape).astype(int)
            box = tuple(map(slice, low, high))
            inside[box] ^= fill(line - low, tuple(high - low))
        return inside


def fill(line: Points, shape: tuple[int, int]) -> Bits:
    """The pixels whose centres lie inside a closed line, or on it.

    Row by row: what lies behind an odd number of the line's crossings is inside.

    Parameters
    ----------
    line:
        ``(n, 2)`` as (y, x) in pixels; the last point is joined to the first.
    shape:
        ``(y, x)``; what lies outside is left out.
    """
    height, width = shape
    start, end = line, np.roll(line, -1, axis=0)
    upper, lower = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    # Rows of an edge: its upper end counts and its lower does not, so that a corner counts once.
    first = np.clip(np.ceil(upper), 0, height).astype(int)
    count = np.clip(np.ceil(lower), 0, height).astype(int) - first
    edge = np.repeat(np.arange(len(line)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (y, x), (down, right) = start[edge].T, (end - start)[edge].T
    with np.errstate(over="ignore", invalid="ignore"):  # points beyond all measure
        column = x + (row - y) * right / down
        nearest = np.rint(column)
        on_line = np.abs(column - nearest) < _ON_LINE
    behind = np.where(on_line, nearest, np.floor(column)) + 1
    place = row * (width + 1) + np.clip(behind, 0, width).astype(int)
    crossings = np.bincount(place, minlength=height * (width + 1)).reshape(height, width + 1)
    inside = (np.cumsum(crossings, axis=1)[:, :width] & 1).astype(bool)
    for y0, x0, x1 in _centres_on(line, row[on_line], nearest[on_line]):
        if 0 <= y0 < height:
            inside[y0, max(x0, 0) : max(x1 + 1, 0)] = True
    return inside


def _centres_on(
    line: Points, rows: NDArray[np.int64], columns: NDArray[np.float64]
) -> Iterator[tuple[int, int, int]]:
    """Row, first and last column of centres on the line: crossings, corners, and level edges."""
    yield from ((int(y), int(x), int(x)) for y, x in zip(rows, columns, strict=True))
    nearest = np.rint(line[:, 0])
    level = np.abs(line[:, 0] - nearest) < _ON_LINE
    for index in np.flatnonzero(level):
        x = [line[index, 1]]
        if level[index - 1] and nearest[index - 1] == nearest[index]:
            x.append(line[index - 1, 1])
        first, last = int(np.ceil(min(x) - _ON_LINE)), int(np.floor(max(x) + _ON_LINE))
        if first <= last:
            yield int(nearest[index]), first, last


def _slices(
    planes: Sequence[_Plane], shape: tuple[int, int, int], lone: float
) -> Iterator[tuple[int, Bits]]:
    """Slices that the planes of one region reach, each with its mask.

    Two planes further apart than ``lone`` slices are no neighbours.
    """
    places = np.array([plane.place for plane in planes])
    steps = np.sort(np.diff(places))
    step = float(steps[(len(steps) - 1) // 2]) if len(steps) else 1.0
    if len(steps) == 1 and step > lone:
        step = 1.0
    size = shape[1:]
    first = max(0, int(np.floor(places[0] + _EVEN)))
    last = min(shape[0] - 1, int(np.ceil(places[-1] - _EVEN)))
    for z in range(first, last + 1):
        near = int(np.abs(places - z).argmin())
        if abs(places[near] - z) <= _ON_SLICE:
            yield z, planes[near].fill(size)
            continue
        above = int(np.searchsorted(places, z))
        if 0 < above < len(places) and places[above] - places[above - 1] <= _GAP * max(step, 1.0):
            yield z, _between(planes[above - 1], planes[above], z, size)
        elif -step / 2 - _EVEN <= z - places[near] < step / 2 - _EVEN:
            yield z, planes[near].fill(size)


def _between(low: _Plane, high: _Plane, z: int, size: tuple[int, int]) -> Bits:
    """The shape at slice ``z`` between two planes, by signed distance."""
    share = (z - low.place) / (high.place - low.place)
    distance = (1 - share) * _distance(low.fill(size)) + share * _distance(high.fill(size))
    return np.asarray(distance > 0)


def _distance(mask: Bits) -> NDArray[np.float64]:
    """Distance to the border in pixels, positive inside; far negative for an empty plane."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, -float(sum(mask.shape)))
    inside = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - distance_transform_edt(~mask)))


def _contours(data: Any) -> dict[int, list[Points]]:
    """Closed contours ``(n, 3)`` in LPS mm by region number."""
    found: dict[int, list[Points]] = {}
    for region in data.get("ROIContourSequence") or []:
        lines = found.setdefault(int(region.ReferencedROINumber), [])
        for item in region.get("ContourSequence") or []:
            if str(item.get("ContourGeometricType", "")) not in _CLOSED:
                continue
            points = np.asarray(item.ContourData, dtype=np.float64).reshape(-1, 3)
            if not np.isfinite(points).all():
                raise ValueError("a contour point is not finite")
            if len(points) >= 3:
                lines.append(points)
    return {number: lines for number, lines in found.items() if lines}


def _regions(
    data: Any, contours: Mapping[int, Sequence[Points]]
) -> tuple[tuple[Segment, ...], dict[int, str]]:
    """Regions that have contours, and the frame of reference of each."""
    codes = {
        int(item.ReferencedROINumber): _code(item)
        for item in data.get("RTROIObservationsSequence") or []
    }
    segments, frames = [], {}
    for item in data.get("StructureSetROISequence") or []:
        number = int(item.ROINumber)
        if number not in contours:
            continue
        segments.append(Segment(number, str(item.get("ROIName", "")), codes.get(number)))
        frames[number] = str(item.get("ReferencedFrameOfReferenceUID", "") or "")
    return tuple(sorted(segments, key=lambda s: s.number)), frames


def _code(item: Any) -> tuple[str, str] | None:
    for kind in item.get("RTROIIdentificationCodeSequence") or []:
        scheme = str(kind.get("CodingSchemeDesignator", ""))
        if scheme:
            return scheme, str(kind.get("CodeValue", ""))
    return None
