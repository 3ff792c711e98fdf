"""How noisy an image is, and how much denoising took away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import RecipeError
from diaphane.core.volume import Volume

# Laplacian difference mask and its gain (Immerkaer, CVIU 64:300, 1996); the median absolute
# response over 0.6745 replaces his mean, so that edges do not count as noise.
_GAIN = 6.0
_MAD = 0.6745


def noise_sigma(volume: Volume) -> float:
    """Estimated standard deviation of the noise, in the volume's unit.

    Median of the absolute response to Immerkaer's Laplacian over the slices (64 at most,
    evenly taken), flat background left out; 0 for slices smaller than 3 x 3.
    """
    flat = volume.voxels.reshape(-1, *volume.shape[1:])
    if min(volume.shape[1:]) < 3:
        return 0.0
    kept = flat[:: -(-len(flat) // 64)]
    found = [_response(plane.astype(np.float32)) for plane in kept]
    values = np.concatenate(found)
    return float(np.median(values) / (_MAD * _GAIN)) if values.size else 0.0


def _response(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    # Padding and air that was set to one value say nothing about noise.
    return np.asarray(np.abs(both[both != 0]), dtype=np.float32)


@dataclass(frozen=True)
class NoiseFigures:
    """Noise before and after, and what was taken away.

    Attributes
    ----------
    sigma_before, sigma_after:
        Estimated noise (:func:`noise_sigma`), in the volume's unit.
    removed:
        Standard deviation of before minus after.
    residual_structure:
        Correlation of neighbouring pixels in before minus after: near 0 when only white
        noise was taken, towards 1 when anatomy was.
    psnr_before, psnr_after, ssim_before, ssim_after:
        Against a reference, in dB and 0 to 1; ``None`` without one.
    """

    sigma_before: float
    sigma_after: float
    removed: float
    residual_structure: float
    psnr_before: float | None = None
    psnr_after: float | None = None
    ssim_before: float | None = None
    ssim_after: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dict(vars(self))


def noise_figures(before: Volume, after: Volume, reference: Volume | None = None) -> NoiseFigures:
    """Figures of one denoising; the three volumes share their shape.

    Raises
    ------
    RecipeError
        When the reference or the result has another shape.
    """
    others = [after] if reference is None else [after, reference]
    if any(v.voxels.shape != before.voxels.shape for v in others):
        raise RecipeError("Noise figures compare images of one shape.")
    rest = before.voxels.astype(np.float32) - after.voxels.astype(np.float32)
    psnr: list[float | None] = [None, None]
    ssim: list[float | None] = [None, None]
    if reference is not None:
        for i, image in enumerate((before, after)):
            psnr[i], ssim[i] = _likeness(image, reference)
    return NoiseFigures(
        noise_sigma(before),
        noise_sigma(after),
        float(rest.std(dtype=np.float64)),
        _structure(rest),
        psnr[0],
        psnr[1],
        ssim[0],
        ssim[1],
    )


def _structure(rest: NDArray[np.float32]) -> float:
    """Mean correlation of residuals with their right and lower neighbours, at least 0."""
    centred = rest - rest.mean(axis=(-1, -2), keepdims=True)
    power = float((centred.astype(np.float64) ** 2).mean())
    if power == 0 or min(rest.shape[-2:]) < 2:
        return 0.0
    right = float((centred[..., :, 1:] * centred[..., :, :-1]).mean(dtype=np.float64))
    down = float((centred[..., 1:, :] * centred[..., :-1, :]).mean(dtype=np.float64))
    return max(0.0, (right + down) / (2 * power))


def _likeness(image: Volume, reference: Volume) -> tuple[float | None, float | None]:
    from skimage.metrics import structural_similarity

    truth = reference.voxels.astype(np.float64)
    given = image.voxels.astype(np.float64)
    span = float(truth.max() - truth.min())
    error = float(((truth - given) ** 2).mean())
    psnr = None if error == 0 or span == 0 else float(10 * np.log10(span**2 / error))
    if span == 0 or min(image.shape[1:]) < 7:
        return psnr, None
    planes = zip(
        truth.reshape(-1, *image.shape[1:]), given.reshape(-1, *image.shape[1:]), strict=True
    )
    values = [structural_similarity(a, b, data_range=span) for a, b in planes]
    return psnr, float(np.mean(values))
