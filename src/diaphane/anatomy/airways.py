"""Trachea and bronchi: a round tube of air near the midline, grown downwards without leaking.

The lumen is grown from the trachea at rising thresholds, and the last threshold
before the volume explodes into the parenchyma is kept (Mori et al., IEEE TMI
15:740, 2000; Sluimer et al., IEEE TMI 25:385, 2006).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diaphane.anatomy.grids import Float, Mask, Triple

# Adult and child tracheae: 6 to 30 mm across (Breatnach et al., AJR 142:903, 1984).
_TRACHEA_AREA = (40.0, 900.0)  # mm2
_TRACHEA_LENGTH = 25.0  # mm of it that must be seen
_LUMEN_HU = -850.0
_STEPS = (-960.0, -940.0, -920.0, -900.0, -880.0, -860.0, -840.0, -820.0, -800.0)
_LARGEST_TREE = 160.0  # ml, lumen down to the segmental bronchi
_LEAK = 12.0  # ml gained in one step of 20 HU


def segment_airways(hu: Float, body: Mask, spacing: Triple) -> Mask:
    """Lumen of trachea and bronchi.

    Parameters
    ----------
    hu, body:
        Upright arrays ``(z, y, x)``: density in HU and the body, holes filled.
    spacing:
        mm per voxel ``(z, y, x)``.

    Returns
    -------
    Mask of the same shape; empty when no trachea is in the field of view.
    """
    trachea = _trachea(hu, body, spacing)
    if not trachea.any():
        return trachea
    voxel = float(np.prod(spacing)) / 1000.0
    grown = trachea
    volume = float(np.count_nonzero(trachea)) * voxel
    for step in _STEPS:
        labels, _ = ndimage.label((hu < step) & body)
        touched = np.unique(labels[trachea])
        touched = touched[touched > 0]
        if touched.size == 0:
            continue
        tree = np.isin(labels, touched)
        now = float(np.count_nonzero(tree)) * voxel
        if now > _LARGEST_TREE or now > volume + _LEAK + 0.5 * volume:
            break
        grown, volume = tree | trachea, now
    return grown


def _trachea(hu: Float, body: Mask, spacing: Triple) -> Mask:
    """The tallest stack of round, central, air-filled discs."""
    discs = np.zeros(hu.shape, dtype=bool)
    air = (hu < _LUMEN_HU) & body
    for z in range(hu.shape[0]):
        columns = np.flatnonzero(body[z].any(axis=0))
        if columns.size == 0:
            continue
        middle = 0.5 * float(columns[0] + columns[-1])
        reach = 0.15 * float(columns[-1] - columns[0])
        labels, count = ndimage.label(air[z])
        boxes = ndimage.find_objects(labels)
        for number in range(1, count + 1):
            box = boxes[number - 1]
            part = labels[box] == number
            if _is_disc(part, box, spacing, middle, reach):
                discs[z][box] |= part
    labels, count = ndimage.label(discs, structure=np.ones((3, 3, 3), dtype=bool))
    best, tallest = 0, _TRACHEA_LENGTH
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        height = (box[0].stop - box[0].start) * spacing[0]
        # Of two equally tall tubes the one nearer the head is the trachea, the other bowel.
        if height > tallest:
            best, tallest = number, height
    return np.asarray(labels == best, dtype=bool) if best else np.zeros_like(discs)


def _is_disc(
    part: NDArray[np.bool_],
    box: tuple[slice, slice],
    spacing: Triple,
    middle: float,
    reach: float,
) -> bool:
    """Whether one axial component has the size, place and roundness of a trachea."""
    area = float(np.count_nonzero(part)) * spacing[1] * spacing[2]
    if not _TRACHEA_AREA[0] <= area <= _TRACHEA_AREA[1]:
        return False
    if abs(0.5 * (box[1].start + box[1].stop - 1) - middle) > reach:
        return False
    tall, wide = part.shape[0] * spacing[1], part.shape[1] * spacing[2]
    return bool(max(tall, wide) <= 2.2 * min(tall, wide) and area >= 0.55 * tall * wide)
