"""Keeps outputs from falling on inputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from diaphane.core.errors import UsageError


def refuse_overwriting(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raise when an output is an input, or a file that already lies in an input folder.

    Raises
    ------
    UsageError
        Naming the output; also when two outputs are one file.
    """
    taken = [path.resolve() for path in inputs if path is not None]
    written: set[Path] = set()
    for path in outputs:
        if path is None:
            continue
        place = path.resolve()
        if place in written:
            raise UsageError("Two outputs have the same name.", path=path)
        written.add(place)
        for source in taken:
            if place == source or (place.exists() and source in place.parents):
                raise UsageError(
                    "This would overwrite the input.", path=path, remedy="Give another name."
                )
        if place.is_dir():
            raise UsageError("This is a folder; give the name of a file.", path=path)
