"""Preprocessing: steps as pure functions, and the recipe that records them."""

from __future__ import annotations

from diaphane.core.saving import volume_format, voxels_like, write_volume
from diaphane.preprocess.denoise import (
    denoise_gaussian,
    denoise_median,
    denoise_nlm,
    denoise_tv,
)
from diaphane.preprocess.grid import (
    crop,
    crop_foreground,
    crop_or_pad,
    limit_slices,
    orient,
    pad,
    thin_slices,
)
from diaphane.preprocess.intensity import (
    clip,
    grey,
    masked_background,
    minmax,
    percentile,
    rescale_intensity,
    window,
    zscore,
)
from diaphane.preprocess.noise import NoiseFigures, noise_figures, noise_sigma
from diaphane.preprocess.passage import Interpolation, Passage, axis_passage, carry, passage_to
from diaphane.preprocess.recipe import STEPS, Prepared, Recipe, Trace, make_step
from diaphane.preprocess.spacing import resample, resize
from diaphane.preprocess.step import Applied, Step

__all__ = [
    "STEPS",
    "Applied",
    "Interpolation",
    "NoiseFigures",
    "Passage",
    "Prepared",
    "Recipe",
    "Step",
    "Trace",
    "axis_passage",
    "carry",
    "clip",
    "crop",
    "crop_foreground",
    "crop_or_pad",
    "denoise_gaussian",
    "denoise_median",
    "denoise_nlm",
    "denoise_tv",
    "grey",
    "limit_slices",
    "make_step",
    "masked_background",
    "minmax",
    "noise_figures",
    "noise_sigma",
    "orient",
    "pad",
    "passage_to",
    "percentile",
    "resample",
    "rescale_intensity",
    "resize",
    "thin_slices",
    "volume_format",
    "voxels_like",
    "window",
    "write_volume",
    "zscore",
]
