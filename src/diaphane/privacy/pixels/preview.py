"""Before and after, side by side, for a person to confirm."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.files import replacing
from diaphane.privacy.pixels.boxes import Box
from diaphane.privacy.pixels.finding import frames

_COLOURS = {"text": (255, 80, 80), "template": (255, 180, 0), "outside_region": (80, 160, 255)}
_GAP = 8


def preview(data: Any, boxes: Iterable[Box], path: Path, frame: int = 0) -> None:
    """Write a PNG: the frame with its boxes drawn, and the frame without what is in them.

    It shows what is to be removed: it belongs with whoever confirms, never with the results.
    Red is text that was found, orange what the device is known to write, blue what lies outside
    of the regions of an ultrasound image. It carries no text of its own and no metadata.

    Parameters
    ----------
    data:
        The dataset before blanking.
    boxes:
        As :func:`find_text` gave them.
    path:
        A ``.png`` file.
    frame:
        Which frame of several.

    Raises
    ------
    UnreadableFile
        When the pixels cannot be decoded.
    """
    from PIL import Image, ImageDraw

    plane = next(shown for k, shown in enumerate(frames(data)) if k == frame)
    before = _grey_levels(plane, inverted=data.get("PhotometricInterpretation") == "MONOCHROME1")
    after = before.copy()
    wanted = [box for box in boxes if box.frame in (None, frame)]
    for box in wanted:
        after[box.place] = 0
    gap = np.full((len(before), _GAP, 3), 128, np.uint8)
    image = Image.fromarray(np.concatenate((before, gap, after), axis=1))
    draw = ImageDraw.Draw(image)
    for box in wanted:
        corner = (max(box.left, box.right - 1), max(box.top, box.bottom - 1))
        draw.rectangle(((box.left, box.top), corner), outline=_COLOURS[box.reason], width=2)
    with replacing(path) as beside:
        image.save(beside)


def _grey_levels(plane: NDArray[Any], *, inverted: bool) -> NDArray[np.uint8]:
    """8-bit RGB of a frame, over its usual range."""
    if plane.ndim == 3 and plane.dtype == np.uint8:
        return np.array(plane[..., :3])
    low, high = np.percentile(plane, (0.5, 99.8))
    levels = np.clip((plane - low) / max(float(high - low), 1e-9), 0, 1) * 255
    shown = (255 - levels if inverted else levels).astype(np.uint8)
    return shown[..., :3] if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
