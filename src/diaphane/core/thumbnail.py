"""Small pictures of a volume, without an imaging library."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode grey ``(h, w)``, RGB ``(h, w, 3)`` or RGBA ``(h, w, 4)`` 8-bit pixels as PNG.

    Source: PNG (ISO/IEC 15948), filter type 0 on every row.
    """
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width = pixels.shape[:2]
    colour = {2: 0, 3: 2, 4: 6}[2 if pixels.ndim == 2 else pixels.shape[2]]
    rows = pixels.reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw, 6))
        + chunk(b"IEND", b"")
    )


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """The PNG of ``pixels`` as a ``data:`` address for HTML."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def shown_range(low: float, high: float, wanted: Any) -> tuple[float, float]:
    """Black and white for values between ``low`` and ``high``: ``wanted`` where it fits them.

    A window that a file states fits when it and the values share a tenth of the wider of both.
    """
    if wanted is not None:
        start, stop = float(wanted[0]), float(wanted[1])
        common = min(stop, high) - max(start, low)
        if common > 0 and common >= 0.1 * max(stop - start, high - low):
            return start, stop
    return low, high


def thumbnails(
    voxels: NDArray[Any],
    spacing: tuple[float | None, float | None, float | None],
    wanted: tuple[float, float] | None = None,
) -> list[tuple[str, str]]:
    """Name and ``data:`` address of the middle plane along each axis longer than 1.

    Grey values run over ``wanted`` where it fits (:func:`shown_range`), else from the 1st to the
    99th percentile; pixels are square in mm.
    """
    stack = voxels[0] if voxels.ndim == 4 else voxels
    steps = [s or 1.0 for s in spacing]
    low, high = np.percentile(stack[:: max(1, stack.shape[0] // 32)], [1, 99])
    low, high = shown_range(float(low), float(high), wanted)
    scale = 255.0 / max(float(high - low), 1e-12)
    pictures: list[tuple[str, str]] = []
    planes = [("axial", 0), ("coronal", 1), ("sagittal", 2)]
    for name, axis in planes if stack.shape[0] > 1 else planes[:1]:
        plane = np.take(stack, stack.shape[axis] // 2, axis=axis)
        rows, columns = [steps[i] for i in range(3) if i != axis]
        tall = max(1, round(plane.shape[0] * rows / min(rows, columns)))
        wide = max(1, round(plane.shape[1] * columns / min(rows, columns)))
        at = np.ix_(
            np.arange(tall) * plane.shape[0] // tall, np.arange(wide) * plane.shape[1] // wide
        )
        grey = np.clip((plane[at].astype(np.float32) - low) * scale, 0, 255)
        # Superior is up in the two upright planes; index 0 of z is usually inferior.
        pictures.append((name, data_uri((grey if axis == 0 else grey[::-1]).astype(np.uint8))))
    return pictures
