"""How much an outline looks like a nodule: its shape, and a score of all that is known.

The score is a logistic sum with few terms, so that a reader can follow why a place was
proposed and another was not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diaphane.anatomy.grids import Mask, bounds
from diaphane.anatomy.nodules import Grown

# Logistic regression on solid nodules of 4 to 20 mm planted in a real chest CT of 5 mm
# slices and in synthetic chests of 2.5 mm slices; "hilar" and "mirrored" by judgement.
_WEIGHTS = {
    "one": -12.1,
    "blobness": 1.6,
    "solidity": 11.2,
    "exits": -8.9,
    "wall": -12.3,
    "hilar": -8.0,
    "mirrored": -6.0,
    "contrast": 0.81,
    "size": 4.4,
}


@dataclass(frozen=True)
class Shape:
    """What an outline says.

    Attributes
    ----------
    solidity:
        Volume over that of the ball on its longest axis, 0 to 1.
    aspect:
        Shortest over longest axis of its ellipsoid, 0 to 1.
    exits:
        Cross-section of tissue that leaves its free surface, over that of its largest
        inscribed ball: 0 isolated, about 2 a tube.
    wall:
        Share of its surface on the surface of the lung, 0 to 1.
    attachment:
        ``"free"``, ``"pleural"``, ``"mediastinal"`` or ``"vascular"``.
    """

    solidity: float
    aspect: float
    exits: float
    wall: float
    attachment: str


def shape_of(grown: Grown, hull: Mask, medial: Mask, step: float) -> Shape:
    """Shape of a nodule in a patch.

    ``hull`` is the closed lung and ``medial`` what lies between the lungs, both
    ``(z, y, x)`` like the outline; ``step`` is mm per voxel.
    """
    box = bounds(grown.mask, (2, 2, 2))
    mask, free = _framed(grown.mask[box]), _framed(hull[box])
    rim = _grown(mask) & ~mask
    # Along the pleura runs a skin of partly filled voxels; what leaves there is no vessel.
    deep = ~_grown(~free)
    leaving = float(np.count_nonzero(rim & deep & _framed(grown.soft[box]))) * step * step
    section = np.pi * max(grown.inscribed_mm, step) ** 2
    outside = rim & ~free
    wall = float(np.count_nonzero(outside)) / max(1, int(np.count_nonzero(rim)))
    points = np.argwhere(grown.mask).astype(np.float64) * step
    spread = np.cov(points.T) if len(points) > 3 else np.eye(3)
    axes = np.sqrt(5.0 * np.clip(np.linalg.eigvalsh(spread) + step * step / 12.0, 1e-3, None))
    ball = (0.75 / np.pi * len(points)) ** (1 / 3) * step
    inner = bool((outside & _framed(medial[box])).sum() > 0.5 * outside.sum())
    exits = leaving / section
    if wall > 0.08:
        attachment = "mediastinal" if inner else "pleural"
    else:
        attachment = "vascular" if exits > 0.15 else "free"
    return Shape(
        solidity=float(min(1.0, (ball / axes[2]) ** 3)),
        aspect=float(axes[0] / axes[2]),
        exits=float(exits),
        wall=wall,
        attachment=attachment,
    )


def _framed(mask: Mask) -> Mask:
    """``mask`` with two empty voxels on all sides."""
    result = np.zeros([n + 4 for n in mask.shape], dtype=bool)
    result[2:-2, 2:-2, 2:-2] = mask
    return result


def _grown(mask: Mask) -> Mask:
    """``mask`` and the six neighbours of each of its voxels."""
    result = mask.copy()
    for axis in range(3):
        along, into = np.moveaxis(mask, axis, 0), np.moveaxis(result, axis, 0)
        into[1:] |= along[:-1]
        into[:-1] |= along[1:]
    return result


def nodule_score(
    blobness: float, shape: Shape, contrast: float, central: tuple[float, float], radius: float
) -> float:
    """Score from 0 to 1, no probability; see ``_WEIGHTS``.

    Parameters
    ----------
    blobness:
        Smallest over largest curvature, 0 to 1.
    shape:
        Of the outline.
    contrast:
        Mean HU above parenchyma.
    central:
        Share near the airways, and share whose mirror image is not aerated.
    radius:
        Of the ball of equal volume, mm.
    """
    # A mass lies on the pleura with most of its surface; for a small nodule that is odd.
    # The roots of the lungs are as large as masses, and lie about the airways.
    values = {
        "one": 1.0,
        "blobness": blobness,
        "solidity": shape.solidity,
        "exits": float(np.log1p(shape.exits)),
        "wall": (shape.wall * min(1.0, 5.0 / radius)) ** 2,
        "hilar": central[0] * min(1.0, radius / 10.0) ** 2,
        "mirrored": central[1] * min(1.0, radius / 10.0) ** 2,
        "contrast": contrast / 100.0,
        "size": float(np.log(min(radius, 8.0))),
    }
    return float(1.0 / (1.0 + np.exp(-sum(_WEIGHTS[k] * v for k, v in values.items()))))
