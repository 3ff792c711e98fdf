"""Where text is known to stand: outside of ultrasound regions, and by the device."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diaphane.privacy.pixels.boxes import Box, painted, rectangles

TEMPLATES = Path(__file__).parents[1] / "data" / "burned-in-templates.csv"


def outside_regions(data: Any) -> list[Box]:
    """What lies outside every ultrasound region of the object (PS3.3 C.8.5.5); else nothing.

    Regions that are empty or reach out of the image are not believed: when none is left,
    nothing is outside.
    """
    rows, columns = int(data.Rows), int(data.Columns)
    regions = []
    for item in data.get("SequenceOfUltrasoundRegions") or ():
        try:
            left, top = int(item.RegionLocationMinX0), int(item.RegionLocationMinY0)
            right, bottom = int(item.RegionLocationMaxX1) + 1, int(item.RegionLocationMaxY1) + 1
        except (AttributeError, TypeError, ValueError):
            continue
        # Some devices give the image's size as the last pixel.
        if 0 <= top < bottom - 1 <= rows and 0 <= left < right - 1 <= columns:
            regions.append(Box(top, left, min(bottom, rows), min(right, columns)))
    if not regions:
        return []
    outside = ~painted(regions, rows, columns)
    return [Box(*place, "outside_region") for place in rectangles(outside)]


def known_places(data: Any) -> list[Box]:
    """Boxes of the templates that fit this object's device and size."""
    found = []
    rows, columns = int(data.Rows), int(data.Columns)
    image_type = "\\".join(str(part) for part in data.get("ImageType") or ())
    for row in _templates():
        fits = (
            str(data.get("Modality", "")) == row["modality"]
            and row["manufacturer"].lower() in str(data.get("Manufacturer", "")).lower()
            and row["model"].lower() in str(data.get("ManufacturerModelName", "")).lower()
            and row["rows"] in ("", str(rows))
            and row["columns"] in ("", str(columns))
            and row["image_type"] in image_type
        )
        if fits:
            left, top, wide, high = (int(row[k]) for k in ("left", "top", "width", "height"))
            box = Box(top, left, top + high, left + wide, "template").within(rows, columns)
            found += [box] if box is not None else []
    return found


@functools.cache
def _templates() -> tuple[dict[str, str], ...]:
    with TEMPLATES.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(line for line in file if not line.startswith("#")))


def not_blank(boxes: list[Box], frames: Iterator[Any]) -> list[Box]:
    """The boxes under which some frame is not of one value."""
    left = list(boxes)
    kept: list[Box] = []
    for frame in frames:
        said = [box for box in left if np.ptp(frame[box.place], axis=(0, 1)).any()]
        kept += said
        left = [box for box in left if box not in said]
        if not left:
            break
    return sorted(kept)
