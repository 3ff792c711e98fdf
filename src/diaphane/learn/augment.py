"""Random changes of a prepared case, in training only.

Three layers: pure functions (:func:`turn`, :func:`shade`) change a case by stated numbers;
:class:`Turn` and :class:`Shade` hold such numbers; :func:`draw_turn` and :func:`draw_shade` make
them from a random generator. What was drawn can so be seen and applied again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

Floats = NDArray[np.float32]


class Augmentation(BaseModel):
    """How strongly training cases are changed; everything 0 or false leaves them as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip_x: bool = Field(default=True, description="Mirror left and right, half of the time.")
    flip_y: bool = Field(default=False, description="Mirror top and bottom, half of the time.")
    flip_z: bool = Field(default=False, description="Read the slices backwards, half of the time.")
    transpose: bool = Field(default=False, description="Swap rows and columns, half of the time.")
    rotation: float = Field(default=15.0, ge=0, le=180, description="Largest turn in degrees.")
    scale: float = Field(default=0.1, ge=0, lt=0.7, description="Largest change of size, as a log.")
    stretch: float = Field(default=0.0, ge=0, lt=0.5, description="Largest change of aspect, log.")
    shift: float = Field(default=0.05, ge=0, lt=0.5, description="Largest shift, share of width.")
    thinning: float = Field(
        default=0.0, ge=0, le=1, description="How often every second or third slice is dropped."
    )
    brightness: float = Field(default=0.05, ge=0, description="Largest shift of intensity.")
    contrast: float = Field(default=0.1, ge=0, lt=1, description="Largest change of contrast.")
    gamma: float = Field(default=0.0, ge=0, lt=1, description="Largest gamma, as a log.")
    noise: float = Field(default=0.02, ge=0, description="Largest standard deviation of noise.")
    versions: int = Field(
        default=0,
        ge=0,
        description="Turned, scaled and thinned versions of each case that are made once, before "
        "the recipe, so that its concepts are measured on them; 0 turns afresh in every epoch.",
    )
    plain: float = Field(
        default=0.3, ge=0, le=1, description="How often the case itself is shown, given versions."
    )


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
    ``(y, x)`` a share of the size; every ``step``-th slice from ``start`` is kept.
    """

    angle: float = 0.0
    scale: float = 1.0
    stretch: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    step: int = 1
    start: int = 0


@dataclass(frozen=True)
class Shade:
    """The numbers of one cheap change: mirroring and intensity.

    Intensity becomes ``(f ** gamma - mean) * contrast + mean + brightness`` and gets noise of
    standard deviation ``noise`` from ``noise_seed``.
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


def draw_turn(how: Augmentation, slices: int, random: np.random.Generator) -> Turn:
    """Draw a change of geometry; the same generator state gives the same one."""
    angle, size, aspect, down, right = random.uniform(-1.0, 1.0, 5)
    step = 1
    if random.random() < how.thinning and slices >= 4:
        step = 2 if slices < 9 else int(random.integers(2, 4))
    return Turn(
        angle=float(np.deg2rad(how.rotation) * angle),
        scale=float(np.exp(how.scale * size)),
        stretch=float(np.exp(how.stretch * aspect)),
        shift=(float(how.shift * down), float(how.shift * right)),
        step=step,
        start=int(random.integers(0, step)),
    )


def draw_shade(how: Augmentation, random: np.random.Generator) -> Shade:
    """Draw a cheap change; the same generator state gives the same one."""
    x, y, z, t = random.random(4) < 0.5
    contrast, brightness, gamma = random.uniform(-1.0, 1.0, 3)
    noise = float(random.random()) * how.noise
    return Shade(
        flip_x=bool(x) and how.flip_x,
        flip_y=bool(y) and how.flip_y,
        flip_z=bool(z) and how.flip_z,
        transpose=bool(t) and how.transpose,
        contrast=float(1.0 + how.contrast * contrast),
        brightness=float(how.brightness * brightness),
        gamma=float(np.exp(how.gamma * gamma)),
        noise=noise,
        noise_seed=int(random.integers(0, 2**31)),
    )


def turn(
    image: Floats,
    mask: Floats,
    change: Turn,
    *,
    outlined: bool,
    centre: tuple[float, float] | None = None,
) -> tuple[Floats, Floats]:
    """Turn, scale, stretch and shift all slices in their plane alike (bilinear), and thin them.

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
    if change == Turn(step=change.step, start=change.start):
        return image, mask
    height, width = mask.shape[-2:]
    # Output to input, in pixels (x, y): divide by the scale, turn back.
    shrink = np.diag([change.stretch / change.scale, 1.0 / (change.stretch * change.scale)])
    cosine, sine = np.cos(change.angle), np.sin(change.angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ shrink
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    fixed = middle if centre is None else np.array([centre[1], centre[0]])
    moved = fixed - middle - matrix @ (fixed - middle)
    moved -= np.array([change.shift[1] * width, change.shift[0] * height])
    half = np.array([width / 2.0, height / 2.0])
    theta = np.concatenate([matrix * half[None, :] / half[:, None], (moved / half)[:, None]], 1)
    slices = len(mask)
    grid = functional.affine_grid(
        torch.tensor(theta, dtype=torch.float32).expand(slices, 2, 3),
        [slices, 1, height, width],
        align_corners=False,
    )
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    inside = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32)).unsqueeze(1)
    if outlined:
        both = torch.cat([pixels * inside, inside], dim=1)
        seen = functional.grid_sample(both, grid, align_corners=False)
        weight = seen[:, -1:]
        keep = (weight > 0.5).to(seen)
        shown = seen[:, :-1] / weight.clamp_min(0.5) * keep
        return np.asarray(shown.numpy()), np.asarray(keep[:, 0].numpy())
    shown = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    weight = functional.grid_sample(inside, grid, padding_mode="border", align_corners=False)
    return np.asarray(shown.numpy()), np.asarray(weight[:, 0].numpy())


def shade(sample: Sample, change: Shade, *, outlined: bool) -> Sample:
    """Mirror a case and change its intensity; concepts stay, since none of this changes a shape.

    Intensity is changed inside the mask only when the image is ``outlined`` (0 outside).
    """
    image, mask = sample.image, sample.mask
    if change.flip_z:
        image, mask = image[::-1], mask[::-1]
    if change.flip_x:
        image, mask = image[..., ::-1], mask[..., ::-1]
    if change.flip_y:
        image, mask = image[..., ::-1, :], mask[..., ::-1, :]
    if change.transpose and image.shape[-1] == image.shape[-2]:
        image, mask = image.swapaxes(-1, -2), mask.swapaxes(-1, -2)
    changed = image
    if change.gamma != 1.0:
        changed = np.sign(changed) * np.abs(changed) ** np.float32(change.gamma)
    if change.contrast != 1.0 or change.brightness:
        weight = mask[:, None]
        mass = max(float(weight.sum()) * image.shape[1], 1.0)
        mean = np.float32((changed * weight).sum() / mass)
        changed = (changed - mean) * np.float32(change.contrast) + mean
        changed = changed + np.float32(change.brightness)
    if change.noise:
        noise = np.random.default_rng(change.noise_seed).standard_normal(image.shape, np.float32)
        changed = changed + noise * np.float32(change.noise)
    if outlined:
        if image.min() >= 0.0 and image.max() <= 1.0:
            changed = np.clip(changed, 1.0 / 255.0, 1.0)  # 0 means outside
        changed = changed * (mask[:, None] > 0.5)
    return Sample(
        np.ascontiguousarray(changed, dtype=np.float32), np.ascontiguousarray(mask), sample.concepts
    )
