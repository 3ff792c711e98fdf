"""Pictures of a report: windows, outlines, evidence in colour, scale bars.

A :class:`Picture` holds what the template lays over each other: the image in each window,
the evidence as a transparent layer, and the outline as a vector path.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.thumbnail import data_uri, shown_range
from diaphane.core.volume import Volume
from diaphane.report.sheets import Box, Sheet

Floats = NDArray[np.float32]

WINDOWS = {"lung": (-600.0, 1500.0), "soft": (40.0, 400.0)}
"""Centre and width in HU."""
RAISES, LOWERS = (232, 112, 36), (56, 132, 226)
"""Colours of contributions that raise and lower the score; told apart by the colour-blind."""


@dataclass(frozen=True)
class Picture:
    """One picture and its layers.

    Attributes
    ----------
    windows:
        Window name -> ``data:`` address.
    evidence:
        Transparent layer, or empty.
    outlines:
        SVG path data in a box of ``width`` x ``height``.
    frame:
        Left, top, width, height of a marked region in per cent, or ``None``.
    scale, scale_share:
        Words of the scale bar, and its length as a share of the width.
    """

    name: str
    width: int
    height: int
    windows: dict[str, str]
    evidence: str = ""
    outlines: tuple[str, ...] = ()
    marks: tuple[str, str, str, str] = ("", "", "", "")
    frame: tuple[float, float, float, float] | None = None
    scale: tuple[float, str] | None = None
    scale_share: float = 0.0
    dots: tuple[dict[str, Any], ...] = field(default=())


def grey(values: Floats, low: float, high: float) -> NDArray[np.uint8]:
    """8-bit grey from ``low`` (black) to ``high`` (white)."""
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return np.asarray(np.clip(np.nan_to_num(scaled), 0, 255).round(), dtype=np.uint8)


def jpeg(pixels: NDArray[np.uint8], quality: int = 86) -> str:
    """The JPEG of grey ``(h, w)`` or RGB pixels as a ``data:`` address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def flat(volume: Volume) -> NDArray[Any]:
    """Voxels ``(z, y, x)``; several channels are averaged."""
    voxels = volume.voxels
    return np.asarray(voxels.mean(axis=0, dtype=np.float32) if voxels.ndim == 4 else voxels)


def levels(volume: Volume, values: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Window name -> black and white value: lung and soft tissue for HU, else the image's own.

    That is what its file asks for, where it fits the values, else nearly all of them.
    """
    if volume.unit == "HU":
        return {
            name: (centre - width / 2, centre + width / 2)
            for name, (centre, width) in WINDOWS.items()
        }
    some = values[:: max(1, values.shape[0] // 16), ::2, ::2]
    low, high = np.percentile(some, [0.5, 99.5])
    low, high = shown_range(float(low), float(high), volume.meta.get("display_range"))
    return {"image": (low, high if high > low else low + 1.0)}


def body_box(volume: Volume, values: NDArray[Any]) -> Box | None:
    """Where a CT shows tissue, with a margin; ``None`` for other images.

    Rows and columns count when tissue fills more than 4 per cent of them on a middle slice or
    so, which leaves table and clothes out.
    """
    if volume.unit != "HU":
        return None
    tissue = (values[:: max(1, values.shape[0] // 12)] > -300).mean(axis=0)
    low, high = [0], [values.shape[0] - 1]
    for axis in (1, 0):
        filled = np.flatnonzero(tissue.mean(axis=axis) > 0.06)
        size = tissue.shape[1 - axis]
        if filled.size < size // 4:
            return None
        margin = size // 40
        low.append(max(0, int(filled[0]) - margin))
        high.append(min(size - 1, int(filled[-1]) + margin))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def windows(values: Floats, ranges: dict[str, tuple[float, float]]) -> dict[str, str]:
    """Each window's picture."""
    return {name: jpeg(grey(values, low, high)) for name, (low, high) in ranges.items()}


def outlines(mask: Floats, *, level: float = 0.5) -> tuple[str, ...]:
    """Closed SVG paths around ``mask`` ``(h, w)`` at ``level``, in its pixels."""
    from skimage.measure import find_contours

    if mask.max(initial=0.0) <= level:
        return ()
    padded = np.pad(mask, 1)
    paths = []
    for contour in find_contours(padded, level):
        line = simplified(contour, 0.2)
        if len(line) > 3:
            # Pixel centres lie at + 0.5 in the picture; the padding adds 1.
            points = "L".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for y, x in line[:-1])
            paths.append(f"M{points}Z")
    return tuple(paths)


def simplified(line: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """The line ``(n, 2)`` with points left out that lie within ``tolerance`` of what remains.

    Source: Douglas and Peucker 1973. End points stay; a closed line keeps its farthest point.
    """
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    open_parts = [(0, len(line) - 1)]
    while open_parts:
        start, stop = open_parts.pop()
        if stop - start < 2:
            continue
        between = line[start + 1 : stop] - line[start]
        chord = line[stop] - line[start]
        length = float(np.hypot(*chord))
        if length > 0:
            gap = np.abs(between[:, 0] * chord[1] - between[:, 1] * chord[0]) / length
        else:
            gap = np.hypot(between[:, 0], between[:, 1])
        farthest = int(gap.argmax())
        if gap[farthest] > tolerance:
            middle = start + 1 + farthest
            keep[middle] = True
            open_parts += [(start, middle), (middle, stop)]
    return line[keep]


def spread(cells: Floats, shape: tuple[int, int]) -> Floats:
    """Contributions ``(t, h, w)`` as ``(t, H, W)``; every cell keeps its sum.

    A cell gives its contribution to the pixels around its centre by a linear hat, cut at the
    border and scaled so that its shares add up to 1.
    """

    def hats(n: int, size: int) -> Floats:
        pixel = (np.arange(size) + 0.5) / size * n - 0.5
        share = np.clip(1 - np.abs(pixel[:, None] - np.arange(n)[None, :]), 0, None)
        # Coarser pictures than grids have no pixel inside a hat: the nearest one takes it all.
        for j in np.flatnonzero(share.sum(axis=0) == 0):
            share[np.abs(pixel - j).argmin(), j] = 1.0
        return np.asarray(share / share.sum(axis=0), dtype=np.float32)

    rows, columns = hats(cells.shape[1], shape[0]), hats(cells.shape[2], shape[1])
    return np.asarray(np.einsum("Hh,thw,Ww->tHW", rows, cells, columns), dtype=np.float32)


def heat(values: Floats, top: float) -> str:
    """A transparent layer: colour by sign, opacity by size against ``top``; empty if none."""
    if not np.any(values) or top <= 0:
        return ""
    strength = np.clip(np.abs(values) / top, 0, 1)
    pixels = np.zeros((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values >= 0)[..., None], RAISES, LOWERS)
    # The root lifts weak contributions just enough to be seen.
    pixels[..., 3] = np.round(strength**0.75 / 0.04) * 0.04 * 255
    pixels[pixels[..., 3] == 0] = 0
    return data_uri(pixels)


def scale_bar(sheet: Sheet) -> tuple[tuple[float, str], float]:
    """A round length of at most a third of the width, its unit, and its share of the width."""
    width = sheet.size[1] * sheet.pixel
    lengths = [m * 10.0**k for k in range(-2, 5) for m in (1, 2, 5)]
    length = max((v for v in lengths if v <= width / 3.2), default=lengths[0])
    return (length, sheet.unit), length / width


def paint(
    sheet: Sheet,
    values: NDArray[Any],
    ranges: dict[str, tuple[float, float]],
    *,
    mask: NDArray[np.bool_] | None = None,
    evidence: str = "",
    frame: tuple[float, float, float, float] | None = None,
    names: Sequence[str] | None = None,
) -> Picture:
    """The picture of a sheet through ``values``, with the outline of ``mask``.

    ``mask`` is boolean on the native grid; ``names`` limits the windows painted.
    """
    outside = min(low for low, _ in ranges.values())
    pixels = sheet.sample(values, outside=outside)
    chosen = {name: ranges[name] for name in (names or ranges) if name in ranges} or ranges
    scale, share = scale_bar(sheet)
    lines = () if mask is None else outlines(sheet.sample(mask))
    return Picture(
        sheet.name,
        sheet.size[1],
        sheet.size[0],
        windows(pixels, chosen),
        evidence,
        lines,
        sheet.marks,
        frame,
        scale,
        share,
    )
