"""Nodules: slightly lobulated or spiculated solids, blended as a scanner would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diaphane.acquire.phantom.shapes import Field, inside_capsule, share
from diaphane.core.errors import InputError
from diaphane.core.volume import Volume

Kind = Literal["free", "pleural", "mediastinal", "vascular"]


@dataclass(frozen=True)
class Nodule:
    """A planted nodule.

    Attributes
    ----------
    centre:
        (x, y, z) LPS in mm.
    diameter_mm:
        Of the ball of equal volume, before the pleura cuts it.
    kind:
        What it touches.
    density:
        HU.
    spiculated:
        Whether thin spikes leave it.
    """

    centre: tuple[float, float, float]
    diameter_mm: float
    kind: Kind = "free"
    density: float = 30.0
    spiculated: bool = False


@dataclass(frozen=True)
class Surface:
    """Bumps and spikes of one nodule, drawn once so that every voxel sees the same shape."""

    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    spikes: NDArray[np.float64]

    @classmethod
    def of(cls, nodule: Nodule, random: np.random.Generator) -> Surface:
        """A surface drawn at random."""
        waves = random.normal(size=(4, 3)) * 2.2
        spikes = random.normal(size=(int(random.integers(5, 9)), 3))
        spikes /= np.linalg.norm(spikes, axis=1, keepdims=True)
        return cls(
            waves,
            random.uniform(0.0, 2.0 * np.pi, size=4),
            spikes * random.uniform(1.3, 1.8, size=(len(spikes), 1))
            if nodule.spiculated
            else np.zeros((0, 3)),
        )


def distance(nodule: Nodule, surface: Surface, points: tuple[Field, Field, Field]) -> Field:
    """Signed distance in mm of points (x, y, z), negative inside."""
    offset = [p - np.float32(c) for p, c in zip(points, nodule.centre, strict=True)]
    far = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    radius = 0.5 * nodule.diameter_mm
    unit = [o / np.maximum(far, np.float32(1e-3)) for o in offset]
    bumps = np.zeros_like(far)
    for wave, phase in zip(surface.waves, surface.phases, strict=True):
        turn = sum(np.float32(w) * u for w, u in zip(wave, unit, strict=True))
        bumps += np.sin(turn + np.float32(phase))
    found = far - np.float32(radius) * (1.0 + np.float32(0.04) * bumps)
    centre = np.asarray(nodule.centre)
    for spike in surface.spikes:
        rod = inside_capsule(points, centre, centre + spike * radius, (0.25 * radius, 0.3))
        found = np.minimum(found, rod)
    return np.asarray(found, dtype=np.float32)


def insert_nodule(
    volume: Volume,
    centre: ArrayLike,
    diameter_mm: float,
    *,
    seed: int = 0,
    density: float = 30.0,
    spiculated: bool = False,
    noise: float = 15.0,
) -> Volume:
    """``volume`` with a solid nodule in it; nothing gets less dense.

    Parameters
    ----------
    volume:
        CT in HU with a known place in the patient.
    centre:
        (x, y, z) LPS in mm.
    diameter_mm:
        Of the ball of equal volume; the edge is blended over the voxel, so thin
        nodules in thick slices fade as they do in a scanner.
    seed:
        Of its bumps, spikes and noise.
    density, noise:
        Mean and standard deviation inside, HU.

    Raises
    ------
    InputError
        When the centre is outside the volume.
    """
    at = volume.geometry.to_index(centre)
    if not volume.geometry.contains(at):
        raise InputError("The nodule's centre is outside the volume.")
    random = np.random.default_rng(seed)
    x, y, z = (float(c) for c in np.asarray(centre, dtype=np.float64))
    nodule = Nodule((x, y, z), diameter_mm, density=density, spiculated=spiculated)
    surface = Surface.of(nodule, random)
    steps = np.asarray(volume.geometry.spacing_mm)
    half = np.ceil((0.95 * diameter_mm + 2.0) / steps).astype(int) + 1
    low = np.maximum(np.round(at).astype(int) - half, 0)
    high = np.minimum(np.round(at).astype(int) + half + 1, volume.shape)
    cover = _coverage(volume, nodule, surface, low, high)
    voxels = np.array(volume.voxels, dtype=np.float32)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    old = voxels[box]
    target = density + random.normal(scale=noise, size=old.shape).astype(np.float32)
    voxels[box] = old + cover * np.maximum(target - old, 0.0)
    return volume.with_voxels(voxels)


def _coverage(
    volume: Volume,
    nodule: Nodule,
    surface: Surface,
    low: NDArray[np.int_],
    high: NDArray[np.int_],
) -> Field:
    """Share of each voxel of a box that the nodule fills, by samples of about 1 mm."""
    fold = [max(1, round(s / 1.0)) for s in volume.geometry.spacing_mm]
    axes = [
        (np.arange((b - a) * k) + 0.5) / k - 0.5 + a
        for a, b, k in zip(low, high, fold, strict=True)
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = volume.geometry.to_patient(index).astype(np.float32)
    depth = distance(nodule, surface, (points[..., 0], points[..., 1], points[..., 2]))
    fine = share(depth, 1.0)
    nz, ny, nx = (int(b - a) for a, b in zip(low, high, strict=True))
    blocks = fine.reshape(nz, fold[0], ny, fold[1], nx, fold[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)
