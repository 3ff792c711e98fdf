"""Pixels that pad an image to its size, and what they become.

The rule: a padded voxel takes the smallest real value of its volume, so that a value such as
-3024 HU cannot spoil what is computed from all voxels. It stays where it is 0 and no real value
is negative: that is the background that everybody expects. Without a real voxel, all stay.

Source: DICOM PS3.3 C.7.5.1.1.2 (Pixel Padding Value and Pixel Padding Range Limit).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from diaphane.acquire.headers import Header
from diaphane.acquire.planes import Plane
from diaphane.acquire.stored import uses_modality_lut

Array = NDArray[Any]


def padded_range(header: Header) -> tuple[int, int] | None:
    """First and last stored value that is padding; ``None`` where the file declares none."""
    value, limit = header.stored("padding"), header.stored("padding_limit")
    if value is None or header.is_float or uses_modality_lut(header) or header.samples > 1:
        return None
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def replace_padding(out: Array, planes: Sequence[Plane], rescale: Any) -> None:
    """Apply the rule to voxels ``(z, y, x)`` in place.

    ``rescale(plane, stored)`` gives the value, in the type of ``out``, that stored values of the
    plane have become, or ``None`` where the type cannot hold it.
    """
    if not any(plane.header.states("padding") for plane in planes):
        return
    smallest: list[Any] = []
    padded: list[tuple[int, Any, Any]] = []
    for z, plane in enumerate(planes):
        low = out[z].min()
        ends = padded_range(plane.header)
        values = None if ends is None else rescale(plane, ends)
        if values is None or values[1] < low or values[0] > (high := out[z].max()):
            smallest.append(low)
            continue
        if values[0] <= low and high <= values[1]:  # all of it
            padded.append((z, *values))
            continue
        real = out[z][(out[z] < values[0]) | (out[z] > values[1])]
        if real.size < out[z].size:
            padded.append((z, *values))
        smallest.append(real.min())
    if not padded or not smallest:
        return
    floor = min(smallest)
    for z, first, last in padded:
        if first <= 0 <= last and floor >= 0:
            continue
        plane_voxels = out[z]
        plane_voxels[(plane_voxels >= first) & (plane_voxels <= last)] = floor


def padding_facts(header: Header) -> dict[str, Any]:
    """``padding``: first and last stored value that the file declares as padding."""
    ends = padded_range(header)
    return {} if ends is None else {"padding": ends}
