"""Everything to blank in an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.errors import UnreadableFile
from diaphane.privacy.pixels.boxes import PIXELS, Box, painted, rectangles
from diaphane.privacy.pixels.finder import text_places
from diaphane.privacy.pixels.known import known_places, not_blank, outside_regions

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66."
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SLICES = frozenset(("CT", "MR", "PT", "NM"))
_SHARE = 0.1


def is_searched(data: Any) -> bool:
    """Whether the finder looks into the pixels of this object unless told to look everywhere.

    Not into original primary images of CT, MR, PET and nuclear medicine in one grey channel:
    scanners as a rule write no text there, and the finder takes anatomy for text in some of them. It does
    when the object says that text is burned in, and into localisers, derived images, secondary
    captures, colour, and every other modality.
    """
    if str(data.get("BurnedInAnnotation", "")) == "YES":
        return True
    if str(data.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE):
        return True
    grey = str(data.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
    kinds = [str(kind) for kind in data.get("ImageType") or ()]
    primary = kinds[:2] == ["ORIGINAL", "PRIMARY"] and "LOCALIZER" not in kinds
    return not (grey and primary and str(data.get("Modality", "")) in _SLICES)


def find_text(source: Any, *, everywhere: bool = False) -> list[Box]:
    """Where text is, or is known to be, burned into the pixels.

    Parameters
    ----------
    source:
        A pydicom dataset; or a picture, ``(H, W)`` or ``(H, W, 3)``.
    everywhere:
        Look for lines of text also where :func:`is_searched` says no.

    Returns
    -------
    list of Box
        Of a dataset: what lies outside of its ultrasound regions, where its device is known to
        write, and lines of text, each where something is left to blank. In a cine loop, what is
        found in a tenth of the frames is blanked in all.

    Raises
    ------
    UnreadableFile
        When the pixels cannot be decoded.
    """
    if isinstance(source, np.ndarray):
        return [Box(*place) for place in text_places(source)]
    if not any(name in source for name in PIXELS):
        return []
    if str(source.get("SOPClassUID", "")).startswith(_SEGMENTATION):
        return []
    known = [*outside_regions(source), *known_places(source)]
    if known:
        known = not_blank(known, frames(source))
    if not (everywhere or is_searched(source)):
        return known
    by_frame: list[list[Box]] = []
    before: tuple[bytes, list[Box]] | None = None
    for number, frame in enumerate(frames(source)):
        shown = frame.copy()
        for box in known:
            shown[box.place] = frame.min()
        same = shown.tobytes()
        places = (
            before[1] if before and before[0] == same else [Box(*p) for p in text_places(shown)]
        )
        before = same, places
        by_frame.append([Box(b.top, b.left, b.bottom, b.right, "text", number) for b in places])
    return [*known, *_over_time(by_frame, int(source.Rows), int(source.Columns))]


def _over_time(by_frame: list[list[Box]], rows: int, columns: int) -> list[Box]:
    """Boxes of all frames: those that come back in many frames hold for every frame."""
    if len(by_frame) == 1:
        return [Box(b.top, b.left, b.bottom, b.right) for b in by_frame[0]]
    seen = np.zeros((rows, columns), np.int32)
    for boxes in by_frame:
        seen += painted(boxes, rows, columns)
    steady = seen >= max(2, _SHARE * len(by_frame))
    found = [Box(*place) for place in rectangles(steady)]
    found += [box for boxes in by_frame for box in boxes if not steady[box.place].all()]
    return found


def frames(data: Any) -> Iterator[NDArray[Any]]:
    """The frames as they are shown, ``(H, W)`` or ``(H, W, 3)``, without rescaling.

    Raises
    ------
    UnreadableFile
        When the pixels cannot be decoded.
    """
    from pydicom.pixels import apply_color_lut, iter_pixels

    try:
        for frame in iter_pixels(data):
            palette = str(data.get("PhotometricInterpretation", "")) == "PALETTE COLOR"
            yield apply_color_lut(frame, data) if palette else frame
    except Exception as error:
        raise UnreadableFile(
            f"The pixels cannot be decoded ({type(error).__name__}).",
            remedy="They cannot be searched for text; leave the file out.",
        ) from error
