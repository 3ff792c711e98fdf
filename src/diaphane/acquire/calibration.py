"""Pixel spacing of images that are no sections, and at which depth it holds.

Radiographs and films magnify: what lies before the detector is shown larger. A spacing is
``spacing_at``

- "corrected": calibrated for the patient (PixelSpacing that differs from the detector's, or is
  said to be GEOMETRY or FIDUCIAL; or the detector's spacing over the stated magnification);
- "detector": PixelSpacing that equals ImagerPixelSpacing or NominalScannedPixelSpacing, so that
  sizes in the patient are smaller by an unknown factor;
- "patient": PixelSpacing alone, which by its definition holds in the patient; whether it was
  calibrated is not known.

Where there is ImagerPixelSpacing alone, without a magnification, the spacing in the patient
stays unknown, and ``imager_pixel_spacing`` tells the detector's.

Source: DICOM PS3.3 10.7.1 (pixel spacing calibration), C.8.11.4 (magnification).
Ultrasound: :mod:`diaphane.acquire.regions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diaphane.acquire.headers import Header
from diaphane.acquire.regions import Region, region_spacing, regions_of

Pair = tuple[float, float]

_SAME = 1e-4  # relative; written as decimal strings


def calibrated(header: Header) -> tuple[Pair | None, dict[str, Any]]:
    """Spacing ``(dy, dx)`` in mm of an image that is no section, ``None`` where unknown; and facts.

    The facts are ``spacing_at``, ``imager_pixel_spacing``, ``magnification``; and for ultrasound
    ``regions`` and, where they give no spacing, ``spacing_problem``.
    """
    if header.states("regions"):
        regions = regions_of(header)
        if regions:
            return _of_regions(regions, header)
    stated = _pair(header.spacing)
    detector = _pair(header.imager_spacing) or _pair(header.numbers("scanned_spacing"))
    facts: dict[str, Any] = {}
    if detector is not None:
        facts["imager_pixel_spacing"] = detector
    magnification = next(iter(header.numbers("magnification")), 0.0)
    if magnification > 0:
        facts["magnification"] = magnification
    differs = stated is not None and detector is not None and not _same(stated, detector)
    if stated is not None and (differs or header.words("calibration")):
        return stated, {**facts, "spacing_at": "corrected"}
    if stated is not None and detector is None:
        return stated, {**facts, "spacing_at": "patient"}
    if detector is not None and magnification >= 1:
        corrected = (detector[0] / magnification, detector[1] / magnification)
        return corrected, {**facts, "spacing_at": "corrected"}
    if stated is not None:
        return stated, {**facts, "spacing_at": "detector"}
    return None, facts


def _of_regions(regions: Sequence[Region], header: Header) -> tuple[Pair | None, dict[str, Any]]:
    facts: dict[str, Any] = {"regions": tuple(region.to_dict() for region in regions)}
    spacing, problem = region_spacing(regions, header)
    if spacing is None:
        return None, {**facts, "spacing_problem": problem}
    return spacing, {**facts, "spacing_at": "patient"}


def _pair(values: Sequence[float]) -> Pair | None:
    if len(values) >= 2 and min(values[:2]) > 0:
        return values[0], values[1]
    return None


def _same(a: Pair, b: Pair) -> bool:
    return all(abs(x - y) <= _SAME * y for x, y in zip(a, b, strict=True))
