"""Changes of prepared cases by stated numbers: pure functions of a case and a change.

:class:`Turn` and :class:`Shade` hold the numbers; :func:`turn` and :func:`shade` change one case,
:func:`resampled` and :func:`shaded` many at once, each case as if it were alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Floats = NDArray[np.float32]
_KNOTS = 5
"""Points along each side of the coarse grid that an elastic bend is drawn on."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One prepared case.

    Attributes
    ----------
    image: ``(T, C, H, W)`` float32.
    mask: ``(T, H, W)`` float32, 0 to 1.
    concepts: ``(J,)`` float32, NaN where not given.
    """

    image: Floats
    mask: Floats
    concepts: Floats


@dataclass(frozen=True)
class Turn:
    """The numbers of one change of geometry; the defaults change nothing.

    ``angle`` in radians, ``scale`` above 1 enlarges, ``stretch`` is the ratio of the axes, ``shift``
    ``(y, x)`` a share of the size; every ``step``-th slice from ``start`` is kept. ``bend`` is the
    largest elastic displacement, a share of the size, of a coarse grid drawn from ``bend_seed``.
    """

    angle: float = 0.0
    scale: float = 1.0
    stretch: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    step: int = 1
    start: int = 0
    bend: float = 0.0
    bend_seed: int = 0

    @property
    def moves(self) -> bool:
        """Whether any pixel goes elsewhere."""
        return self != Turn(step=self.step, start=self.start)


@dataclass(frozen=True)
class Shade:
    """The numbers of one cheap change: mirroring and intensity.

    Intensity becomes ``(f ** gamma - mean) * contrast + mean + brightness`` and gets noise of
    standard deviation ``noise`` from ``noise_seed``. ``tint`` multiplies each channel; ``box``
    ``(top, left, height, width)`` in shares of the frame is painted with the mean (random erasing,
    Zhong et al. 2020); ``blurred`` puts a 3x3 binomial blur on.
    """

    flip_x: bool = False
    flip_y: bool = False
    flip_z: bool = False
    transpose: bool = False
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = 1.0
    noise: float = 0.0
    noise_seed: int = 0
    blurred: bool = False
    tint: tuple[float, ...] = ()
    box: tuple[float, float, float, float] | None = None


def turn(
    image: Floats,
    mask: Floats,
    change: Turn,
    *,
    outlined: bool,
    centre: tuple[float, float] | None = None,
) -> tuple[Floats, Floats]:
    """Turn, scale, stretch, shift and bend all slices in their plane alike, and thin them.

    Parameters
    ----------
    image, mask:
        ``(T, C, H, W)`` and ``(T, H, W)``; not modified.
    outlined:
        The image is 0 outside its mask. Then it is interpolated over the pixels of the mask alone
        (normalised convolution, Knutsson and Westin 1993), so that its rim does not darken.
    centre:
        Fixed point ``(y, x)`` in pixels; the middle of the frame if ``None``.
    """
    image, mask = image[change.start :: change.step], mask[change.start :: change.step]
    if not change.moves:
        return image, mask
    images, masks = resampled(image[None], mask[None], [change], outlined=outlined, centre=centre)
    return images[0], masks[0]


def resampled(
    image: Floats,
    mask: Floats,
    changes: Sequence[Turn],
    *,
    outlined: bool,
    centre: tuple[float, float] | None = None,
) -> tuple[Floats, Floats]:
    """Images ``(N, T, C, H, W)`` and masks ``(N, T, H, W)``, each moved by its change (bilinear)."""
    cases, slices, channels, height, width = image.shape
    grid = torch.from_numpy(_grids(changes, (height, width), centre))
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    pixels = pixels.reshape(cases, slices * channels, height, width)
    inside = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))
    if outlined:
        whole = pixels.reshape(cases, slices, channels, height, width) * inside.unsqueeze(2)
        both = torch.cat([whole.reshape(pixels.shape), inside], dim=1)
        seen = functional.grid_sample(both, grid, align_corners=False)
        weight = seen[:, slices * channels :]
        keep = (weight > 0.5).to(seen)
        shown = seen[:, : slices * channels].reshape(cases, slices, channels, height, width)
        shown = shown / weight.clamp_min(0.5).unsqueeze(2) * keep.unsqueeze(2)
        return np.asarray(shown.numpy()), np.asarray(keep.numpy())
    shown = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    weight = inside
    if bool((mask < 1.0).any()):
        weight = functional.grid_sample(inside, grid, padding_mode="border", align_corners=False)
    shown = shown.reshape(cases, slices, channels, height, width)
    return np.asarray(shown.numpy()), np.asarray(weight.numpy())


def _grids(
    changes: Sequence[Turn], size: tuple[int, int], centre: tuple[float, float] | None
) -> NDArray[np.float32]:
    """Where each pixel of the results is taken from, ``(N, H, W, 2)`` as ``grid_sample`` has it."""
    height, width = size
    half = np.array([width / 2.0, height / 2.0])
    middle = half - 0.5
    fixed = middle if centre is None else np.array([centre[1], centre[0]])
    numbers = np.array(
        [(c.angle, c.scale, c.stretch, c.shift[1], c.shift[0]) for c in changes], dtype=np.float64
    )
    angle, scale, stretch, right, down = numbers.T
    # Output to input, in pixels (x, y): divide by the scale, turn back.
    across, along = stretch / scale, 1.0 / (stretch * scale)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine * across, -sine * along], [sine * across, cosine * along]])
    reach = fixed - middle
    moved = reach[:, None] - (matrix * reach[None, :, None]).sum(1)
    moved -= np.array([right * width, down * height])
    theta = (matrix * half[None, :, None] / half[:, None, None])[..., None, None]
    offset = (moved / half[:, None])[..., None, None]
    x = ((np.arange(width) + 0.5) / half[0] - 1.0)[None, None, :]
    y = ((np.arange(height) + 0.5) / half[1] - 1.0)[None, :, None]
    grid = np.empty((len(changes), height, width, 2), dtype=np.float32)
    grid[..., 0] = theta[0, 0] * x + (theta[0, 1] * y + offset[0])
    grid[..., 1] = theta[1, 0] * x + (theta[1, 1] * y + offset[1])
    if any(change.bend for change in changes):
        coarse = torch.zeros((len(changes), 2, _KNOTS, _KNOTS))
        for i, change in enumerate(changes):
            drawn = np.random.default_rng(change.bend_seed).uniform(-2.0, 2.0, coarse.shape[1:])
            coarse[i] = torch.from_numpy(drawn * change.bend)
        smooth = functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
        grid += np.moveaxis(smooth.numpy(), 1, -1)
    return grid


def shade(sample: Sample, change: Shade, *, outlined: bool) -> Sample:
    """Mirror a case and change its intensity; concepts stay, since none of this changes a shape.

    Intensity is changed inside the mask only when the image is ``outlined`` (0 outside).
    """
    images, masks = shaded(sample.image[None], sample.mask[None], [change], outlined=outlined)
    return Sample(images[0], masks[0], sample.concepts)


def shaded(
    images: Floats, masks: Floats, changes: Sequence[Shade], *, outlined: bool
) -> tuple[Floats, Floats]:
    """Images ``(N, T, C, H, W)`` and masks ``(N, T, H, W)``, each by its change; new arrays."""
    image, mask = np.empty_like(images), np.empty_like(masks)
    for i, change in enumerate(changes):
        image[i], mask[i] = (_mirrored(part, change) for part in (images[i], masks[i]))

    def each(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1, 1)

    unit = [bool(part.min() >= 0.0 and part.max() <= 1.0) for part in image] if outlined else []
    if any(change.gamma != 1.0 for change in changes):
        gamma = each([change.gamma for change in changes])
        if image.min() >= 0.0:
            image **= gamma
        else:
            image = np.sign(image) * np.abs(image) ** gamma
    if any(change.tint for change in changes):
        channels = image.shape[2]
        tints = [change.tint or (1.0,) * channels for change in changes]
        image *= np.array(tints, dtype=np.float32).reshape(-1, 1, channels, 1, 1)
    if any(c.contrast != 1.0 or c.brightness or c.box is not None for c in changes):
        mean = each(_means(image, mask))
        image -= mean
        image *= each([change.contrast for change in changes])
        image += mean + each([change.brightness for change in changes])
        for i, change in enumerate(changes):
            if change.box is not None:
                image[i][_window(change.box, image.shape[-2:])] = mean[i, 0, 0, 0, 0]
    for i, change in enumerate(changes):
        if change.blurred:
            image[i] = _blurred(image[i])
        if change.noise:
            random = np.random.default_rng(change.noise_seed)
            noise = random.standard_normal(image.shape[1:], np.float32)
            noise *= np.float32(change.noise)
            image[i] += noise
    if outlined:
        for i, whole in enumerate(unit):
            if whole:
                np.clip(image[i], 1.0 / 255.0, 1.0, out=image[i])  # 0 means outside
        image *= mask[:, :, None] > 0.5
    return image, mask


def _mirrored(pixels: Floats, change: Shade) -> Floats:
    """Slices in reverse, rows and columns mirrored or swapped; a view."""
    if change.flip_z:
        pixels = pixels[::-1]
    if change.flip_x:
        pixels = pixels[..., ::-1]
    if change.flip_y:
        pixels = pixels[..., ::-1, :]
    if change.transpose and pixels.shape[-1] == pixels.shape[-2]:
        pixels = pixels.swapaxes(-1, -2)
    return pixels


def _means(image: Floats, mask: Floats) -> list[float]:
    """Mean over the mask of each of ``(N, T, C, H, W)``; 0 where the mask is empty."""
    if mask.min() >= 1.0:
        return [float(part.mean(dtype=np.float64)) for part in image]
    return [
        float((part * weight[:, None]).sum(dtype=np.float64))
        / max(float(weight.sum(dtype=np.float64)) * part.shape[1], 1.0)
        for part, weight in zip(image, mask, strict=True)
    ]


def _window(box: tuple[float, float, float, float], size: tuple[int, ...]) -> tuple[Any, ...]:
    """A box in shares of the frame as an index of its pixels."""
    top, left, height, width = box
    rows = slice(int(top * size[0]), int(np.ceil((top + height) * size[0])))
    return (..., rows, slice(int(left * size[1]), int(np.ceil((left + width) * size[1]))))


def _blurred(image: Floats) -> Floats:
    """Binomial 1-2-1 blur in the plane, edges repeated."""
    wide = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    tall = 0.25 * wide[..., :-2, :] + 0.5 * wide[..., 1:-1, :] + 0.25 * wide[..., 2:, :]
    done: Floats = 0.25 * tall[..., :-2] + 0.5 * tall[..., 1:-1] + 0.25 * tall[..., 2:]
    return done.astype(np.float32)
