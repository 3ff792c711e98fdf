"""Steps that take noise off, slice by slice unless said."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import RecipeError
from diaphane.core.volume import Array, Volume
from diaphane.preprocess.noise import noise_sigma
from diaphane.preprocess.step import Applied

Plane = NDArray[np.float32]


def denoise_median(volume: Volume, size: int = 3, *, threads: int | None = None) -> Volume:
    """Median of the ``size`` x ``size`` pixels around each; keeps the voxel type.

    Takes off single bad pixels and keeps straight edges.
    """
    from scipy import ndimage

    return _by_plane(volume, lambda p: np.asarray(ndimage.median_filter(p, size)), threads)


def denoise_gaussian(
    volume: Volume,
    sigma: float = 1.0,
    *,
    sigma_mm: float | None = None,
    threads: int | None = None,
) -> Volume:
    """Gaussian smoothing within slices; ``sigma`` in pixels or ``sigma_mm`` in mm. Float32.

    Raises
    ------
    MissingSpacing
        When ``sigma_mm`` is given and the spacing is unknown.
    """
    from scipy import ndimage

    width: tuple[float, float] = (sigma, sigma)
    if sigma_mm is not None:
        _, dy, dx = volume.geometry.spacing_mm
        width = (sigma_mm / dy, sigma_mm / dx)

    def smooth(plane: Array) -> Array:
        return np.asarray(ndimage.gaussian_filter(plane.astype(np.float32), width))

    return _by_plane(volume, smooth, threads)


def denoise_nlm(
    volume: Volume,
    strength: float = 0.8,
    *,
    patch: int = 5,
    reach: int = 6,
    threads: int | None = None,
) -> Volume:
    """Non-local means (Buades 2005; Darbon 2008) within slices. Float32.

    Each pixel becomes a mean of pixels up to ``reach`` away whose ``patch`` looks alike;
    ``strength`` is the filter's h in units of the estimated noise.
    """
    from skimage.restoration import denoise_nl_means

    sigma = noise_sigma(volume)
    if sigma <= 0:
        return volume.with_voxels(volume.voxels.astype(np.float32))

    def average(plane: Array) -> Array:
        return np.asarray(
            denoise_nl_means(
                plane.astype(np.float32),
                patch_size=patch,
                patch_distance=reach,
                h=strength * sigma,
                sigma=sigma,
                fast_mode=True,
                preserve_range=True,
            ),
            dtype=np.float32,
        )

    return _by_plane(volume, average, threads)


def denoise_tv(volume: Volume, strength: float = 1.0, *, threads: int | None = None) -> Volume:
    """Total variation (Rudin 1992, solved after Chambolle 2004) within slices. Float32.

    ``strength`` is the weight of the variation in units of the estimated noise.
    """
    from skimage.restoration import denoise_tv_chambolle

    sigma = noise_sigma(volume)
    if sigma <= 0:
        return volume.with_voxels(volume.voxels.astype(np.float32))

    def flatten(plane: Array) -> Array:
        # In units of the noise, so that the solver's tolerance fits any range of values.
        scaled = plane.astype(np.float32) / np.float32(sigma)
        smooth = denoise_tv_chambolle(scaled, weight=strength, eps=1e-4, max_num_iter=100)
        return np.asarray(smooth * sigma, dtype=np.float32)

    return _by_plane(volume, flatten, threads)


def _by_plane(volume: Volume, work: Callable[[Array], Array], threads: int | None) -> Volume:
    flat = volume.voxels.reshape(-1, *volume.shape[1:])
    workers = min(threads or os.cpu_count() or 1, len(flat))
    with ThreadPoolExecutor(workers) as pool:
        planes = list(pool.map(work, flat))
    return volume.with_voxels(np.stack(planes).reshape(volume.voxels.shape))


@dataclass(frozen=True)
class DenoiseMedian:
    """See :func:`denoise_median`."""

    size: int = 3
    name: ClassVar[str] = "denoise_median"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise RecipeError(f"A median needs a size of at least 1, not {self.size}.")

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; the mask stays as it is."""
        return Applied(denoise_median(volume, self.size, threads=threads), mask, None)


@dataclass(frozen=True)
class DenoiseGaussian:
    """See :func:`denoise_gaussian`."""

    sigma: float = 1.0
    sigma_mm: float | None = None
    name: ClassVar[str] = "denoise_gaussian"

    def __post_init__(self) -> None:
        if self.sigma <= 0 or (self.sigma_mm is not None and self.sigma_mm <= 0):
            raise RecipeError("A Gaussian needs a width above zero.")

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; the mask stays as it is."""
        smooth = denoise_gaussian(volume, self.sigma, sigma_mm=self.sigma_mm, threads=threads)
        return Applied(smooth, mask, None)


@dataclass(frozen=True)
class DenoiseNlm:
    """See :func:`denoise_nlm`."""

    strength: float = 0.8
    patch: int = 5
    reach: int = 6
    name: ClassVar[str] = "denoise_nlm"

    def __post_init__(self) -> None:
        if self.strength <= 0 or self.patch < 1 or self.reach < 1:
            raise RecipeError("Non-local means needs a strength, patch and reach above zero.")

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; the mask stays as it is."""
        smooth = denoise_nlm(
            volume, self.strength, patch=self.patch, reach=self.reach, threads=threads
        )
        return Applied(smooth, mask, None)


@dataclass(frozen=True)
class DenoiseTv:
    """See :func:`denoise_tv`."""

    strength: float = 1.0
    name: ClassVar[str] = "denoise_tv"

    def __post_init__(self) -> None:
        if self.strength <= 0:
            raise RecipeError(f"Total variation needs a strength above zero, not {self.strength}.")

    def apply(self, volume: Volume, mask: Volume | None, threads: int | None = None) -> Applied:
        """Do the step; the mask stays as it is."""
        return Applied(denoise_tv(volume, self.strength, threads=threads), mask, None)
