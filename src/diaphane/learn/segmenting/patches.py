"""Patches of training: which, from where, and how changed; a function of seed and number alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from diaphane.learn.segmenting.cases import Kept, MaskStore
from diaphane.learn.segmenting.plans import PatchAugmentation, SegmentationPlan

Size = tuple[int, int, int]
Floats = NDArray[np.float64]
_ORDER, _WHERE = 31, 32


@dataclass(frozen=True, eq=False)
class Patch:
    """``image`` ``(C, D, H, W)`` float32 and ``mask`` ``(D, H, W)`` int64 of one case."""

    case: int
    image: torch.Tensor
    mask: torch.Tensor


class Sampler:
    """Hands out the patches of one network.

    Random patches go through the cases in shuffled rounds. Of the share ``plan.foreground``, each
    label that occurs gets its turn, in a case that has it, so that rare labels are met as often as
    common ones.
    """

    def __init__(
        self, plan: SegmentationPlan, store: MaskStore, fit: NDArray[np.int64], seed: int
    ) -> None:
        self.plan, self.store, self.seed = plan, store, seed
        self.fit = fit
        self.having = {
            label: np.array([i for i in fit if label in store.kept[i].places], dtype=np.int64)
            for label in range(1, len(plan.labels) + 1)
        }
        self.present = [label for label, cases in self.having.items() if cases.size]

    def patch(self, number: int, size: Size) -> Patch:
        """The patch of that number, from 0; ``size`` is the plan's, or smaller."""
        plan = self.plan
        random = np.random.default_rng([self.seed, _WHERE, number])
        label = 0
        if self.present and random.random() < plan.foreground:
            label = self.present[number % len(self.present)]
            case = _round(self.having[label], self.seed + label, number // len(self.present))
        else:
            case = _round(self.fit, self.seed, number)
        kept = self.store.kept[case]
        centre = _centre(kept, label, size, random)
        image, mask = cut(kept, centre, size, plan, random)
        return Patch(case, image, mask)


def _round(cases: NDArray[np.int64], seed: int, number: int) -> int:
    """The case of that number in endless shuffled rounds."""
    turn, place = divmod(number, len(cases))
    order = np.random.default_rng([seed, _ORDER, turn]).permutation(len(cases))
    return int(cases[order[place]])


def _centre(kept: Kept, label: int, size: Size, random: np.random.Generator) -> Floats:
    """Middle of a patch: near a voxel of the label, else anywhere; inside where there is room."""
    shape, half = np.array(kept.shape), (np.array(size) - 1) / 2.0
    low, high = half, shape - 1 - half
    if label:
        places = kept.places[label]
        at = places[int(random.integers(len(places)))]
        centre = at + random.uniform(-0.5, 0.5, 3) * half
        centre = np.clip(centre, np.minimum(low, high), np.maximum(low, high))
    else:
        centre = low + (high - low) * random.random(3)
    return np.where(high > low, centre, (shape - 1) / 2.0)


def cut(
    kept: Kept, centre: Floats, size: Size, plan: SegmentationPlan, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a patch around ``centre`` (voxels), turned and scaled about it, mirrored and shaded."""
    how, pad = plan.augmentation, plan.pad
    mirror = [axis for axis in how.mirror if random.random() < 0.5]
    if random.random() < how.share:
        image, mask = _turned(kept, centre, size, plan, random)
    else:
        start = np.floor(centre - (np.array(size) - 1) / 2.0 + 0.5).astype(int)
        image = torch.from_numpy(_box(kept.image, start, size, pad).astype(np.float32, copy=False))
        mask = torch.from_numpy(_box(kept.mask[None], start, size, 0)[0].astype(np.int64))
    axes = ["zyx".index(axis) for axis in mirror]
    if axes:
        image, mask = image.flip([a + 1 for a in axes]), mask.flip(axes)
    return _shaded(image, how, random), mask


def _box(
    voxels: NDArray[np.generic], start: NDArray[np.int_], size: Size, pad: float
) -> NDArray[np.generic]:
    """``(C, *size)`` from ``start`` on, padded outside."""
    out = np.full((len(voxels), *size), pad, dtype=voxels.dtype)
    source, target = [slice(None)], [slice(None)]
    for begin, wanted, there in zip(start, size, voxels.shape[1:], strict=True):
        low, high = max(int(begin), 0), min(int(begin) + wanted, there)
        if high <= low:
            return out
        source.append(slice(low, high))
        target.append(slice(low - int(begin), high - int(begin)))
    out[tuple(target)] = voxels[tuple(source)]
    return out


def _turned(
    kept: Kept, centre: Floats, size: Size, plan: SegmentationPlan, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear interpolation of the image, nearest of the mask."""
    how, pad = plan.augmentation, plan.pad
    matrix = _matrix(how, flat=size[0] == 1, random=random)
    along = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2.0 for n in size]
    grid = torch.stack(torch.meshgrid(*along, indexing="ij"), -1)
    if how.elastic:
        grid = grid + _waves(size, how.elastic, random)
    at = grid @ torch.from_numpy(matrix.T.astype(np.float32))
    # Only the box that is needed leaves the store.
    flat = at.reshape(-1, 3)
    low = np.floor(flat.min(0).values.numpy() + centre).astype(int) - 1
    high = np.ceil(flat.max(0).values.numpy() + centre).astype(int) + 1
    extent = high - low + 1
    box: Size = (int(extent[0]), int(extent[1]), int(extent[2]))
    pixels = torch.from_numpy(_box(kept.image, low, box, pad).astype(np.float32, copy=False))[None]
    labels = torch.from_numpy(_box(kept.mask[None], low, box, 0).astype(np.float32))[None]
    middle = torch.from_numpy((centre - low).astype(np.float32))
    scale = 2.0 / torch.tensor([max(n - 1, 1) for n in box], dtype=torch.float32)
    points = ((at + middle) * scale - 1.0).flip(-1)[None]
    image = functional.grid_sample(pixels, points, padding_mode="border", align_corners=True)[0]
    mask = functional.grid_sample(labels, points, mode="nearest", align_corners=True)[0, 0]
    return image, mask.round().long()


def _matrix(how: PatchAugmentation, *, flat: bool, random: np.random.Generator) -> Floats:
    """Rotation in the plane and out of it, times scales."""
    turn = np.deg2rad(how.rotation) * random.uniform(-1, 1)
    tilt = np.deg2rad(how.tilt) * random.uniform(-1, 1, 2)
    size = np.exp(-how.scale * random.uniform(-1, 1))
    stretch = np.exp(0.4 * how.scale * random.uniform(-1, 1, 3))
    matrix = _rotation(1, 2, turn)
    if not flat and how.tilt:
        matrix = _rotation(0, 1, tilt[0]) @ _rotation(0, 2, tilt[1]) @ matrix
    scales = size * stretch
    if flat:
        scales[0] = 1.0
    return np.asarray(matrix * scales[None], dtype=np.float64)


def _rotation(one: int, other: int, angle: float) -> Floats:
    matrix = np.eye(3)
    matrix[[one, other], [one, other]] = np.cos(angle)
    matrix[one, other], matrix[other, one] = -np.sin(angle), np.sin(angle)
    return matrix


def _waves(size: Size, most: float, random: np.random.Generator) -> torch.Tensor:
    """Smooth local shifts ``(*size, 3)``, at most ``most`` voxels, none along a single slice."""
    coarse = [max(2, round(n / 16)) if n > 1 else 1 for n in size]
    drawn = random.uniform(-most, most, (1, 3, *coarse)).astype(np.float32)
    if size[0] == 1:
        drawn[:, 0] = 0.0
    fine = functional.interpolate(
        torch.from_numpy(drawn), size=size, mode="trilinear", align_corners=True
    )
    return fine[0].movedim(0, -1)


def _shaded(
    image: torch.Tensor, how: PatchAugmentation, random: np.random.Generator
) -> torch.Tensor:
    """Blur, contrast, brightness by channel, gamma and noise, in units of the prepared image."""
    channels = len(image)
    if how.blur and random.random() < 0.2:
        image = _blurred(image, float(random.uniform(0.3, 1.0) * how.blur))
    contrast = 1.0 + how.contrast * random.uniform(-1, 1)
    shift = how.brightness * (random.uniform(-1, 1) + 0.5 * random.uniform(-1, 1, channels))
    if contrast != 1.0 or how.brightness:
        image = image * float(contrast) + torch.from_numpy(
            shift.astype(np.float32)[:, None, None, None]
        )
    if how.gamma and random.random() < 0.3:
        low, high = image.min(), image.max()
        width = (high - low).clamp_min(1e-6)
        power = float(np.exp(how.gamma * random.uniform(-1, 1)))
        image = ((image - low) / width).clamp(0, 1).pow(power) * width + low
    if how.noise and random.random() < 0.3:
        drawn = random.standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + float(random.uniform(0, how.noise)) * torch.from_numpy(drawn)
    return image


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur in the plane."""
    radius = max(1, round(2 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / max(sigma, 1e-3)) ** 2)
    kernel = kernel / kernel.sum()
    planes = image.reshape(-1, 1, *image.shape[-2:])
    planes = functional.pad(planes, (radius,) * 4, mode="replicate")
    planes = functional.conv2d(planes, kernel[None, None, :, None])
    planes = functional.conv2d(planes, kernel[None, None, None, :])
    return planes.reshape(image.shape)
