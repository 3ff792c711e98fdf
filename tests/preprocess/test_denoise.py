"""Taking noise off, and saying how much."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.core.errors import MissingSpacing, RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import (
    denoise_gaussian,
    denoise_median,
    denoise_nlm,
    denoise_tv,
    noise_figures,
    noise_sigma,
)

GRID = Geometry.axial((3, 96, 96), (3.0, 1.0, 1.0))


def clean() -> Volume:
    """Discs on a slope: edges, flat parts and a gradient."""
    y, x = np.mgrid[:96, :96]
    plane = 0.5 * x + 200.0 * ((y - 40) ** 2 + (x - 40) ** 2 < 400)
    plane += 120.0 * ((y - 70) ** 2 + (x - 70) ** 2 < 150)
    return Volume(np.stack([plane] * 3).astype(np.float32), GRID, "CT", "HU")


def noisy(sigma=12.0) -> Volume:
    noise = np.random.default_rng(1).normal(0, sigma, (3, 96, 96))
    return clean().with_voxels((clean().voxels + noise).astype(np.float32))


@pytest.mark.parametrize("sigma", [2.0, 12.0, 30.0])
def test_noise_is_estimated_within_a_tenth(sigma):
    assert noise_sigma(noisy(sigma)) == pytest.approx(sigma, rel=0.1)


def test_no_noise_in_small_or_flat_images():
    assert noise_sigma(Volume(np.ones((1, 2, 9)), Geometry((1, 2, 9)))) == 0
    flat = Volume(np.ones((1, 9, 9)), Geometry((1, 9, 9)))
    assert noise_sigma(flat) == 0
    assert np.array_equal(denoise_nlm(flat).voxels, flat.voxels)
    assert np.array_equal(denoise_tv(flat).voxels, flat.voxels)


@pytest.mark.parametrize(
    ("method", "gain"), [(denoise_median, 2), (denoise_nlm, 8), (denoise_tv, 5)]
)
def test_every_method_comes_nearer_to_the_truth(method, gain):
    before = noisy()
    found = noise_figures(before, method(before), clean())
    assert found.psnr_after > found.psnr_before + gain
    assert found.ssim_after > found.ssim_before
    assert found.sigma_after < 0.6 * found.sigma_before


def test_edge_keeping_methods_take_less_anatomy_than_a_gaussian():
    before = noisy()
    blurred = noise_figures(before, denoise_gaussian(before, 2.0)).residual_structure
    kept = noise_figures(before, denoise_nlm(before)).residual_structure
    assert kept < 0.15 < blurred


def test_gaussian_in_mm_is_gaussian_in_pixels_over_spacing():
    volume = noisy()
    half = Volume(volume.voxels, Geometry.axial(volume.shape, (3.0, 0.5, 0.5)))
    in_mm = denoise_gaussian(half, sigma_mm=1.0).voxels
    assert np.array_equal(in_mm, denoise_gaussian(volume, 2.0).voxels)
    with pytest.raises(MissingSpacing):
        denoise_gaussian(Volume(volume.voxels, Geometry(volume.shape)), sigma_mm=1.0)


def test_median_keeps_type_and_takes_off_single_pixels():
    pixels = np.full((1, 9, 9), 50, np.uint8)
    pixels[0, 4, 4] = 255
    out = denoise_median(Volume(pixels, Geometry((1, 9, 9))))
    assert out.voxels.dtype == np.uint8
    assert (out.voxels == 50).all()


def test_figures_refuse_other_shapes():
    other = Volume(np.zeros((1, 4, 4)), Geometry((1, 4, 4)))
    with pytest.raises(RecipeError):
        noise_figures(noisy(), other)
    same = noise_figures(clean(), clean(), clean())
    assert (same.removed, same.residual_structure, same.psnr_after) == (0, 0, None)
    assert same.ssim_after == pytest.approx(1)
