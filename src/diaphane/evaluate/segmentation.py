"""How well labels of voxels fit the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.evaluation import Interval
from diaphane.evaluate.bootstrap import Bootstrap, group_numbers
from diaphane.evaluate.weighted import Floats, divide

METRICS = ("dice", "hd95", "surface_distance", "volume_error")


@dataclass(frozen=True)
class Overlap:
    """One label of one case. Distances in mm (pixels without spacing).

    Attributes
    ----------
    dice:
        2 |A and B| / (|A| + |B|); 0 when only one of the two has the label, ``None`` when
        neither has.
    hd95:
        The larger of the two directed 95th percentiles of surface distance; ``None`` unless
        both have the label.
    surface_distance:
        Mean distance of all surface voxels of both to the other's surface; ``None`` as above.
    volume_error:
        (predicted - true) / true volume; ``None`` when the truth has no such label.
    volume, true_volume:
        In mm³ (voxels without spacing).
    """

    dice: float | None
    hd95: float | None
    surface_distance: float | None
    volume_error: float | None
    volume: float
    true_volume: float

    def to_dict(self) -> dict[str, float | None]:
        """JSON-able form."""
        return dict(vars(self))


def evaluate_segmentation(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    spacing: Sequence[float] | None = None,
    labels: Sequence[int] | None = None,
) -> dict[int, Overlap]:
    """Compare two label maps, label by label.

    Parameters
    ----------
    predicted, truth:
        Integer or boolean labels ``(z, y, x)`` or ``(y, x)``; 0 is background.
    spacing:
        Voxel size in mm in array order; ``None`` measures in voxels.
    labels:
        Which labels; all that occur when ``None``.

    Raises
    ------
    ValueError
        When the shapes differ or the spacing does not fit them.
    """
    a, b = np.asarray(predicted), np.asarray(truth)
    if a.shape != b.shape:
        raise ValueError(f"Labels of {a.shape} and {b.shape} do not lie on one grid.")
    steps = tuple(spacing) if spacing is not None else (1.0,) * a.ndim
    if len(steps) != a.ndim:
        raise ValueError(f"Spacing {steps} does not fit {a.ndim} axes.")
    if labels is None:
        labels = [int(v) for v in np.union1d(np.unique(a), np.unique(b)) if v != 0]
    return {label: _overlap(a == label, b == label, steps) for label in labels}


def _overlap(a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: Sequence[float]) -> Overlap:
    voxel = float(np.prod(spacing))
    size, true_size = int(a.sum()), int(b.sum())
    dice = 2.0 * int((a & b).sum()) / (size + true_size) if size + true_size else None
    error = (size - true_size) / true_size if true_size else None
    if not size or not true_size:
        return Overlap(dice, None, None, error, size * voxel, true_size * voxel)
    there, back = surface_distances(a, b, spacing)
    hd95 = float(max(np.percentile(there, 95), np.percentile(back, 95)))
    mean = float(np.concatenate([there, back]).mean())
    return Overlap(dice, hd95, mean, error, size * voxel, true_size * voxel)


def surface_distances(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[Floats, Floats]:
    """Distance of each surface voxel of ``a`` to the surface of ``b``, and the other way.

    A surface voxel belongs to the mask and has a face neighbour (or the image's edge)
    outside it. Both masks must not be empty.
    """
    from scipy import ndimage

    either = a | b
    box = []
    for axis in range(a.ndim):
        filled = np.flatnonzero(either.any(axis=tuple(i for i in range(a.ndim) if i != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    inside = (a[tuple(box)], b[tuple(box)])
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in inside]
    to_b = ndimage.distance_transform_edt(~edges[1], sampling=spacing)
    to_a = ndimage.distance_transform_edt(~edges[0], sampling=spacing)
    return np.asarray(to_b[edges[0]]), np.asarray(to_a[edges[1]])


def summarise_segmentation(
    cases: Sequence[Mapping[int, Overlap]],
    groups: Sequence[Any] | None = None,
    *,
    names: Mapping[int, str] | None = None,
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Mean of each figure over the cases that define it, as "dice:LABEL", with intervals.

    "dice" and so on without a label are means over labels. Groups are resampled whole.
    """
    labels = sorted({label for case in cases for label in case})
    numbers = group_numbers(groups, len(cases))
    bootstrap = Bootstrap(rounds, level, seed)
    columns = {
        (metric, label): np.array(
            [
                np.nan if label not in case or (v := getattr(case[label], metric)) is None else v
                for case in cases
            ],
            dtype=np.float64,
        )
        for metric in METRICS
        for label in labels
    }

    def measure(weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for metric in METRICS:
            means = []
            for label in labels:
                values = columns[metric, label]
                known = np.isfinite(values)
                part = weights[:, known]
                one = divide(part @ values[known], part.sum(axis=1))
                found[f"{metric}:{(names or {}).get(label, label)}"] = one
                means.append(one)
            stack = np.stack(means)
            defined = np.isfinite(stack)
            top = np.where(defined, stack, 0.0).sum(axis=0)
            found[metric] = divide(top, defined.sum(axis=0).astype(np.float64))
        return found

    if not labels or not cases:
        return {}
    point = measure(np.ones((1, len(cases))))
    draws = bootstrap.draws(measure, numbers)
    return {name: bootstrap.interval(float(v[0]), draws.get(name)) for name, v in point.items()}
