"""Body, lungs and airways of a chest CT by classical, inspectable steps.

Body, then the air in it, minus the airways, split into right and left, closed to
the pleura (:mod:`diaphane.anatomy.hull`): the outline of Hu, Hoffman and Reinhardt
(IEEE TMI 20:490, 2001) with a closing that keeps nodules and masses on the pleura.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from diaphane.anatomy.airways import segment_airways
from diaphane.anatomy.grids import (
    Coarse,
    Float,
    Mask,
    Triple,
    Upright,
    bounds,
    dilated,
    eroded,
    opened,
)
from diaphane.anatomy.hull import close_lung
from diaphane.core.errors import InvalidVoxels, NoLungs, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

RIGHT, LEFT = 1, 2

_TISSUE_HU = -450.0  # half way from parenchyma (-850) to soft tissue (0 to 50)
_GAS_HU = -965.0  # bowel gas and room air lie below, parenchyma even in emphysema above
_PIECE = 0.1  # share of the largest piece of tissue that makes another piece of the body
_BETWEEN = 0.9  # share of lung at the frame that the trunk's convex hull holds
_DEEP = 5.0  # mm; a lung holds a ball of twice that, a gap under the back does not
_LUNG_ML = 60.0  # a smaller airspace is not called a lung
_BONE_HU, _BONE_ML = 220.0, 5.0
_SECOND_LUNG = 0.08  # share of the airspace that makes a second lung


@dataclass(frozen=True)
class Lungs:
    """Where the lungs are, on the grid of the volume.

    Attributes
    ----------
    mask:
        ``(z, y, x)`` uint8: 1 the patient's right lung, 2 the left one, with the
        vessels, nodules and masses inside the pleura; airways of the mediastinum
        are outside.
    airways:
        ``(z, y, x)`` bool: lumen of trachea and bronchi.
    body:
        ``(z, y, x)`` bool: the patient without table and clothes.
    geometry:
        The grid of all three.
    """

    mask: NDArray[np.uint8]
    airways: Mask
    body: Mask
    geometry: Geometry

    @property
    def volume_ml(self) -> tuple[float, float]:
        """Volume of the right and the left lung in ml."""
        voxel = float(np.prod(self.geometry.spacing_mm)) / 1000.0
        counts = np.bincount(self.mask.ravel(), minlength=3)
        return float(counts[RIGHT]) * voxel, float(counts[LEFT]) * voxel


def body_mask(hu: Float, spacing: Triple) -> Mask:
    """The patient, filled in every axial slice, without table and clothes.

    Parameters
    ----------
    hu:
        Upright array ``(z, y, x)`` in HU.
    spacing:
        mm per voxel ``(z, y, x)``.

    Returns
    -------
    Mask of the same shape. Lung that touches the frame of a cropped field of view
    counts as body, room air does not; empty when there is no tissue.
    """
    grid = Coarse.toward((hu.shape[0], hu.shape[1], hu.shape[2]), spacing, 3.0)
    return grid.smooth(_coarse_body(grid.mean(hu), grid.spacing))


def _coarse_body(hu: Float, spacing: Triple) -> Mask:
    tissue = hu > _TISSUE_HU
    labels, count = ndimage.label(opened(tissue, 6.0, spacing))
    if count == 0:
        return np.zeros_like(tissue)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    # A narrow field of view cuts the chest into a front and a back.
    trunk = np.asarray((sizes >= _PIECE * sizes.max())[labels] & (labels > 0), dtype=bool)
    near = dilated(trunk, 4.0, spacing) & tissue
    body = np.zeros_like(tissue)
    for z in range(hu.shape[0]):
        body[z] = _fill_slice(near[z], hu[z])
    return body


def _fill_slice(tissue: Mask, hu: Float) -> Mask:
    """Fill one axial slice; open air at its frame stays out unless it is parenchyma."""
    if not tissue.any():
        return tissue
    labels, count = ndimage.label(~tissue)
    frame = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside = np.zeros(count + 1, dtype=bool)
    outside[frame] = True
    outside[0] = False
    for number in frame[frame > 0]:
        part = labels == number
        deep = ndimage.binary_erosion(part, iterations=2, border_value=1)
        # Foam in a table is as light as lung, but does not lie between parts of the trunk.
        outside[number] = not (
            deep.any()
            and _is_parenchyma(hu[deep])
            and float(convex_hull_image(tissue)[part].mean()) > _BETWEEN
        )
    return np.asarray(~outside[labels], dtype=bool)


def _is_parenchyma(values: Float) -> bool:
    """Whether an airspace has the density of lung rather than of free gas."""
    return bool(_GAS_HU < float(np.median(values)) < -500.0)


def segment_lungs(volume: Volume) -> Lungs:
    """Right and left lung, airways and body of a CT.

    Parameters
    ----------
    volume:
        ``(z, y, x)`` in HU, with a known place in the patient, any axis order or
        flip, a part of the chest or more than the chest.

    Raises
    ------
    NoLungs
        When no lung is in the field of view.
    NotApplicable
        When the volume is not in HU.
    InvalidVoxels
        When it holds NaN or infinite values.
    MissingSpacing
        When spacing or place are unknown.
    """
    if volume.unit != "HU":
        raise NotApplicable(f"Lungs are sought in CT in HU, and this volume is in '{volume.unit}'.")
    upright = Upright.of(volume.geometry)
    native = np.asarray(volume.voxels)
    hu = upright.view(native)
    work = Coarse.toward(upright.shape, upright.spacing, 1.6)
    dense = work.mean(hu)
    if not np.isfinite(dense).all():
        raise InvalidVoxels("The scan holds NaN or infinite values.")
    dense = np.clip(dense, -1024.0, 3071.0)
    right, left, airways, body = _segment(dense, work.spacing)
    mask = np.zeros(upright.shape, dtype=np.uint8)
    for label, side in ((RIGHT, right), (LEFT, left)):
        mask[work.smooth(side)] = label
    lumen = work.smooth(airways)
    mask[lumen] = 0
    return Lungs(
        upright.back(mask), upright.back(lumen), upright.back(work.smooth(body)), volume.geometry
    )


def _segment(hu: Float, spacing: Triple) -> tuple[Mask, Mask, Mask, Mask]:
    """Right lung, left lung, airways and body on the working grid."""
    body = body_mask(hu, spacing)
    air = (hu < _TISSUE_HU) & body
    airways = segment_airways(hu, body, spacing)
    space = air & ~_walled(airways, spacing)
    right, left = _split(_lung_space(space, hu, spacing), body, spacing)
    if not (right.any() or left.any()):
        raise NoLungs("No lungs are in the field of view.")
    blocked = airways | ~body | _skeleton(hu, spacing)
    closed_right = close_lung(right, left, blocked, hu, spacing) if right.any() else right
    closed_left = close_lung(left, right, blocked, hu, spacing) if left.any() else left
    closed_left &= ~closed_right
    return closed_right, closed_left, airways, body


def _skeleton(hu: Float, spacing: Triple) -> Mask:
    """Bone in large pieces; a calcified nodule is smaller."""
    labels, _ = ndimage.label(hu > _BONE_HU)
    sizes = np.bincount(labels.ravel()) * (float(np.prod(spacing)) / 1000.0)
    sizes[0] = 0.0
    return np.asarray((sizes > _BONE_ML)[labels], dtype=bool)


def _walled(airways: Mask, spacing: Triple) -> Mask:
    """Airways with their walls: grown by 1.5 mm and one voxel."""
    if not airways.any():
        return airways
    reach = 1.5 + max(spacing[1:])
    z, y, x = (int(np.ceil(reach / s)) for s in spacing)
    box = bounds(airways, (z, y, x))
    result = airways.copy()
    result[box] = dilated(airways[box], reach, spacing)
    return result


def _lung_space(space: Mask, hu: Float, spacing: Triple) -> Mask:
    """Components of the air in the body that are lung: large enough, and not free gas."""
    voxel = float(np.prod(spacing)) / 1000.0
    labels, _ = ndimage.label(space)
    sizes = np.bincount(labels.ravel()) * voxel
    sizes[0] = 0.0
    lung = np.zeros_like(space)
    total = 0.0
    for number in np.flatnonzero(sizes >= max(2.0, 0.01 * float(sizes.sum()))):
        box = ndimage.find_objects((labels == number).astype(np.uint8))[0]
        part = labels[box] == number
        deep = eroded(part, _DEEP, spacing)
        if not deep.any():
            continue
        if _is_parenchyma(hu[box][deep]):
            lung[box] |= part
            total += float(sizes[number])
    return lung if total >= _LUNG_ML else np.zeros_like(space)


def _split(lung: Mask, body: Mask, spacing: Triple) -> tuple[Mask, Mask]:
    """Right and left part of an airspace; thin contact at the junction lines is cut."""
    if not lung.any():
        return lung, lung.copy()
    grid = Coarse.toward((lung.shape[0], lung.shape[1], lung.shape[2]), spacing, 3.0)
    coarse = grid.mean(lung.astype(np.float32)) > 0.5
    depth = ndimage.distance_transform_edt(np.pad(coarse, 1), sampling=grid.spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    for radius in (0.0, 3.0, 5.0, 7.0, 10.0, 13.0):
        labels, _ = ndimage.label(depth > radius)
        sizes = np.bincount(labels.ravel()).astype(np.float64)
        sizes[0] = 0.0
        order = np.argsort(sizes)[::-1]
        if len(order) > 1 and sizes[order[1]] > _SECOND_LUNG * sizes.sum():
            break
    else:
        return _one_sided(lung, body)
    seeds = np.zeros(coarse.shape, dtype=np.uint8)
    seeds[labels == order[0]] = 1
    seeds[labels == order[1]] = 2
    nearest = ndimage.distance_transform_edt(
        seeds == 0, sampling=grid.spacing, return_distances=False, return_indices=True
    )
    owner = grid.nearest(seeds[tuple(nearest)])
    first, second = lung & (owner == 1), lung & (owner == 2)
    # Right is the one nearer the patient's right, compared where both exist.
    swap = _mean_x(first) > _mean_x(second)
    return (second, first) if swap else (first, second)


def _one_sided(lung: Mask, body: Mask) -> tuple[Mask, Mask]:
    """A single airspace goes to the side of the body on which it lies."""
    empty = np.zeros_like(lung)
    levels = lung.any(axis=(1, 2))
    return (lung, empty) if _mean_x(lung) < _mean_x(body[levels]) else (empty, lung)


def _mean_x(mask: Mask) -> float:
    counts = mask.sum(axis=(0, 1)).astype(np.float64)
    return float((counts * np.arange(counts.size)).sum() / max(1.0, counts.sum()))


def locate(lungs: Lungs, centre: ArrayLike) -> tuple[str, str]:
    """Side (``"right"``, ``"left"``) and third (``"upper"``, ``"middle"``, ``"lower"``).

    Parameters
    ----------
    lungs:
        Of :func:`segment_lungs`.
    centre:
        Patient position (x, y, z) LPS in mm. A point outside both lungs belongs to
        the nearer one. Thirds divide the height of that lung in the field of view.
    """
    upright = Upright.of(lungs.geometry)
    mask = upright.view(lungs.mask)
    at = upright.index(lungs.geometry.to_index(centre))
    grid = Coarse.toward(upright.shape, upright.spacing, 5.0)
    step = tuple(slice(f // 2, None, f) for f in grid.factor)
    points = np.argwhere(mask[step] > 0)
    fine = points * np.asarray(grid.factor) + np.asarray([f // 2 for f in grid.factor])
    gaps = np.linalg.norm((fine - at) * np.asarray(upright.spacing), axis=1)
    label = int(mask[step][tuple(points[int(gaps.argmin())])])
    levels = np.flatnonzero((mask == label).any(axis=(1, 2)))
    low, high = float(levels[0]) - 0.5, float(levels[-1]) + 0.5
    share = (float(at[0]) - low) / (high - low)
    third = "lower" if share < 1 / 3 else "middle" if share < 2 / 3 else "upper"
    return ("right" if label == RIGHT else "left"), third


def lung_box(lungs: Lungs, margin_mm: float) -> tuple[slice, slice, slice]:
    """Upright box around both lungs with a margin in mm."""
    upright = Upright.of(lungs.geometry)
    steps = upright.spacing
    pad = [int(np.ceil(margin_mm / s)) for s in steps]
    return bounds(upright.view(lungs.mask) > 0, (pad[0], pad[1], pad[2]))
