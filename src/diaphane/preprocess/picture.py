"""Before and after, side by side, as a picture or a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import UsageError
from diaphane.core.files import write_bytes, write_text
from diaphane.core.geometry import Geometry
from diaphane.core.thumbnail import data_uri, png
from diaphane.core.volume import Volume
from diaphane.preprocess.intensity import grey

Pixels = NDArray[np.uint8]

_SIDE = 384  # pixels of a panel's longer side
_GAP = 16
_PAPER, _INK, _FAINT = (18, 22, 28), (236, 240, 244), (150, 160, 172)


def before_after(before: Volume, after: Volume) -> Pixels:
    """RGB picture ``(h, w, 3)``: the middle slice before and after, each in its own range.

    For two grids that differ, so nothing is subtracted.
    """
    panels = []
    for title, volume in (("before", before), ("after", after)):
        plane = _middle(volume)
        low, high = _range(plane)
        shown = _panel(_square(_grey(plane, low, high), volume.geometry))
        panels.append((title, f"{describe(volume)}, {low:.4g} to {high:.4g}", shown))
    return _sheet([panels])


def noise_picture(before: Volume, after: Volume) -> Pixels:
    """RGB picture: the middle slice before, after, and what was taken; below, a detail.

    Before and after share one range of grey. The difference is grey at zero and white or
    black at four times its standard deviation: anatomy seen there was taken away with the
    noise.
    """
    old, new = _middle(before), _middle(after)
    low, high = _range(old)
    rest = old - new
    reach = max(4 * float(rest.std()), 1e-12)
    views = [
        ("before", _grey(old, low, high)),
        ("after", _grey(new, low, high)),
        (f"before - after, ±{reach:.3g}", _grey(rest, -reach, reach)),
    ]
    rows: list[list[tuple[str, str, Pixels]]] = [[], []]
    for title, plane in views:
        height, width = plane.shape
        tall, wide = max(1, height // 4), max(1, width // 4)
        y, x = (height - tall) // 2, (width - wide) // 2
        detail = plane[y : y + tall, x : x + wide]
        rows[0].append((title, "", _panel(_square(plane, before.geometry))))
        rows[1].append(("", "detail, 4 x", _panel(_square(detail, before.geometry))))
    return _sheet(rows)


def describe(volume: Volume) -> str:
    """Size and spacing as text, for example "64 x 512 x 512, 5 x 0.842 x 0.842 mm"."""
    sizes = " x ".join(str(n) for n in volume.shape)
    if all(step is None for step in volume.geometry.spacing):
        return f"{sizes}, spacing unknown"
    steps = " x ".join("?" if s is None else f"{s:.3g}" for s in volume.geometry.spacing)
    return f"{sizes}, {steps} mm"


def write_picture(path: str | Path, picture: Pixels) -> None:
    """Write the picture as PNG, in one step."""
    if Path(path).suffix.lower() != ".png":
        raise UsageError("A picture is written as .png.", path=path)
    write_bytes(path, png(picture))


def write_report(
    path: str | Path, picture: Pixels, facts: Mapping[str, str], steps: Sequence[Any]
) -> None:
    """Write the picture with a table of facts and the steps as one HTML page, or as PNG.

    Raises
    ------
    UsageError
        For an ending other than .html and .png.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        if Path(path).suffix.lower() != ".png":
            raise UsageError("A report is written as .html or .png.", path=path)
        write_picture(path, picture)
        return
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    listed = "".join(f"<li><code>{escape(str(step))}</code></li>" for step in steps)
    write_text(path, _PAGE.format(picture=data_uri(picture), rows=rows, steps=listed))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>diaphane preprocess</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #17202a;
  font: 16px/1.5 system-ui, "Noto Sans", sans-serif; }}
img {{ width: 100%; border-radius: 6px; }}
table {{ border-collapse: collapse; margin: 1.5rem 0; }}
th {{ text-align: left; font-weight: 600; padding: .25rem 2rem .25rem 0; vertical-align: top; }}
td {{ padding: .25rem 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
</style></head><body><h1>Before and after</h1>
<img alt="Middle slice before and after preprocessing" src="{picture}">
<table>{rows}</table><h2>Steps</h2><ol>{steps}</ol></body></html>
"""


def _middle(volume: Volume) -> NDArray[np.float32]:
    single = grey(volume) if volume.channels in (1, 2, 3, 4) else volume
    voxels = single.voxels if single.voxels.ndim == 3 else single.voxels[0]
    plane = voxels[voxels.shape[0] // 2]
    return np.asarray(plane, dtype=np.float32)


def _range(plane: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.percentile(plane, [1, 99])
    if high <= low:
        low, high = float(plane.min()), float(plane.max())
    return float(low), float(high)


def _grey(plane: NDArray[np.float32], low: float, high: float) -> Pixels:
    scaled = (plane - low) * (255.0 / max(high - low, 1e-12))
    return np.asarray(np.clip(scaled, 0, 255), dtype=np.uint8)


def _square(plane: Pixels, geometry: Geometry) -> Pixels:
    """Pixels made square in mm by repeating rows or columns."""
    _, dy, dx = (step or 1.0 for step in geometry.spacing)
    tall = max(1, round(plane.shape[0] * dy / min(dy, dx)))
    wide = max(1, round(plane.shape[1] * dx / min(dy, dx)))
    rows = np.arange(tall) * plane.shape[0] // tall
    columns = np.arange(wide) * plane.shape[1] // wide
    return plane[np.ix_(rows, columns)]


def _panel(plane: Pixels) -> Pixels:
    """The plane with its longer side at panel size: repeated when small, averaged when large."""
    from PIL import Image

    height, width = plane.shape
    share = _SIDE / max(height, width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    kind = Image.Resampling.NEAREST if share > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, kind))


def _sheet(rows: Sequence[Sequence[tuple[str, str, Pixels]]]) -> Pixels:
    """Panels in rows, each with a title and a caption above it."""
    from PIL import Image, ImageDraw, ImageFont

    columns = max(len(row) for row in rows)
    titled = [20 * bool(row[0][0]) + 17 * bool(row[0][1]) + 6 for row in rows]
    heights = [max(p.shape[0] for _, _, p in row) for row in rows]
    total = sum(heights) + sum(titled) + _GAP * (len(rows) + 1)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP) + _GAP, total), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(12)
    top = _GAP
    for row, space, height in zip(rows, titled, heights, strict=True):
        for k, (title, caption, panel) in enumerate(row):
            left = _GAP + k * (_SIDE + _GAP)
            if title:
                draw.text((left, top), title, fill=_INK, font=large)
            if caption:
                draw.text((left, top + 20 * bool(title)), caption, fill=_FAINT, font=small)
            middle = left + (_SIDE - panel.shape[1]) // 2
            sheet.paste(Image.fromarray(panel), (middle, top + space))
        top += space + height + _GAP
    return np.asarray(sheet)
