"""Which kind of data set a path is."""

from __future__ import annotations

from pathlib import Path

from diaphane.acquire import manifest
from diaphane.acquire.dataset import Dataset
from diaphane.core.errors import DatasetError, EmptyInput


def open_dataset(path: str | Path, *, stack: bool | None = None) -> Dataset:
    """The data set at ``path``, its cases not yet read."""
    place = Path(path)
    if not place.exists():
        raise EmptyInput("There is no such file or folder.", path=place)
    if (place / manifest.FILE).is_file():
        return manifest.open_manifest(place)
    raise DatasetError("This is no data set.", path=place)
