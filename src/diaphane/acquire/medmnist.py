"""MedMNIST archives: arrays of images and labels by split in one ``.npz``.

Source: Yang et al., Sci Data 10:41, 2023; file layout of medmnist 3.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS, SMALL
from diaphane.acquire.dataset import SPLITS, Dataset, Entry, Parts, classes_of
from diaphane.core.case import SourceRef
from diaphane.core.errors import DatasetError
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser

_CHANNELS = 4  # a last axis as short as this is colours, where the two before are longer

Array = NDArray[Any]


@dataclass(eq=False)
class _Archive:
    """The archive's arrays, each read once, when first asked for."""

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _arrays: dict[str, Array] = field(default_factory=dict, repr=False)

    def array(self, name: str) -> Array:
        with self._lock:
            if name not in self._arrays:
                self._arrays[name] = self._read(name)
            return self._arrays[name]

    def _read(self, name: str) -> Array:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return np.asarray(archive[name])
        except Exception as error:  # zipfile raises whatever a damaged archive makes it meet
            problem = (
                f"The array '{name}' holds Python objects, which are never loaded."
                if "pickle" in str(error).lower() or "object" in str(error).lower()
                else f"The array '{name}' is damaged."
            )
            raise DatasetError(
                problem, path=self.path, remedy="Save plain numbers with numpy.savez."
            ) from error


def open_medmnist(path: Path, limits: Limits = LIMITS, *, strict: bool = True) -> Dataset:
    """The data set of a MedMNIST ``.npz``; cases are named ``SPLIT/INDEX``.

    Any of ``train_*``, ``val_*`` and ``test_*`` may be absent. Images are ``(n, y, x)``,
    ``(n, y, x, c)`` with at most 4 channels, ``(n, z, y, x)`` or ``(n, z, y, x, c)``; labels ``(n,)`` or ``(n, 1)``, or ``(n, labels)``
    for several binary ones. Images without labels are cases only where ``strict`` is false.

    Raises
    ------
    DatasetError
        When the archive is damaged, holds objects, is out of proportion, or its labels do
        not match its images.
    """
    _require_safe(path, limits)
    archive = _Archive(path)
    try:
        with np.load(path, allow_pickle=False) as opened:
            names = set(opened.files)
    except Exception as error:  # zipfile raises whatever a damaged archive makes it meet
        raise DatasetError("This is not a readable npz archive.", path=path) from error
    entries: list[Entry] = []
    columns: tuple[str, ...] = ()
    for split in SPLITS:
        if f"{split}_images" not in names or not _count(archive, split):
            continue
        labels = _labels(archive, split) if f"{split}_labels" in names else None
        if labels is None and strict:
            raise DatasetError(f"There are {split} images without labels.", path=path)
        found, columns_here = _entries(archive, split, labels)
        if columns and columns_here and columns != columns_here:
            raise DatasetError("Splits have different numbers of labels.", path=path)
        columns = columns or columns_here
        entries += found
    if not entries:
        raise DatasetError(
            "The archive has no train_images, val_images or test_images.",
            path=path,
            remedy="Name the arrays as MedMNIST does.",
        )
    return Dataset("medmnist", tuple(entries), columns, classes_of(entries, columns))


def _require_safe(path: Path, limits: Limits) -> None:
    """Refuse archives that are far larger inside than outside, before anything is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                large = item.file_size > SMALL
                if item.file_size > limits.archive_bytes or (
                    large and item.file_size > limits.archive_ratio * max(item.compress_size, 1)
                ):
                    raise DatasetError(
                        f"The array '{item.filename}' grows from {item.compress_size} to "
                        f"{item.file_size} bytes.",
                        path=path,
                        remedy="If it is genuine, save it uncompressed.",
                    )
                _require_header(archive, item, path)
    except DatasetError:
        raise
    except Exception as error:  # zipfile raises whatever a damaged archive makes it meet
        raise DatasetError("This is not a readable npz archive.", path=path) from error


def _require_header(archive: zipfile.ZipFile, item: zipfile.ZipInfo, path: Path) -> None:
    """Refuse an array whose declared shape does not fit its bytes, or that holds objects."""
    if not item.filename.endswith(".npy"):
        raise DatasetError(f"'{item.filename}' is no array.", path=path)
    try:
        with archive.open(item) as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
            header = stream.tell()
    except ValueError as error:
        raise DatasetError(f"The array '{item.filename}' is damaged.", path=path) from error
    name = item.filename.removesuffix(".npy")
    if dtype.hasobject:
        raise DatasetError(
            f"The array '{name}' holds Python objects, which are never loaded.",
            path=path,
            remedy="Save plain numbers with numpy.savez.",
        )
    declared = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    if declared != item.file_size - header:
        raise DatasetError(
            f"The array '{name}' declares {declared} bytes and holds {item.file_size - header}.",
            path=path,
        )


def _labels(archive: _Archive, split: str) -> Array:
    labels = archive.array(f"{split}_labels")
    if labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or labels.dtype.kind not in "biuU":
        raise DatasetError(
            f"The labels of {split} have shape {labels.shape} and type {labels.dtype}.",
            path=archive.path,
            remedy="Labels are whole numbers or text, one row a case.",
        )
    return labels


def _entries(
    archive: _Archive, split: str, labels: Array | None
) -> tuple[list[Entry], tuple[str, ...]]:
    count = _count(archive, split)
    if labels is not None and len(labels) != count:
        raise DatasetError(
            f"There are {count} {split} images and {len(labels)} labels.", path=archive.path
        )
    width = 0 if labels is None else labels.shape[1]
    columns = ("label",) if width == 1 else tuple(str(i) for i in range(width))
    names = Pseudonymiser.load()
    entries = []
    for index in range(count):
        name = f"{split}/{index}"
        key = names.pseudonym(f"{archive.path.name}\0{name}", "case")
        values = {} if labels is None else {c: str(labels[index, i]) for i, c in enumerate(columns)}
        entries.append(Entry(name, key, key, _reader(archive, split, index), values, split))
    return entries, columns


def _count(archive: _Archive, split: str) -> int:
    """Number of images, from the array's header alone."""
    with zipfile.ZipFile(archive.path) as opened, opened.open(f"{split}_images.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    if len(shape) not in (3, 4, 5) or min(shape[1:]) < 1 or dtype.kind not in "biuf":
        raise DatasetError(
            f"The {split} images have shape {shape} and type {dtype}.", path=archive.path
        )
    return int(shape[0])


def _reader(archive: _Archive, split: str, index: int) -> Callable[[], Parts]:
    def read() -> Parts:
        image = archive.array(f"{split}_images")[index]
        if image.ndim == 2:
            voxels = image[None]
        elif image.ndim == 3 and image.shape[-1] <= _CHANNELS < min(image.shape[:2]):
            voxels = np.moveaxis(image, -1, 0)[:, None]
        elif image.ndim == 3:
            voxels = image
        else:
            voxels = np.moveaxis(image, -1, 0)
        voxels = np.ascontiguousarray(voxels)
        if voxels.dtype.kind == "f":
            voxels = voxels.astype(np.float32)
        z, y, x = voxels.shape[-3:]
        volume = Volume(voxels, Geometry((z, y, x))).require_finite(str(archive.path))
        return Parts({"image": volume}, source=SourceRef([archive.path]))

    return read
