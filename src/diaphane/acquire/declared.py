"""What a header declares of its pixels, held against what the file has."""

from __future__ import annotations

from diaphane.acquire.bounds import require_voxels
from diaphane.acquire.headers import Header
from diaphane.core.errors import UnreadableFile


def check_pixels(header: Header) -> None:
    """Refuse what cannot hold the image that it declares, before anything is allocated.

    Raises
    ------
    UnreadableFile
        When sizes are zero or the declared pixels do not fit into the file.
    OverLimit
        When there are more voxels than are read.
    """
    elements = header.elements
    path = header.path
    sizes = (header.rows, header.columns, header.frames, header.samples, header.bits_allocated)
    if min(sizes) < 1 or header.bits_stored > header.bits_allocated or header.bits_stored < 1:
        raise UnreadableFile(
            f"The image size is not valid: {header.rows} rows, {header.columns} columns, "
            f"{header.frames} frames, {header.bits_stored} of {header.bits_allocated} bits.",
            path=path,
        )
    if header.slope == 0:
        raise UnreadableFile(
            "RescaleSlope is zero, which makes every voxel the same.",
            path=path,
            remedy="Export the image again.",
        )
    if elements.pixel_length < 0:  # encapsulated: each frame is held against its size when decoded
        require_voxels(path, header.rows * header.columns * header.frames, header.limits)
        if header.frames > elements.file_size // 8:  # an item of nothing takes 8 bytes
            raise UnreadableFile(f"{header.frames} frames cannot be in this file.", path=path)
        return
    expected = header.bytes_expected
    if elements.pixel_length < expected:
        raise UnreadableFile(
            f"The header declares {expected} bytes of pixels, but {elements.pixel_length} "
            "are stored.",
            path=path,
            remedy="Export the image again.",
        )
    if elements.pixel_offset > 0 and elements.pixel_offset + expected > elements.file_size:
        missing = elements.pixel_offset + expected - elements.file_size
        raise UnreadableFile(
            f"The file is cut short: {missing} bytes of pixels are missing.",
            path=path,
            remedy="Copy or export it again.",
        )
