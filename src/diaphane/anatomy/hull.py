"""The lung as the pleura bounds it: closed over vessels, nodules and masses.

Two closings are joined. A ball of moderate radius closes over vessels and small
nodules, as in every classical pipeline. Masses on the chest wall or mediastinum are
larger than any ball that would not also swallow heart and aorta, so they are told
by *enclosure*: from a voxel of such a mass the same lung is met again on both
sides along many of 13 directions (it is a knob), while from the aorta, the spine
or the heart it is met along few (they are ridges).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diaphane.anatomy.grids import Coarse, Float, Mask, Triple, bounds, closed, dilated, opened

_BALL = 12.0  # mm; closes nodules of up to 20 mm and segmental vessels
_BONE_HU = 300.0
_KNOBS = ((60.0, 3), (85.0, 6))  # lung to lung across a knob in mm, and along how many axes
_SHEET = 5.0  # mm; thinner sheets on heart and chest wall are no knobs
_DEPTH = 0.8 * _BALL  # mm; the ball already closes over shallower bodies
_COMPACT = 0.4  # largest inscribed ball over ball of equal volume, in radii
_CONTACT = 0.35  # share of the surface that faces lung: half for a knob, less for a cap
_DIRECTIONS = [
    (z, y, x) for z in (0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) > (0, 0, 0)
]


def close_lung(lung: Mask, other: Mask, blocked: Mask, hu: Float, spacing: Triple) -> Mask:
    """One lung, closed.

    Parameters
    ----------
    lung, other:
        Airspace of this lung and of the opposite one, upright ``(z, y, x)``.
    blocked:
        Where lung cannot be: airways of the mediastinum and outside the body.
    hu:
        Density; bone stops the enclosure.
    spacing:
        mm per voxel.
    """
    box = bounds(lung, _margin(spacing))
    part, rival = lung[box], other[box]
    size = (part.shape[0], part.shape[1], part.shape[2])
    fine = Coarse.toward(size, spacing, 2.0)
    whole = fine.smooth(closed(_half(fine, part), _BALL, fine.spacing))
    wide = Coarse.toward(size, spacing, 3.2)
    airspace = _half(wide, part)
    body = knobs(airspace, wide.mean(hu[box]) > _BONE_HU, wide.spacing)
    if body.any():
        # Smooth the seam between the body and the rest, and nothing farther away.
        seam = closed(body | _half(wide, whole), _SHEET, wide.spacing)
        whole |= wide.smooth(seam & dilated(body, _BALL, wide.spacing))
    result = lung.copy()
    result[box] |= whole & ~blocked[box] & ~rival
    return result


def _half(grid: Coarse, mask: Mask) -> Mask:
    """``mask`` on a coarser grid, where it fills half of a block or more."""
    return mask if grid.factor == (1, 1, 1) else grid.mean(mask) >= 0.5


def _margin(spacing: Triple) -> tuple[int, int, int]:
    z, y, x = (int(np.ceil(_BALL / s)) for s in spacing)
    return z, y, x


def knobs(lung: Mask, bone: Mask, spacing: Triple) -> Mask:
    """The compact bodies on the surface of ``lung`` that it encloses.

    A body that is found encloses in turn what lies behind it, towards the wall.
    """
    knob = _compact(_enclosed(lung, bone, spacing), lung, spacing)
    if not knob.any():
        return knob
    joint = closed(lung | knob, _SHEET, spacing) & ~bone
    behind, _ = ndimage.label(_enclosed(joint, bone, spacing))
    touched = np.unique(behind[dilated(knob, max(spacing), spacing)])
    return (joint & ~lung) | np.isin(behind, touched[touched > 0])


def _enclosed(lung: Mask, bone: Mask, spacing: Triple) -> Mask:
    """Thick places outside ``lung`` that it encloses along enough axes."""
    found = np.zeros_like(lung)
    spans = enclosure(lung, bone, spacing, [span for span, _ in _KNOBS])
    for counts, (_, enough) in zip(spans, _KNOBS, strict=True):
        found |= counts >= enough
    filled = closed(found | lung, _SHEET, spacing) & ~lung & ~bone
    return opened(filled, _SHEET, spacing)


def _compact(found: Mask, lung: Mask, spacing: Triple) -> Mask:
    """The components of ``found`` that are bodies on the lung's surface, not caps or sheets."""
    labels, _ = ndimage.label(found)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        part = np.pad(labels[box] == number, 2)
        depth = float(ndimage.distance_transform_edt(part, sampling=spacing).max())
        ball = (0.75 / np.pi * float(np.count_nonzero(part)) * float(np.prod(spacing))) ** (1 / 3)
        rim = dilated(part, max(spacing), spacing) & ~part
        faces = float(np.pad(lung, 2)[_padded(box)][rim].mean())
        if depth < max(_DEPTH, _COMPACT * ball) or faces < _CONTACT:
            found[box] &= labels[box] != number
    return found


def _padded(box: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
    """``box`` of an array, in that array padded by two, widened by two."""
    z, y, x = (slice(s.start, s.stop + 4) for s in box)
    return z, y, x


def enclosure(
    lung: Mask, bone: Mask, spacing: Triple, spans: list[float]
) -> list[NDArray[np.uint8]]:
    """Along how many of 13 axes each voxel outside ``lung`` lies between lung and lung.

    One array ``(z, y, x)`` with values 0 to 13 for each largest distance in ``spans`` (mm).
    """
    counts = [np.zeros(lung.shape, dtype=np.uint8) for _ in spans]
    for step in _DIRECTIONS:
        length = float(np.linalg.norm(np.asarray(step) * np.asarray(spacing)))
        gap = _distance(lung, bone, step, length)
        gap += _distance(lung, bone, (-step[0], -step[1], -step[2]), length)
        gap[lung] = np.inf
        for count, span in zip(counts, spans, strict=True):
            np.add(count, gap <= span, out=count)
    return counts


def _distance(
    lung: Mask, bone: Mask, step: tuple[int, int, int], length: float
) -> NDArray[np.float32]:
    """Distance in mm to the next lung voxel against ``step``; infinite where bone or the frame comes first."""
    axis = 0 if step[0] else (1 if step[1] else 2)
    far = np.where(lung, np.float32(0), np.float32(np.inf))
    moved = np.moveaxis(far, axis, 0)
    stop = np.moveaxis(bone, axis, 0)
    rest = [s for a, s in enumerate(step) if a != axis]
    order = range(1, moved.shape[0]) if step[axis] > 0 else range(moved.shape[0] - 2, -1, -1)
    for at in order:
        before = _shifted(moved[at - step[axis]], rest) + np.float32(length)
        before[stop[at]] = np.inf
        np.minimum(moved[at], before, out=moved[at])
    return far


def _shifted(plane: NDArray[np.float32], by: list[int]) -> NDArray[np.float32]:
    """``plane`` moved by one voxel at most along each axis, infinity flowing in."""
    result = np.full_like(plane, np.inf)
    into = tuple(slice(max(0, b), n + min(0, b)) for b, n in zip(by, plane.shape, strict=True))
    out = tuple(slice(max(0, -b), n + min(0, -b)) for b, n in zip(by, plane.shape, strict=True))
    result[into] = plane[out]
    return result
