"""The finder of text: a small network that was trained on text planted into pictures.

``data/text.onnx`` (made by ``benchmarks/text_detector.py``, told of in ``data/text.md``) says for
every 4 x 4 cell of a picture how likely a line of text lies there. It does not read: what it
finds may be a name or a scale, and both go.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.runtime import onnx_runtime
from diaphane.privacy.pixels.views import views

Place = tuple[int, int, int, int]

MODEL = Path(__file__).parents[1] / "data" / "text.onnx"
CELL = 4
_STEP = 16
"""Rows and columns that the network sees are multiples of this."""
SURE, POSSIBLE = 0.95, 0.1
"""A line of cells that are possible is one when a cell of it is sure."""
_LEAST_LONG, _LEAST_CELLS = 3, 4
_LARGE = 10
"""Cells across from which a line is large: it is looked for at half size, too."""
_ROUNDS = 3


def text_places(picture: NDArray[Any]) -> list[Place]:
    """Top, left, bottom, right of each line of text, with a margin.

    Parameters
    ----------
    picture:
        ``(H, W)``, or ``(H, W, 3)`` in colour; values of any range.
    """
    places: list[Place] = []
    planes = [np.asarray(plane, np.float32) for plane in _planes(picture)]
    for _ in range(_ROUNDS):
        # Looked at again with what was found taken out, as a checker will do.
        found = sorted(
            {place for plane in planes for grey in scaled(plane) for place in lines(grey)}
        )
        new = [place for place in found if any(_says(plane, place) for plane in planes)]
        if not new:
            break
        places += new
        for plane in planes:
            low = plane.min()
            for top, left, bottom, right in new:
                plane[top:bottom, left:right] = low
    return places


def _says(plane: NDArray[np.float32], place: Place) -> bool:
    top, left, bottom, right = place
    part = plane[top:bottom, left:right]
    return bool(part.min() < part.max())


def _planes(picture: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Grey pictures to look at: brightness and, in colour, the brightest channel."""
    if picture.ndim == 2:
        yield picture.copy()
        return
    luma = picture[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    yield luma
    brightest = picture[..., :3].max(axis=-1)
    if np.abs(brightest - luma).max() > 0.1 * (np.ptp(picture) + 1e-9):
        yield brightest


def scaled(plane: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """From 0 to 1: over the usual range, and over the whole where that is much wider."""
    low, high = (float(v) for v in np.percentile(plane[::2, ::2], (0.5, 99.5)))
    least, most = float(plane.min()), float(plane.max())
    if high > low:
        yield np.clip((plane - low) / (high - low), 0, 1)
    if most > least and most - least > 1.25 * (high - low):
        yield (plane - least) / (most - least)


def lines(grey: NDArray[np.float32]) -> Iterator[Place]:
    """Places of lines in a picture from 0 to 1; the large ones from the picture at half size."""
    rows, columns = grey.shape
    padded = np.pad(grey, ((0, -rows % (2 * _STEP)), (0, -columns % (2 * _STEP))), mode="edge")
    yield from _grouped(_run(padded), grey.shape, 1)
    half = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).mean((1, 3))
    large = np.kron(_run(half), np.ones((2, 2), np.float32))
    yield from _grouped(large, grey.shape, _LARGE)


def _grouped(
    likely: NDArray[np.float32], shape: tuple[int, ...], least_high: int
) -> Iterator[Place]:
    """Places of lines at least so many cells high, from the likelihood of the cells."""
    from scipy import ndimage

    parts, _ = ndimage.label(likely >= POSSIBLE)
    for number, where in enumerate(ndimage.find_objects(parts), 1):
        inside = parts[where] == number
        if likely[where][inside].max() < SURE:
            continue
        high, wide = inside.shape
        if max(high, wide) < _LEAST_LONG or inside.sum() < _LEAST_CELLS:
            continue
        if min(high, wide) < least_high:
            continue
        margin = max(3, round(0.15 * CELL * min(high, wide)))
        top, left = where[0].start * CELL - margin, where[1].start * CELL - margin
        bottom, right = where[0].stop * CELL + margin, where[1].stop * CELL + margin
        if top < shape[0] and left < shape[1]:
            yield max(0, top), max(0, left), min(shape[0], bottom), min(shape[1], right)


def _run(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    (said,) = _session().run(None, {"views": views(grey)[None]})
    likely: NDArray[np.float32] = said[0, 0]
    return likely


@functools.cache
def _session() -> Any:
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
