"""What is refused before it is tried: declared sizes against the limits and against the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from diaphane.core.errors import OverLimit
from diaphane.core.options import Limits

LIMITS = Limits()
SMALL = 128 * 2**20
"""Bytes that anything may grow to, however small the file."""
MASK = 512 * 2**20
"""The same for formats of masks, which are mostly nothing and shrink a lot."""
SECONDS = 4.0
"""Processor time that any file may take, however small."""
SLOWEST = 1e6
"""Stored bytes a second that are decoded at least; healthy codecs do 2 to 20 million."""
PARSED = 4e6
"""Bytes of a file for a second of parsing its header, which is a small part of an honest one."""

_packed: dict[str, int] = {}  # of files that were unpacked here


def stored_bytes(path: Path) -> int:
    """Bytes that the file takes where it came from: packed, if that was an archive.

    Raises
    ------
    OSError
        When there is no such file.
    """
    return _packed.get(str(path)) or path.stat().st_size


def count_packed(sizes: Mapping[str, int]) -> None:
    """Have :func:`stored_bytes` give these sizes, by path, until :func:`count_no_more`."""
    _packed.update(sizes)


def count_no_more(paths: Iterable[str]) -> None:
    """Forget the sizes; the files are gone."""
    for path in paths:
        _packed.pop(path, None)


def require_proportion(
    path: Path, grown: int, stored: int, limits: Limits = LIMITS, *, small: int = SMALL
) -> None:
    """Refuse data that would grow out of proportion: genuine images do not.

    Parameters
    ----------
    path:
        For the message.
    grown, stored:
        Bytes in memory and in the file (:func:`stored_bytes`).
    small:
        Bytes that anything may grow to.

    Raises
    ------
    OverLimit
        Beyond ``small`` and ``limits.archive_ratio`` times what is stored.
    """
    if grown > small and grown > limits.archive_ratio * max(stored, 1):
        raise OverLimit(
            f"{stored} stored bytes would grow to {grown}, more than "
            f"{limits.archive_ratio:g} times as much.",
            path=path,
            remedy="If it is genuine, save it uncompressed.",
        )


def parsing_seconds(stored: int, limits: Limits = LIMITS) -> float:
    """Processor time in seconds that the header of a file of ``stored`` bytes may take."""
    return SECONDS + stored / PARSED if limits.seconds is None else limits.seconds


def require_voxels(path: Path, voxels: int, limits: Limits = LIMITS) -> None:
    """Refuse an image of more voxels than are read.

    Raises
    ------
    OverLimit
        Beyond ``limits.pixels``.
    """
    if voxels > limits.pixels:
        raise OverLimit(
            f"The image declares {voxels} voxels; at most {limits.pixels} are read.", path=path
        )
