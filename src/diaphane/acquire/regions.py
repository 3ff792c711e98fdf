"""Calibrated regions of ultrasound images.

Source: DICOM PS3.3 C.8.5.5 (US Region Calibration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.quiet import quiet

_FORMATS = ("", "2-D", "M-mode", "spectrum", "waveform", "graphics")
_TYPES = (
    *("", "tissue", "colour flow", "PW Doppler", "CW Doppler", "Doppler mean", "Doppler mode"),
    *("Doppler maximum", "volume", "volume rate", "ECG", "pulse", "phonocardiogram", "grey bar"),
    *("colour bar", "backscatter", "area", "area rate", "other trace"),
)
_UNITS = ("", "%", "dB", "cm", "s", "Hz", "dB/s", "cm/s", "cm2", "cm2/s", "cm3", "cm3/s", "degree")
_PLANE = frozenset({"tissue", "colour flow"})
_OTHER_AXES = frozenset({"M-mode", "spectrum"})
_COVERS = 0.5
_SAME = 1e-3


@dataclass(frozen=True)
class Region:
    """One calibrated region.

    Attributes
    ----------
    kind, data:
        Spatial format ("2-D", "M-mode", ...) and data type ("tissue", ...); "" where unknown.
    box:
        First and last pixel: ``(x0, y0, x1, y1)``, inclusive.
    units:
        Of one step along x and y: "cm", "s", ...; "" where there is none.
    delta:
        Steps along x and y per pixel, in those units.
    """

    kind: str
    data: str
    box: tuple[int, int, int, int]
    units: tuple[str, str]
    delta: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def regions_of(header: Header) -> tuple[Region, ...]:
    """Regions that the file states.

    Raises
    ------
    UnreadableFile
        When their sequence is damaged.
    """
    name = "SequenceOfUltrasoundRegions"
    try:
        with quiet():
            data = parsed(header.path, tags=[name], limits=header.limits)
            return tuple(_region(item) for item in data.get(name) or [])
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(header.path, error, "ultrasound regions are") from error


def region_spacing(
    regions: Sequence[Region], header: Header
) -> tuple[tuple[float, float] | None, str]:
    """Spacing ``(dy, dx)`` in mm that holds for the image, or ``None`` and the reason.

    Given when all 2-D regions of tissue or colour flow have the same steps in cm, lie in
    the image, cover at least half of it, and no region has other axes (M-mode, spectrum).
    """
    planes = [r for r in regions if r.kind == "2-D" and r.data in _PLANE]
    if not planes:
        return None, "no 2-D region"
    if any(r.kind in _OTHER_AXES for r in regions):
        return None, "another region has other axes"
    steps = [(abs(r.delta[1]) * 10, abs(r.delta[0]) * 10) for r in planes]
    dy, dx = steps[0]
    if any(r.units != ("cm", "cm") for r in planes) or min(min(steps)) <= 0:
        return None, "not calibrated in cm"
    if any(abs(y - dy) > _SAME * dy or abs(x - dx) > _SAME * dx for y, x in steps):
        return None, "regions of different scale"
    if any(_leaves(r.box, header) for r in planes):
        return None, "a region leaves the image"
    if _covered(planes, header) < _COVERS:
        return None, "regions cover less than half of the image"
    return (dy, dx), ""


def _region(item: Any) -> Region:
    x0, y0, x1, y1 = (
        int(item.get(f"RegionLocation{name}")) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")
    )
    return Region(
        _word(_FORMATS, item.get("RegionSpatialFormat")),
        _word(_TYPES, item.get("RegionDataType")),
        (x0, y0, x1, y1),
        (
            _word(_UNITS, item.get("PhysicalUnitsXDirection")),
            _word(_UNITS, item.get("PhysicalUnitsYDirection")),
        ),
        (float(item.get("PhysicalDeltaX", 0.0)), float(item.get("PhysicalDeltaY", 0.0))),
    )


def _word(words: Sequence[str], code: int | None) -> str:
    return words[code] if code is not None and 0 <= code < len(words) else ""


def _leaves(box: tuple[int, int, int, int], header: Header) -> bool:
    """Whether a box ends more than one pixel outside, as after a crop or a change of size."""
    x0, y0, x1, y1 = box
    return not (0 <= x0 <= x1 <= header.columns and 0 <= y0 <= y1 <= header.rows)


def _covered(planes: Sequence[Region], header: Header) -> float:
    """Share of the image that the regions cover together."""
    inside = np.zeros((header.rows, header.columns), bool)
    for x0, y0, x1, y1 in (r.box for r in planes):
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return float(inside.mean())
