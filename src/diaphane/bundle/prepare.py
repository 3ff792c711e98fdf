"""From a case to what the network is fed with: the one function for training and for use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle.manifest import InputSpec
from diaphane.core.case import Case
from diaphane.core.errors import BundleTooNew, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

if TYPE_CHECKING:
    from diaphane.preprocess import Recipe, Trace

Floats = NDArray[np.float32]

_HASHED = 1 << 22
"""Voxels that are turned into float32 at once."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A case as the network sees it, with the way back.

    Attributes
    ----------
    image:
        ``(T, C, H, W)`` float32.
    mask:
        ``(T, H, W)`` float32, 0 to 1. Without a mask: 1 wherever the frame shows the image.
    concepts:
        ``(J,)`` float32 in the order of ``spec.concept_names``; NaN where not given.
    length:
        T.
    slices:
        Native slice index z of each t.
    picked:
        Slice index of each t in the recipe's result.
    frame:
        ``(y, x)`` of the frame's first pixel in the recipe's result; negative where it pads.
    grid, native:
        Geometry of the recipe's result, and of the case.
    trace:
        The way that the recipe took, for ``Recipe.undo`` and ``to_native``.
    thinned:
        Slices that were left out because the case has more than ``max_slices``.
    cut:
        Whether the mask reaches beyond the frame.
    """

    key: str
    image: Floats
    mask: Floats
    concepts: Floats
    length: int
    slices: tuple[int, ...]
    picked: tuple[int, ...]
    frame: tuple[int, int]
    grid: Geometry
    native: Geometry
    trace: Trace
    thinned: int = 0
    cut: bool = False

    @property
    def pixel_mm(self) -> float | None:
        """Size of a prepared pixel, where known and square (within 1 %)."""
        _, dy, dx = self.grid.spacing
        if dy is None or dx is None or abs(dy - dx) > 0.01 * dx:
            return None
        return float(dx)

    @property
    def placement(self) -> NDArray[np.float64]:
        """``(4, 4)`` from a prepared index ``(t, y, x, 1)`` to the case's ``(z, y, x, 1)``.

        Where slices were thinned unevenly, ``t`` is placed within half a slice's step.
        """
        step = (self.picked[-1] - self.picked[0]) / max(self.length - 1, 1)
        framed = np.eye(4)
        framed[0, 0] = step or 1.0
        framed[:3, 3] = (self.picked[0], *self.frame)
        return np.asarray(self.trace.passage.index @ framed, dtype=np.float64)


def prepare_case(case: Case, spec: InputSpec, recipe: Recipe) -> PreparedCase:
    """Turn a plain case into network input.

    In order: volumes of one case become channels; the mask is made on the native grid as the
    spec says; the recipe is applied to both; measured concepts are computed on all slices of
    the result that the mask touches, before any thinning or cutting; slices without mask are
    left out and the rest thinned evenly to ``max_slices``; the frame is centred on the mask's
    box and cropped or padded to ``size``.

    Raises
    ------
    NotApplicable
        The case has no mask where one is needed, an empty one, other channels than the
        network, or several slices where it takes one.
    InvalidVoxels
        NaN or infinite voxels.
    """
    volume = joined(case.volumes).require_finite()
    done = recipe.apply(volume, _native_mask(case, volume, spec))
    voxels = np.asarray(done.volume.voxels, dtype=np.float32)
    voxels = voxels if voxels.ndim == 4 else voxels[None]
    channels, depth = voxels.shape[:2]
    if channels != spec.channels:
        raise NotApplicable(
            f"The image has {channels} channels, the network takes {spec.channels}.",
            remedy="Convert it first, or use a recipe with a grey step.",
        )
    if spec.kind == "image" and depth != 1:
        raise NotApplicable(
            f"The network takes single images, and this case has {depth} slices.",
            remedy="Give its images one by one (--as images).",
        )
    if spec.mask == "none" or done.mask is None:
        inside = np.ones(voxels.shape[1:], dtype=np.bool_)
    else:
        inside = np.asarray(done.mask.voxels).reshape(voxels.shape[1:]) > 0
    with_mask = np.flatnonzero(inside.any(axis=(1, 2)))
    if not with_mask.size:
        raise NotApplicable("The recipe leaves nothing of the mask.")
    concepts = _concepts(case, spec, voxels, inside)

    even = np.linspace(0, len(with_mask) - 1, min(len(with_mask), spec.max_slices))
    picked = with_mask[np.round(even).astype(int)]
    rows = np.flatnonzero(inside[picked].any(axis=(0, 2)))
    columns = np.flatnonzero(inside[picked].any(axis=(0, 1)))
    height, width = spec.size
    frame = (
        int(rows[0] + rows[-1] + 1 - height) // 2,
        int(columns[0] + columns[-1] + 1 - width) // 2,
    )
    image = _framed(np.moveaxis(voxels[:, picked], 0, 1), frame, spec.size, spec.pad)
    mask = _framed(inside[picked][:, None].astype(np.float32), frame, spec.size, 0.0)[:, 0]
    return PreparedCase(
        key=case.key,
        image=image,
        mask=mask,
        concepts=concepts,
        length=len(picked),
        slices=_native_slices(picked, done.trace),
        picked=tuple(int(z) for z in picked),
        frame=frame,
        grid=done.volume.geometry,
        native=volume.geometry,
        trace=done.trace,
        thinned=len(with_mask) - len(picked),
        cut=bool(np.ptp(rows) + 1 > height or np.ptp(columns) + 1 > width),
    )


def case_hash(case: Case, salt: str) -> str:
    """Hex SHA-256 of the salt and the case's native voxels.

    Over each volume in order: its shape and its values as little-endian float32 in C order.
    File names, formats, integer types, spacing, masks and labels do not enter, so the same
    image is known again wherever it lies; the salt keeps a bundle from being a dictionary of
    known images.
    """
    digest = hashlib.sha256(salt.encode())
    for volume in case.volumes.values():
        digest.update(repr(tuple(int(n) for n in volume.voxels.shape)).encode())
        rows = np.ascontiguousarray(volume.voxels).reshape(-1)
        for first in range(0, len(rows), _HASHED):  # a large volume is never there twice
            digest.update(rows[first : first + _HASHED].astype("<f4").data)
    return digest.hexdigest()


def joined(volumes: Any) -> Volume:
    """One volume; several on one grid become channels, in order."""
    several: Sequence[Volume] = tuple(volumes.values())
    first = several[0]
    if len(several) == 1:
        return first
    if any(v.shape != first.shape for v in several[1:]):
        raise NotApplicable("The case's images are on different grids; this network takes one.")
    parts = [v.voxels if v.voxels.ndim == 4 else v.voxels[None] for v in several]
    return first.with_voxels(np.concatenate(parts))


def _native_mask(case: Case, volume: Volume, spec: InputSpec) -> Volume | None:
    if spec.mask == "none":
        return None
    if spec.mask == "foreground":
        voxels = volume.voxels > 0
        inside = voxels.any(axis=0) if voxels.ndim == 4 else voxels
        empty = "The image has no voxel above zero."
    else:
        if case.mask is None:
            raise NotApplicable(
                "The network needs a mask of what it shall judge, and the case has none.",
                remedy="Add a 'mask' column to the manifest.",
            )
        if case.mask.shape != volume.shape:
            raise NotApplicable("The mask is not on the grid of the image.")
        inside = case.mask.voxels > 0
        empty = "The mask is empty."
    if not np.any(inside):
        raise NotApplicable(empty)
    return Volume(np.asarray(inside, dtype=np.uint8), volume.geometry, volume.modality)


def _concepts(case: Case, spec: InputSpec, voxels: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Measured concepts, then given ones, ``(J,)``."""
    given = np.array([case.concepts.get(n, np.nan) for n in spec.given_concepts], dtype=np.float32)
    if not spec.concepts:
        return given
    from diaphane.measure.concepts import concept_names, concepts

    unknown = [name for name in spec.concepts if name not in concept_names()]
    if unknown:
        raise BundleTooNew(
            f"The bundle needs concepts that this diaphane does not measure: {', '.join(unknown)}.",
            remedy="Update diaphane: pip install --upgrade diaphane",
        )
    grey = voxels[0] if len(voxels) == 1 else voxels.mean(axis=0)
    return np.concatenate([concepts(spec.concepts, grey, inside), given]).astype(np.float32)


def _framed(
    stack: NDArray[Any], start: tuple[int, int], size: tuple[int, int], pad: float
) -> Floats:
    """``(T, C, y, x)`` cropped or padded to ``size``, beginning at ``start``."""
    out = np.full((*stack.shape[:2], *size), pad, dtype=np.float32)
    source, target = [], []
    for begin, wanted, there in zip(start, size, stack.shape[2:], strict=True):
        low, high = max(begin, 0), min(begin + wanted, there)
        source.append(slice(low, high))
        target.append(slice(low - begin, high - begin))
    out[:, :, target[0], target[1]] = stack[:, :, source[0], source[1]]
    return out


def _native_slices(picked: NDArray[Any], trace: Trace) -> tuple[int, ...]:
    """Native z nearest to each picked slice of the recipe's result."""
    _, height, width = trace.prepared.shape
    middles = [(z, (height - 1) / 2, (width - 1) / 2) for z in picked]
    z = np.round(trace.to_native(middles)[:, 0])
    return tuple(int(i) for i in np.clip(z, 0, trace.native.shape[0] - 1))
