"""Places in the lungs that look like a nodule or mass, without any training.

Blobs are peaks of the scale-normalised Laplacian of Gaussian over many scales
(Lindeberg, IJCV 30:79, 1998) in the closed lung, whose surroundings are painted as
parenchyma so that the chest wall does not outshine what lies on it. A ball has three
equal curvatures and a vessel one that vanishes (Sato et al., Med Image Anal 2:143,
1998; Li, Sone and Doi, Med Phys 30:2040, 2003). Each blob is grown to its outline,
and what leaves it through its free surface tells a nodule on a vessel from a vessel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diaphane.anatomy.grids import Coarse, Even, Float, Mask, Upright, bounds, dilated
from diaphane.anatomy.likeness import nodule_score, shape_of
from diaphane.anatomy.lungs import LEFT, RIGHT, Lungs, lung_box
from diaphane.anatomy.nodules import grow, segment_nodule
from diaphane.core.volume import Volume

_STEP = 1.25  # mm of the finest even grid
_LEVELS = ((1.25, (1.25, 1.8, 2.6)), (2.5, (3.7, 5.2)), (5.0, (7.4, 10.5, 15.0, 20.0)))
_CONTRAST = 110.0  # HU; weakest peak of the normalised response that is looked at
_BLOBNESS = 0.2  # smallest over largest curvature
_PEAKS = 700
_PARENCHYMA = -850.0
_ABOUT_AIRWAYS = 10.0  # mm
_AERATED = -600.0  # HU
_LARGE = 6.0  # mm radius; larger ones are outlined in full
_SLACK = 0.8  # a small outline is known to a voxel only
SHOWN = 0.6  # score from which a candidate is worth showing


@dataclass(frozen=True)
class Candidate:
    """A place that may be a nodule, and why it was proposed.

    Attributes
    ----------
    index:
        Centre as native index (z, y, x), fractional.
    centre:
        Centre in the patient, (x, y, z) LPS in mm.
    radius_mm:
        Radius of the ball of equal volume.
    score:
        0 to 1, higher is more nodule-like; no probability.
    box:
        Native half-open box ``((z0, z1), (y0, y1), (x0, x1))`` of its outline.
    attachment:
        ``"free"``, ``"pleural"``, ``"mediastinal"`` or ``"vascular"``.
    blobness:
        Smallest over largest curvature at its scale: 1 ball, 0 tube or sheet.
    solidity:
        Volume over that of the ball on its longest axis, 0 to 1.
    exits:
        Cross-section of tissue that leaves its free surface over that of its largest
        inscribed ball: 0 isolated, about 2 a tube.
    aspect:
        Shortest over longest axis of the outline's ellipsoid, 0 to 1.
    wall:
        Share of its surface that lies on the pleura, 0 to 1.
    hilar:
        Share of it that lies within 10 mm of the airways' lumen, 0 to 1.
    mirrored:
        Share of it whose mirror image, about the middle of the chest, is not aerated
        lung either, 0 to 1: hila and great vessels are paired, masses are not.
    contrast:
        Mean HU above parenchyma.
    """

    index: tuple[float, float, float]
    centre: tuple[float, float, float]
    radius_mm: float
    score: float
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    attachment: str
    blobness: float
    solidity: float
    exits: float
    aspect: float
    wall: float
    hilar: float
    mirrored: float
    contrast: float


@dataclass(frozen=True)
class _Level:
    """The lungs on one grid of the pyramid.

    Density; closed lung; mediastinum; what is near airways; and per slice the middle
    of the chest, as mm from the left edge of the first column, nan where a lung is missing.
    """

    step: float
    hu: Float
    hull: Mask
    medial: Mask
    hilar: Mask
    middle: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.hu.shape[0], self.hu.shape[1], self.hu.shape[2]


@dataclass(frozen=True)
class _Peak:
    """A blob: centre in mm within the finest grid, scale, response, blobness."""

    at: NDArray[np.float64]
    sigma: float
    response: float
    blobness: float


def propose_candidates(
    volume: Volume, lungs: Lungs, min_diameter_mm: float = 4.0, limit: int = 30
) -> list[Candidate]:
    """Candidates, best first.

    Parameters
    ----------
    volume:
        The scan, in HU.
    lungs:
        Of :func:`diaphane.anatomy.segment_lungs` on the same scan.
    min_diameter_mm:
        Smaller ones are left out (by the ball of equal volume).
    limit:
        Most that are returned.
    """
    upright = Upright.of(volume.geometry)
    even = Even.over(lung_box(lungs, 6.0), upright.spacing, _STEP)
    levels = _pyramid(upright, volume, lungs, even)
    least = 0.5 * _SLACK * min_diameter_mm
    found: list[Candidate] = []
    for peak in _peaks(levels):
        candidate = _judged(levels, peak, least, even, volume)
        if candidate is not None:
            found.append(candidate)
    found.sort(key=lambda c: -c.score)
    return _distinct(found, volume, lungs, limit)


def _pyramid(upright: Upright, volume: Volume, lungs: Lungs, even: Even) -> list[_Level]:
    """Density and lungs on grids of 1.25, 2.5 and 5 mm."""
    mask = upright.view(lungs.mask)
    hu = np.clip(even.sample(upright.view(np.asarray(volume.voxels))), -1000.0, 200.0)
    sides = even.sample(mask == RIGHT), even.sample(mask == LEFT)
    right, left = sides[0] > 0.5, sides[1] > 0.5
    hull = sides[0] + sides[1] > 0.5
    airways = even.sample(upright.view(lungs.airways)) > 0.2
    hull &= ~ndimage.binary_dilation(airways)
    medial, middle = _medial(right, left), _middle(right, left) * _STEP
    coarse = Coarse((2, 2, 2), even.shape, (2 * _STEP, 2 * _STEP, 2 * _STEP))
    about = coarse.nearest(dilated(coarse.mean(airways) > 0.2, _ABOUT_AIRWAYS, coarse.spacing))
    levels = [_Level(_STEP, hu, hull, medial, about, middle)]
    for step, _ in _LEVELS[1:]:
        last = levels[-1]
        half = Coarse((2, 2, 2), last.shape, (step, step, step))
        hu = half.mean(last.hu)
        hull = half.mean(last.hull) > 0.5
        medial, about = half.mean(last.medial) > 0.5, half.mean(last.hilar) > 0.5
        middle = middle[::2]
        levels.append(_Level(step, hu, hull, medial, about, middle))
    return levels


def _medial(right: Mask, left: Mask) -> Mask:
    """What lies between the lungs in the same axial row: mediastinum and spine."""
    after = np.maximum.accumulate(right, axis=2)
    before = np.maximum.accumulate(left[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.asarray(after & before & ~right & ~left, dtype=bool)


def _middle(right: Mask, left: Mask) -> NDArray[np.float64]:
    """Half way between the lateral ends of both lungs, in columns, for each slice."""
    found = np.full(right.shape[0], np.nan)
    for z in range(right.shape[0]):
        columns, others = np.flatnonzero(right[z].any(axis=0)), np.flatnonzero(left[z].any(axis=0))
        if columns.size and others.size:
            found[z] = 0.5 * float(columns[0] + others[-1]) + 0.5
    return found


def _mirrored(level: _Level, points: NDArray[np.intp]) -> float:
    """Share of ``points`` whose mirror image is no aerated lung; 0 where there is no mirror."""
    middle = level.middle[points[:, 0]]
    known = np.isfinite(middle)
    if not known.any():
        return 0.0
    z, y, x = points[known].T
    other = np.round(2.0 * middle[known] / level.step - x - 1.0).astype(np.intp)
    within = (other >= 0) & (other < level.shape[2])
    at = (z[within], y[within], other[within])
    aerated = level.hull[at] & (level.hu[at] < _AERATED)
    return 1.0 - float(aerated.sum()) / len(z)


def _peaks(levels: list[_Level]) -> list[_Peak]:
    """Maxima of the normalised response in space and scale, strongest first."""
    found: list[_Peak] = []
    for level, (step, sigmas) in zip(levels, _LEVELS, strict=True):
        painted = np.where(level.hull, level.hu, np.float32(_PARENCHYMA))
        for sigma in sigmas:
            smooth = ndimage.gaussian_filter(painted, sigma / step, truncate=3.0)
            response = _bent(smooth)
            response *= np.float32((sigma / step) ** 2)
            at = _maxima(response, level.hull)
            round_ = _blobness(smooth, at)
            for place, shape in zip(at, round_, strict=True):
                if shape >= _BLOBNESS:
                    mm = np.asarray((place + 0.5) * step - 0.5 * _STEP, dtype=np.float64)
                    found.append(_Peak(mm, sigma, float(response[tuple(place)]), float(shape)))
    found.sort(key=lambda p: -p.response * p.blobness)
    return found[:_PEAKS]


def _bent(smooth: Float) -> Float:
    """Minus the Laplacian, in unit steps; the frame mirrors."""
    result = np.float32(6.0) * smooth
    for axis in range(3):
        into, values = np.moveaxis(result, axis, 0), np.moveaxis(smooth, axis, 0)
        into[1:] -= values[:-1]
        into[0] -= values[0]
        into[:-1] -= values[1:]
        into[-1] -= values[-1]
    return result


def _maxima(response: Float, hull: Mask) -> NDArray[np.intp]:
    """Indices ``(n, 3)`` inside ``hull``, above the contrast, that no neighbour exceeds."""
    highest = response
    for axis in range(3):
        values = np.moveaxis(highest, axis, 0)
        highest = highest.copy()
        into = np.moveaxis(highest, axis, 0)
        np.maximum(into[1:], values[:-1], out=into[1:])
        np.maximum(into[:-1], values[1:], out=into[:-1])
    return np.argwhere((response == highest) & (response > _CONTRAST) & hull)


def _blobness(smooth: Float, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Smallest over largest downward curvature at indices ``(n, 3)``; 0 where one is upward."""
    if at.size == 0:
        return np.zeros(0)
    last = np.asarray(smooth.shape) - 2
    p = np.clip(at, 1, last)
    hessian = np.empty((len(p), 3, 3))
    unit = np.eye(3, dtype=np.intp)

    def value(move: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(smooth[tuple((p + move).T)], dtype=np.float64)

    for a in range(3):
        for b in range(a, 3):
            if a == b:
                bent = value(unit[a]) + value(-unit[a]) - 2.0 * value(0 * unit[a])
            else:
                same = value(unit[a] + unit[b]) + value(-unit[a] - unit[b])
                bent = 0.25 * (same - value(unit[a] - unit[b]) - value(unit[b] - unit[a]))
            hessian[:, a, b] = hessian[:, b, a] = bent
    curve = -np.linalg.eigvalsh(hessian)  # descending downward curvature reversed: last is least
    ratio = np.clip(curve[:, 2], 0.0, None) / np.maximum(curve[:, 0], 1e-6)
    return np.asarray(ratio, dtype=np.float64)


def _judged(
    levels: list[_Level], peak: _Peak, least: float, even: Even, volume: Volume
) -> Candidate | None:
    """The candidate at a peak: outline, features and score.

    ``None`` when nothing grows there, or nothing of a radius of ``least`` mm.
    """
    radius = peak.sigma * np.sqrt(3.0)
    level = levels[0] if radius < 7.0 else levels[1]
    at = (peak.at + 0.5 * _STEP) / level.step - 0.5
    reach = (2.0 * radius + 6.0) / level.step
    low = np.maximum(np.floor(at - reach).astype(int), 0)
    high = np.minimum(np.ceil(at + reach).astype(int) + 1, level.hu.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    seed = [
        int(np.clip(round(float(c)), 0, n - 1)) for c, n in zip(at - low, high - low, strict=True)
    ]
    hull = level.hull[box]
    grown = grow(level.hu[box], hull, (seed[0], seed[1], seed[2]), level.step, radius)
    points = np.argwhere(grown.mask)
    ball = (0.75 / np.pi * len(points)) ** (1 / 3) * level.step
    if not len(points) or ball < least:
        return None
    points += low
    shape = shape_of(grown, hull, level.medial[box], level.step)
    inside = level.hu[box][grown.mask]
    contrast = float(inside.mean()) - _PARENCHYMA
    hilar = float(level.hilar[box][grown.mask].mean())
    fine = [
        (p + 0.5) * level.step / _STEP - 0.5 for p in (points.mean(0), points.min(0), points.max(0))
    ]
    mirrored = _mirrored(level, points)
    upright = Upright.of(volume.geometry)
    centre, first, last = (upright.native_index(even.upright_index(p)) for p in fine)
    sides = np.sort(np.stack([first, last]), axis=0)
    limits = [
        (max(0, int(np.floor(a))), min(n, int(np.ceil(b)) + 1))
        for a, b, n in zip(sides[0], sides[1], volume.shape, strict=True)
    ]
    place = volume.geometry.to_patient(centre)
    return Candidate(
        index=(float(centre[0]), float(centre[1]), float(centre[2])),
        centre=(float(place[0]), float(place[1]), float(place[2])),
        radius_mm=float(ball),
        score=nodule_score(peak.blobness, shape, contrast, (hilar, mirrored), float(ball)),
        box=(limits[0], limits[1], limits[2]),
        attachment=shape.attachment,
        blobness=peak.blobness,
        solidity=shape.solidity,
        exits=shape.exits,
        aspect=shape.aspect,
        wall=shape.wall,
        hilar=hilar,
        mirrored=mirrored,
        contrast=contrast,
    )


def _distinct(found: list[Candidate], volume: Volume, lungs: Lungs, limit: int) -> list[Candidate]:
    """The best of those that share a place; large ones are outlined to see what they hold."""
    kept: list[Candidate] = []
    outlines: list[Mask] = []
    for one in found:
        if len(kept) == limit:
            break
        at = np.asarray(one.centre)
        near = any(
            float(np.linalg.norm(at - np.asarray(k.centre))) <= max(one.radius_mm, k.radius_mm)
            for k in kept
        )
        z, y, x = (
            int(np.clip(round(v), 0, n - 1)) for v, n in zip(one.index, volume.shape, strict=True)
        )
        if near or any(mask[z, y, x] for mask in outlines):
            continue
        if one.radius_mm >= _LARGE and one.score >= 0.4 * SHOWN:
            mask = segment_nodule(volume, one.index, lungs, one.radius_mm)
            if mask.any():
                whole = _outlined(one, mask, volume)
                z, y, x = (int(v) for v in whole.index)
                if not any(other[z, y, x] for other in outlines):
                    kept.append(whole)
                outlines.append(mask)
                continue
        kept.append(one)
    return kept


def _outlined(one: Candidate, mask: Mask, volume: Volume) -> Candidate:
    """``one`` with the size, box and centre of its full outline."""
    box = bounds(mask)
    points = np.argwhere(mask[box])
    start = np.asarray([b.start for b in box])
    middle = points.mean(axis=0)
    # The centre is a voxel of the outline even when the outline is bent.
    inner = points[int(np.linalg.norm(points - middle, axis=1).argmin())] + start
    place = volume.geometry.to_patient(inner)
    size = len(points) * float(np.prod(volume.geometry.spacing_mm))
    ends = [(b.start, b.stop) for b in box]
    return replace(
        one,
        index=(float(inner[0]), float(inner[1]), float(inner[2])),
        centre=(float(place[0]), float(place[1]), float(place[2])),
        radius_mm=float((0.75 / np.pi * size) ** (1 / 3)),
        box=(ends[0], ends[1], ends[2]),
    )
