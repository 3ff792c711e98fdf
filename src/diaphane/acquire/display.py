"""How a file wants its grey values shown: windows and VOI LUTs. They are facts, never applied.

Source: DICOM PS3.3 C.11.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.planes import Plane
from diaphane.acquire.quiet import quiet
from diaphane.acquire.stored import is_inverted, read_table, stored_range, uses_modality_lut

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def display_facts(plane: Plane) -> dict[str, Any]:
    """What the file of ``plane`` says of its display.

    ``windows``: pairs of centre and width as the file states them; ``voi_function``;
    ``voi_lut``: first input, entries and bits of its first VOI LUT; ``display_range``: darkest
    and brightest value, in the values of the volume, of the first window, else of the VOI LUT.
    """
    header = plane.header
    if header.samples > 1 or header.photometric == "PALETTE COLOR":
        return {}
    facts: dict[str, Any] = {}
    ends: tuple[float, float] | None = None
    if header.states("voi_lut"):
        ends = _of_table(header, facts)
    pairs = zip(header.numbers("window_centre"), header.numbers("window_width"), strict=False)
    windows = tuple((centre, width) for centre, width in pairs if width > 0)
    if windows:
        function = "".join(header.words("voi_function")[:1])
        function = function if function in _FUNCTIONS else "LINEAR"
        facts |= {"windows": windows, "voi_function": function}
        ends = _ends(*windows[0], function)
    if ends is not None and ends[1] > ends[0]:
        facts["display_range"] = _turned(ends, plane)
    return facts


def _ends(centre: float, width: float, function: str) -> tuple[float, float]:
    if function == "LINEAR" and width >= 1:  # C.11.2.1.2.1: a width of 1 is a threshold
        return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    return centre - width / 2, centre + width / 2


def _turned(ends: tuple[float, float], plane: Plane) -> tuple[float, float]:
    """A range of rescaled values in those of the volume, which may be inverted."""
    header = plane.header
    if not is_inverted(header) or header.is_float or uses_modality_lut(header):
        return ends
    total = sum(stored_range(header)) * plane.slope + 2 * plane.intercept
    return total - ends[1], total - ends[0]


def _of_table(header: Header, facts: dict[str, Any]) -> tuple[float, float] | None:
    try:
        with quiet():
            data = parsed(
                header.path, tags=["VOILUTSequence", "PixelRepresentation"], limits=header.limits
            )
            items: Sequence[Any] = data.get("VOILUTSequence") or []
            table = read_table(items[0], header) if items else None
    except Exception as error:  # pydicom raises whatever a damaged file makes it meet
        raise damaged(header.path, error, "VOI LUT is") from error
    if table is None:
        return None
    facts["voi_lut"] = (table.first, len(table.values), table.bits)
    moving = np.flatnonzero(np.diff(table.values))
    if not len(moving):
        return None
    return float(table.first + moving[0]), float(table.first + moving[-1] + 1)
