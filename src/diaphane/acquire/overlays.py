"""Overlays: graphics and regions that a file lays over its image. They are never burned in.

Source: DICOM PS3.3 C.9.2 (Overlay Plane), PS3.5 8.1.2 (overlays in unused bits, retired).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.attributes import OVERLAY_GROUPS
from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import damaged, parsed
from diaphane.acquire.planes import Plane
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import UnreadableFile

_RLE = "1.2.840.10008.1.2.5"


def overlay_groups(header: Header) -> tuple[int, ...]:
    """Groups (0x6000, 0x6002, ...) of the overlays that the file holds."""
    return tuple(group for group in OVERLAY_GROUPS if header.states(f"overlay_{group:X}"))


def overlay_facts(header: Header) -> dict[str, Any]:
    """``overlays``: their groups as text ("6000"), where there are any."""
    groups = overlay_groups(header)
    return {"overlays": tuple(f"{group:X}" for group in groups)} if groups else {}


def overlay_masks(planes: Sequence[Plane]) -> dict[str, NDArray[np.uint8]]:
    """Overlays as masks of 0 and 1 of planes, ``(z, y, x)``, by group ("6000").

    Raises
    ------
    UnreadableFile
        When an overlay is damaged.
    """
    found: dict[str, NDArray[np.uint8]] = {}
    shape = (len(planes), planes[0].rows, planes[0].columns)
    data, path = None, None
    for z, plane in enumerate(planes):
        header = plane.header
        groups = overlay_groups(header)
        if not groups:
            continue
        if header.path != path:
            data, path = _read(header), header.path
        for group in groups:
            mask = found.setdefault(f"{group:X}", np.zeros(shape, np.uint8))
            try:
                with quiet():
                    whole = np.zeros((header.rows, header.columns), np.uint8)
                    _draw(whole, data, group, plane.frame)
                    mask[z] = plane.cut(whole)
            except Exception as error:  # pydicom raises whatever a damaged file makes it meet
                raise damaged(header.path, error, f"overlay {group:X} is") from error
    return dict(sorted(found.items()))


def _read(header: Header) -> Any:
    import pydicom

    with quiet():
        data = parsed(header.path, pixels=True, limits=header.limits)
        if "TransferSyntaxUID" not in getattr(data, "file_meta", {}):
            data.file_meta.TransferSyntaxUID = pydicom.uid.UID(header.elements.syntax)
    return data


def _draw(target: NDArray[np.uint8], data: Any, group: int, frame: int) -> None:
    """Set what the overlay covers of the frame ``target`` ``(y, x)``."""

    def value(element: int, default: Any) -> Any:
        found = data.get((group, element))
        return default if found is None or found.value in (None, "") else found.value

    if value(0x3000, None) is None:
        target |= _unused_bit(data, frame, int(value(0x0102, 0)))
        return
    frames = int(value(0x0015, 1))
    layers = np.asarray(data.overlay_array(group)).reshape(
        frames, int(value(0x0010, 0)), int(value(0x0011, 0))
    )
    at = frame - (int(value(0x0051, 1)) - 1)
    if frames == 1 and value(0x0051, None) is None:
        at = 0  # one overlay for all frames
    if not 0 <= at < frames:
        return
    top, left = (int(v) - 1 for v in value(0x0050, (1, 1)))
    layer = layers[at][max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    layer = layer[: max(0, target.shape[0] - top), : max(0, target.shape[1] - left)]
    target[top : top + layer.shape[0], left : left + layer.shape[1]] |= layer != 0


def _unused_bit(data: Any, frame: int, bit: int) -> NDArray[np.bool_]:
    """The overlay in one bit of every stored word; native codecs are not trusted with that."""
    from pydicom.pixels import get_decoder

    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != _RLE:
        raise UnreadableFile(
            "An overlay in unused bits of compressed pixels is not read.",
            path=data.filename,
            remedy="Convert the file, for example with 'gdcmconv --raw'.",
        )
    plugin = "pydicom" if syntax == _RLE else ""
    whole: dict[str, Any] = {"bits_stored": int(data.BitsAllocated)}
    words, _ = get_decoder(syntax).as_array(
        data, index=frame, raw=True, decoding_plugin=plugin, **whole
    )
    return np.asarray((words.astype(np.int64) >> bit) & 1 == 1)
