"""Concepts: numbers about an outlined region that an expert can check, by name.

The registry ``CONCEPTS`` is the whole vocabulary. Training, bundles and findings all call
``concepts`` here, so the same pixels give the same float everywhere. Lengths are in pixels and
slices because a stack may have no known spacing; bring images to the training scale first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from diaphane.core.errors import InvalidVoxels, UsageError
from diaphane.measure.outline import FloatArray
from diaphane.measure.region import Region, sphericity

BRIGHT = 0.98
"""Intensity from which a pixel of a 0..1 image counts as saturated."""


@dataclass(frozen=True)
class Concept:
    """One number about a region.

    Attributes
    ----------
    name:
        identifier, also the column and report name.
    description:
        what it is, in one line.
    unit:
        ``px``, ``px2``, ``px3``, ``slices``, ``grey`` (the image's own unit) or ``1``.
    formula:
        how it is computed from the mask ``m`` and image ``f``.
    compute:
        the formula in code.
    """

    name: str
    description: str
    unit: str
    formula: str
    compute: Callable[[Region], float]


def concept_names() -> tuple[str, ...]:
    """Names of all concepts, in the order of the registry."""
    return tuple(CONCEPTS)


def concepts(
    names: Sequence[str], image: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Concepts of one region.

    Parameters
    ----------
    names:
        registered names, any order; ``()`` is allowed.
    image:
        ``(T, H, W)``, in 0..1 where the concepts of texture are to mean something.
    mask:
        ``(T, H, W)`` bool.

    Returns
    -------
    numpy.ndarray
        ``(len(names),)`` in the order of ``names``; all NaN ("not given") when the mask is empty.

    Raises
    ------
    UsageError
        a name is not registered; the message lists the known ones.
    InvalidVoxels
        the shapes differ or are not ``(T, H, W)``.
    """
    unknown = [name for name in names if name not in CONCEPTS]
    if unknown:
        raise UsageError(
            f"unknown concepts: {', '.join(unknown)}.", remedy=f"Known are: {', '.join(CONCEPTS)}."
        )
    if image.ndim != 3 or image.shape != mask.shape:
        raise InvalidVoxels(
            f"image and mask must both be (T, H, W): {image.shape} and {mask.shape}"
        )
    if not mask.any():
        return np.full(len(names), np.nan, dtype=np.float32)
    region = Region(image, mask)
    return np.array([CONCEPTS[name].compute(region) for name in names], dtype=np.float32)


def _centroid_drift(region: Region) -> float:
    centres = []
    for plane in region.mask:
        y, x = np.nonzero(plane)
        if y.size:
            centres.append((y.mean(), x.mean()))
    if len(centres) < 2:
        return 0.0
    steps = np.diff(np.array(centres), axis=0)
    return float(np.hypot(steps[:, 0], steps[:, 1]).mean())


def _entropy(values: FloatArray) -> float:
    counts, _ = np.histogram(values, bins=32, range=(0.0, 1.0))
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum())


def _skewness(values: FloatArray) -> float:
    spread = float(values.std())
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread > 1e-9 else 0.0


def _mean_or(values: FloatArray, otherwise: float) -> float:
    return float(values.mean()) if values.size else otherwise


def _std_or_zero(values: FloatArray) -> float:
    return float(values.std()) if values.size else 0.0


def _texture_correlation(pairs: FloatArray) -> float:
    if len(pairs) < 2:
        return 0.0
    spread = pairs.std(axis=0)
    if spread.min() < 1e-9:
        return 0.0
    centred = pairs - pairs.mean(axis=0)
    return float((centred[:, 0] * centred[:, 1]).mean() / (spread[0] * spread[1]))


_TABLE = (
    Concept(
        "diameter",
        "longest diameter in any slice",
        "px",
        "max |p-q| over outline points",
        lambda r: r.axes.long_axis,
    ),
    Concept(
        "short_axis",
        "longest width at right angles to the diameter",
        "px",
        "longest chord of the hull perpendicular to the diameter",
        lambda r: r.axes.short_axis,
    ),
    Concept(
        "area",
        "area of the largest section",
        "px2",
        "max_t sum_x m",
        lambda r: float(r.areas.max()),
    ),
    Concept(
        "equivalent_diameter",
        "diameter of the disc of the largest section's area",
        "px",
        "sqrt(4 area / pi)",
        lambda r: float(np.sqrt(4.0 * r.areas.max() / np.pi)),
    ),
    Concept("volume", "number of voxels", "px3", "sum m", lambda r: float(r.areas.sum())),
    Concept(
        "log_volume",
        "natural logarithm of the number of voxels",
        "1",
        "log(sum m)",
        lambda r: float(np.log(r.areas.sum())),
    ),
    Concept(
        "log_area",
        "natural logarithm of the largest section's area",
        "1",
        "log(area)",
        lambda r: float(np.log(r.areas.max())),
    ),
    Concept(
        "slices",
        "number of slices it touches",
        "slices",
        "sum_t [area_t > 0]",
        lambda r: float((r.areas > 0).sum()),
    ),
    Concept(
        "mean_area_share",
        "how cylindrical: mean section over largest section",
        "1",
        "mean_t area_t / area",
        lambda r: float(r.areas[r.areas > 0].mean() / r.areas.max()),
    ),
    Concept(
        "circularity",
        "roundness of the largest section; 1 for a disc",
        "1",
        "4 pi area / perimeter^2 (Crofton perimeter)",
        lambda r: float(4.0 * np.pi * r.areas.max() / r.perimeter**2),
    ),
    Concept(
        "solidity",
        "area over convex area of the largest section; dents lower it",
        "1",
        "area / hull area",
        lambda r: float(r.areas.max() / r.hull_area),
    ),
    Concept(
        "elongation",
        "short axis over long axis",
        "1",
        "short_axis / diameter",
        lambda r: r.axes.short_axis / r.axes.long_axis,
    ),
    Concept(
        "radial_deviation",
        "irregularity of the outline around its centre",
        "1",
        "std / mean of centroid-to-outline distances",
        lambda r: float(r.radii.std() / r.radii.mean()),
    ),
    Concept(
        "spiculation",
        "share of the largest section in thin parts",
        "1",
        "1 - |opening by a disc of half the greatest depth| / area",
        lambda r: r.opened,
    ),
    Concept(
        "sphericity",
        "surface of the ball of equal volume over its surface",
        "1",
        "pi^(1/3) (6 V)^(2/3) / A of the mesh, slices one pixel high",
        lambda r: sphericity(*r.surface),
    ),
    Concept(
        "drift",
        "mean in-plane shift of the centroid from slice to slice",
        "px",
        "mean_t |centroid_(t+1) - centroid_t|",
        _centroid_drift,
    ),
    Concept("mean_intensity", "mean intensity", "grey", "mean f", lambda r: float(r.values.mean())),
    Concept(
        "intensity_spread",
        "standard deviation of intensity",
        "grey",
        "std f",
        lambda r: float(r.values.std()),
    ),
    Concept(
        "low_intensity",
        "10th percentile of intensity",
        "grey",
        "p10 f",
        lambda r: float(np.percentile(r.values, 10)),
    ),
    Concept(
        "median_intensity",
        "median intensity",
        "grey",
        "p50 f",
        lambda r: float(np.median(r.values)),
    ),
    Concept(
        "high_intensity",
        "90th percentile of intensity",
        "grey",
        "p90 f",
        lambda r: float(np.percentile(r.values, 90)),
    ),
    Concept(
        "skewness",
        "asymmetry of the intensities",
        "1",
        "mean ((f - mean) / std)^3",
        lambda r: _skewness(r.values),
    ),
    Concept(
        "entropy",
        "spread of the histogram of intensity (32 bins in 0..1)",
        "1",
        "-sum p log2 p",
        lambda r: _entropy(r.values),
    ),
    Concept(
        "bright_share",
        "share of saturated pixels, as in calcification",
        "1",
        f"mean [f >= {BRIGHT}]",
        lambda r: float((r.values >= BRIGHT).mean()),
    ),
    Concept(
        "core_intensity",
        "mean intensity of the deeper half",
        "grey",
        "mean f over the core",
        lambda r: _mean_or(r.core, float(r.values.mean())),
    ),
    Concept(
        "core_spread",
        "standard deviation of intensity off the outline",
        "grey",
        "std f over pixels not on the outline",
        lambda r: _std_or_zero(r.inner),
    ),
    Concept(
        "rim_intensity",
        "mean intensity of the outermost pixels",
        "grey",
        "mean f over the rim",
        lambda r: _mean_or(r.rim, float(r.values.mean())),
    ),
    Concept(
        "rim_spread",
        "standard deviation of intensity on the outline",
        "grey",
        "std f over the rim",
        lambda r: _std_or_zero(r.rim),
    ),
    Concept(
        "rim_contrast",
        "core minus rim intensity: a sharp margin has little inside it",
        "grey",
        "core_intensity - rim_intensity",
        lambda r: _mean_or(r.core, float(r.values.mean())) - _mean_or(r.rim, 0.0),
    ),
    Concept(
        "margin_step",
        "brightening per pixel inwards of the outline",
        "grey",
        "mean of f(deeper neighbour) - f over the rim",
        lambda r: _mean_or(r.steps, 0.0),
    ),
    Concept(
        "margin_spread",
        "unevenness of the margin",
        "grey",
        "std of the same steps",
        lambda r: _std_or_zero(r.steps),
    ),
    Concept(
        "local_contrast",
        "mean difference of neighbours off the outline",
        "grey",
        "mean |f(x) - f(x+1)| off the outline",
        lambda r: r.local_contrast,
    ),
    Concept(
        "texture_contrast",
        "co-occurrence contrast (Haralick 1973), 16 levels",
        "1",
        "mean (i - j)^2 over neighbours",
        lambda r: _mean_or(((r.pairs[:, 0] - r.pairs[:, 1]) ** 2), 0.0),
    ),
    Concept(
        "texture_homogeneity",
        "co-occurrence homogeneity, 16 levels",
        "1",
        "mean 1 / (1 + |i - j|)",
        lambda r: _mean_or(1.0 / (1.0 + np.abs(r.pairs[:, 0] - r.pairs[:, 1])), 1.0),
    ),
    Concept(
        "texture_correlation",
        "correlation of neighbouring grey levels",
        "1",
        "corr(i, j) over neighbours",
        lambda r: _texture_correlation(r.pairs),
    ),
)

CONCEPTS: Mapping[str, Concept] = MappingProxyType({concept.name: concept for concept in _TABLE})
"""Every concept by name; read-only."""
