"""Steps that change values and leave the grid alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import RecipeError
from diaphane.core.volume import Volume
from diaphane.preprocess.step import IntensityStep

Region = Literal["image", "mask", "nonzero"]
"""Voxels that statistics are taken over: all, those inside the mask, or those not zero."""

# Luminance weights of red, green and blue (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def grey(volume: Volume) -> Volume:
    """One channel: luminance of RGB (BT.601), as float32 in the same range.

    One channel stays as it is; an opacity channel (two or four channels) is left out.

    Raises
    ------
    RecipeError
        For more than four channels, which are not colours.
    """
    voxels = volume.voxels
    if voxels.ndim == 3:
        return volume
    count = voxels.shape[0]
    if count in (1, 2):
        return volume.with_voxels(voxels[0])
    if count not in (3, 4):
        raise RecipeError(f"An image of {count} channels is not a colour image.")
    if (voxels[0] == voxels[1]).all() and (voxels[0] == voxels[2]).all():
        return volume.with_voxels(voxels[0].astype(np.float32))
    mixed = np.tensordot(_LUMA, voxels[:3].astype(np.float32), axes=1)
    return volume.with_voxels(mixed.astype(np.float32))


def window(
    volume: Volume, level: float, width: float, out_low: float = 0.0, out_high: float = 1.0
) -> Volume:
    """Window: ``level - width / 2`` becomes ``out_low``, ``level + width / 2`` ``out_high``.

    Linear between and clipped beyond (DICOM PS3.3 C.11.2.1.3.2, LINEAR_EXACT); float32.
    """
    return rescale_intensity(volume, level - width / 2, level + width / 2, out_low, out_high)


def clip(volume: Volume, low: float | None = None, high: float | None = None) -> Volume:
    """Values below ``low`` become ``low``, above ``high`` ``high``; the voxel type is kept."""
    voxels = volume.voxels
    if voxels.dtype.kind in "biu" and any(v is not None and v != int(v) for v in (low, high)):
        voxels = voxels.astype(np.float32)
    kind = voxels.dtype
    bounds = [low, high]
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        bounds = [
            None if v is None else min(max(v, float(limits.min)), float(limits.max)) for v in bounds
        ]
    if bounds == [None, None]:
        return volume
    clipped = np.clip(voxels, *(None if v is None else kind.type(v) for v in bounds))
    return volume.with_voxels(clipped)


def rescale_intensity(
    volume: Volume,
    in_low: float,
    in_high: float,
    out_low: float = 0.0,
    out_high: float = 1.0,
    *,
    clipped: bool = True,
) -> Volume:
    """``in_low`` to ``in_high`` becomes ``out_low`` to ``out_high``; float32, unit "1".

    Values outside are clipped unless ``clipped`` is false.
    """
    if not in_high > in_low:
        raise RecipeError(f"A range from {in_low:g} to {in_high:g} is empty.")
    out = volume.voxels.astype(np.float32)
    out -= np.float32(in_low)
    out *= np.float32(1.0 / (in_high - in_low))
    if clipped:
        np.clip(out, 0.0, 1.0, out=out)
    if (out_low, out_high) != (0.0, 1.0):
        out *= np.float32(out_high - out_low)
        out += np.float32(out_low)
    return volume.with_voxels(out, unit="1")


def zscore(volume: Volume, mask: Volume | None = None, within: Region = "image") -> Volume:
    """Mean 0 and standard deviation 1 over the region; a flat region becomes 0. Float32."""
    values = _region(volume, mask, within)
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    flat = deviation <= 1e-7 * max(1.0, abs(mean))
    out = volume.voxels.astype(np.float32)
    out -= np.float32(mean)
    out *= np.float32(0.0 if flat else 1.0 / deviation)
    return volume.with_voxels(out, unit="1")


def minmax(volume: Volume, mask: Volume | None = None, within: Region = "image") -> Volume:
    """The region's smallest value becomes 0, its largest 1; a flat region 0. Float32."""
    values = _region(volume, mask, within)
    return _between(volume, float(values.min()), float(values.max()))


def percentile(
    volume: Volume,
    low: float = 1.0,
    high: float = 99.0,
    mask: Volume | None = None,
    within: Region = "image",
) -> Volume:
    """The region's ``low``-th percentile becomes 0, the ``high``-th 1, clipped. Float32."""
    values = _region(volume, mask, within)
    bottom, top = np.percentile(values, [low, high])
    return _between(volume, float(bottom), float(top))


def masked_background(volume: Volume, mask: Volume, value: float = 0.0) -> Volume:
    """``value`` wherever the mask is zero; the voxel type is kept where it can hold it."""
    voxels = volume.voxels
    kind = np.result_type(voxels.dtype, np.min_scalar_type(value))
    if voxels.dtype.kind in "iu" and value == int(value):
        limits = np.iinfo(voxels.dtype)
        kind = voxels.dtype if limits.min <= value <= limits.max else kind
    elif voxels.dtype.kind == "f":
        kind = voxels.dtype
    return volume.with_voxels(np.where(mask.voxels != 0, voxels, kind.type(value)).astype(kind))


def _between(volume: Volume, low: float, high: float) -> Volume:
    if high > low:
        return rescale_intensity(volume, low, high)
    return volume.with_voxels(np.zeros(volume.voxels.shape, np.float32), unit="1")


def _region(volume: Volume, mask: Volume | None, within: Region) -> NDArray[Any]:
    if within == "image":
        return volume.voxels
    if within == "nonzero":
        values = volume.voxels[volume.voxels != 0]
    elif mask is None:
        raise RecipeError("Statistics within the mask are asked for, and there is no mask.")
    else:
        values = volume.voxels[..., mask.voxels != 0]
    return values if values.size else volume.voxels


@dataclass(frozen=True)
class Grey(IntensityStep):
    """See :func:`grey`."""

    name: ClassVar[str] = "grey"

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """One channel."""
        del mask
        return grey(volume)


@dataclass(frozen=True)
class Window(IntensityStep):
    """See :func:`window`."""

    level: float
    width: float
    out_low: float = 0.0
    out_high: float = 1.0
    name: ClassVar[str] = "window"

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise RecipeError(f"A window needs a width above zero, not {self.width:g}.")

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The windowed volume."""
        del mask
        return window(volume, self.level, self.width, self.out_low, self.out_high)


@dataclass(frozen=True)
class Clip(IntensityStep):
    """See :func:`clip`."""

    low: float | None = None
    high: float | None = None
    name: ClassVar[str] = "clip"

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RecipeError(f"Cannot clip from {self.low:g} to {self.high:g}.")

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The clipped volume."""
        del mask
        return clip(volume, self.low, self.high)


@dataclass(frozen=True)
class RescaleIntensity(IntensityStep):
    """See :func:`rescale_intensity`."""

    in_low: float
    in_high: float
    out_low: float = 0.0
    out_high: float = 1.0
    clipped: bool = True
    name: ClassVar[str] = "rescale_intensity"

    def __post_init__(self) -> None:
        if not self.in_high > self.in_low:
            raise RecipeError(f"A range from {self.in_low:g} to {self.in_high:g} is empty.")

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The rescaled volume."""
        del mask
        return rescale_intensity(
            volume, self.in_low, self.in_high, self.out_low, self.out_high, clipped=self.clipped
        )


@dataclass(frozen=True)
class ZScore(IntensityStep):
    """See :func:`zscore`."""

    within: Region = "image"
    name: ClassVar[str] = "zscore"

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The normalised volume."""
        return zscore(volume, mask, self.within)


@dataclass(frozen=True)
class MinMax(IntensityStep):
    """See :func:`minmax`."""

    within: Region = "image"
    name: ClassVar[str] = "minmax"

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The normalised volume."""
        return minmax(volume, mask, self.within)


@dataclass(frozen=True)
class Percentile(IntensityStep):
    """See :func:`percentile`."""

    low: float = 1.0
    high: float = 99.0
    within: Region = "image"
    name: ClassVar[str] = "percentile"

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise RecipeError(
                f"Percentiles must rise within 0 to 100: {self.low:g}, {self.high:g}."
            )

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The normalised volume."""
        return percentile(volume, self.low, self.high, mask, self.within)


@dataclass(frozen=True)
class MaskedBackground(IntensityStep):
    """See :func:`masked_background`."""

    value: float = 0.0
    name: ClassVar[str] = "masked_background"

    def values(self, volume: Volume, mask: Volume | None) -> Volume:
        """The volume with its background set."""
        if mask is None:
            raise RecipeError("The background outside the mask is to be set, and there is no mask.")
        return masked_background(volume, mask, self.value)
