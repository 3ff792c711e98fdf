"""Masks of a data set: which values they hold, and what these mean."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import raster
from diaphane.acquire.drawn import is_mask_file, label_map, list_segments, only_mask_in, open_mask
from diaphane.acquire.reading import format_of, load
from diaphane.acquire.segments import Segment, Target
from diaphane.core.errors import DatasetError, InputError
from diaphane.core.options import AS_IS, Limits, ReadOptions
from diaphane.core.volume import Volume

LOSSY = (".jpg", ".jpeg")
_MIDDLE = (96, 160)
"""Values that JPEG makes of neither 0 nor 255."""
_MOST_LABELS = 64
"""Of masks whose values have no names and reach 255, that is: of pictures."""


@dataclass(eq=False)
class MaskReader:
    """Reads the masks of one data set by one rule.

    When all masks together hold at most two values and no names are given, they are read as
    0 and 1, whatever those values are; otherwise values are integer labels. JPEG blurs two values
    into some near each: they are read as 0 and 1 as well, where none lies between. The values are
    collected once, when the first mask is asked for.

    A DICOM SEG or RT Structure Set, or a folder with just one, is drawn on the grid of its image.
    Names choose its segments by label or coded meaning, and the others are left out; where none
    is so called, or there are no names, the values are the numbers of the segments.

    Attributes
    ----------
    files:
        All masks of the data set.
    names:
        Label by value, from ``labels.json`` or ``dataset.json``; ``None`` when not given.
    options:
        How they are read.
    """

    files: Sequence[Path]
    names: Mapping[int, str] | None = None
    options: ReadOptions = AS_IS
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _values: tuple[int, ...] | None = field(default=None, repr=False)

    def read(self, path: Path, image: Volume, files: Sequence[Path] = ()) -> Volume:
        """The mask at ``path`` as small integers on the grid of ``image``, read from ``files``.

        Raises
        ------
        DatasetError
            When it is in colour, blurred, holds fractions, has segments that overlap, or does not
            fit the image.
        InputError
            When it is damaged, or a DICOM mask has no place on the grid of the image.
        """
        labels = read_labels(path, image, files, self.names, self.options)
        voxels = labels.voxels
        if self.names is not None:
            unknown = sorted(set(np.unique(voxels).tolist()) - set(self.names) - {0})
            if unknown:
                raise DatasetError(
                    f"The mask holds the value {unknown[0]}, which has no name.", path=path
                )
        elif self._is_blurred():
            voxels = (voxels > _MIDDLE[0]).astype(np.uint8)
        elif len(self.values) <= 2:
            high = self.values[-1]
            voxels = (voxels == high).astype(np.uint8) if high else np.zeros_like(voxels)
        return labels.with_voxels(voxels)

    @property
    def values(self) -> tuple[int, ...]:
        """Values that occur in any mask that can be read, ascending.

        A mask that cannot is refused with its own case, by :meth:`read`.
        """
        with self._lock:
            if self._values is None:
                found: set[int] = set()
                for path in dict.fromkeys(self.files):
                    with contextlib.suppress(InputError):
                        dicom = _dicom_mask(path, self.options.limits)
                        if dicom is None:
                            found.update(
                                int(v) for v in np.unique(_labels(path, self.options).voxels)
                            )
                        else:
                            found.update(
                                {0, *(s.number for s in list_segments(dicom, self.options.limits))}
                            )
                self._values = tuple(sorted(found)) or (0,)
            return self._values

    def labels(self) -> dict[int, str]:
        """Name by value, background left out."""
        if self.names is not None:
            return {value: name for value, name in sorted(self.names.items()) if value != 0}
        if len(self.values) <= 2 or self._is_blurred():
            return {1: "mask"} if self.files else {}
        return {value: str(value) for value in self.values if value != 0}

    def _is_blurred(self) -> bool:
        """Whether the values are two that JPEG blurred.

        Raises
        ------
        DatasetError
            When they are blurred and not two, so that nobody can say what was outlined.
        """
        values = self.values
        lossy = next((p for p in self.files if p.suffix.lower() in LOSSY), None)
        smooth = len(values) > _MOST_LABELS and values[-1] == 255
        if len(values) <= 2 or (lossy is None and not smooth):
            return False
        apart = not any(_MIDDLE[0] <= value <= _MIDDLE[1] for value in values)
        if lossy is not None and apart and values[-1] > _MIDDLE[1]:
            return True
        raise DatasetError(
            f"The masks hold {len(values)} values from {values[0]} to {values[-1]}: "
            + ("JPEG changed them." if lossy is not None else "smoothed at their edges?"),
            path=lossy,
            remedy="Save masks as PNG with whole labels, or name the values in labels.json.",
        )


def read_labels(
    path: Path,
    image: Volume,
    files: Sequence[Path] = (),
    names: Mapping[int, str] | None = None,
    options: ReadOptions = AS_IS,
) -> Volume:
    """The mask at ``path`` with its own values, on the grid of ``image``.

    A DICOM SEG or RT Structure Set is drawn there; its values are the numbers of its segments, or
    those that ``names`` gives them.

    Parameters
    ----------
    files:
        Of the image, in slice order, where it is DICOM.
    names:
        Label by value.
    options:
        How it is read.

    Raises
    ------
    DatasetError
        When it is in colour, holds fractions, or does not fit the image.
    """
    dicom = _dicom_mask(path, options.limits)
    if dicom is not None:
        opened = open_mask(dicom, options.limits)
        values = _values_of(opened.segments, names)
        labels = label_map(opened, Target.of_files(image.geometry, files), list(values), "refuse")
        table = np.zeros(max(values, default=0) + 1, np.uint16)
        for number, value in values.items():
            table[number] = value
        return labels.with_voxels(_whole(table[labels.voxels], path))
    mask = _labels(path, options)
    if mask.shape != image.shape:
        raise DatasetError(
            f"The mask has {_size(mask)} voxels, its image {_size(image)}.", path=path
        )
    placed = mask.geometry.is_spatial and image.geometry.is_spatial
    if placed and not mask.geometry.close_to(image.geometry, 0.1):
        raise DatasetError("The mask does not lie on the grid of its image.", path=path)
    return Volume(mask.voxels, image.geometry, "SEG")


def read_names(path: Path) -> dict[int, str] | None:
    """Label names of a ``labels.json`` in either direction; ``None`` where there is none.

    Raises
    ------
    DatasetError
        When it is damaged.
    """
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError("This is not valid JSON.", path=path) from error
    return names_of(data, path)


def names_of(data: Any, path: Path) -> dict[int, str]:
    """``{value: name}`` from ``{"1": "tumour"}`` or ``{"tumour": 1}``.

    Raises
    ------
    DatasetError
        When it is neither; regions of several values are not read.
    """
    names: dict[int, str] = {}
    if not isinstance(data, dict):
        raise DatasetError("Labels must be an object of names and values.", path=path)
    for left, right in data.items():
        if isinstance(right, int) and not isinstance(right, bool):
            names[right] = str(left)
        elif isinstance(right, str) and left.lstrip("-").isdigit():
            names[int(left)] = right
        else:
            raise DatasetError(
                f"The label '{left}' has no single whole number as its value.",
                path=path,
                remedy="Regions of several values are not read.",
            )
    return names


def _dicom_mask(path: Path, limits: Limits) -> Path | None:
    """The DICOM SEG or RT Structure Set that ``path`` is, or holds; ``None`` for other masks."""
    if path.is_dir():
        return None if raster.slices_of(path) else only_mask_in(path, limits)
    return path if format_of(path) == "dicom" and is_mask_file(path, limits) else None


def _values_of(segments: Sequence[Segment], names: Mapping[int, str] | None) -> dict[int, int]:
    """Value by segment number."""
    wanted = {name.casefold(): value for value, name in (names or {}).items()}
    called = {
        segment.number: wanted[name]
        for segment in segments
        for name in (segment.name.casefold(), segment.label.casefold())
        if name in wanted
    }
    return called or {segment.number: segment.number for segment in segments}


def _labels(path: Path, options: ReadOptions) -> Volume:
    kind = "stack" if path.is_dir() and raster.slices_of(path) else format_of(path)
    if kind == "raster":
        mask = raster.read_raster(path, indices=True, limits=options.limits)
    elif kind == "stack":
        mask = raster.read_stack(path, indices=True, limits=options.limits)
    else:
        mask = load(path, options=options).volume
    voxels = mask.voxels
    if voxels.ndim == 4:
        if not (voxels == voxels[:1]).all():
            raise DatasetError(
                "The mask is in colour.", path=path, remedy="Masks hold one whole number a pixel."
            )
        voxels = voxels[0]  # grey, written as colour
    return mask.with_voxels(_whole(voxels, path))


def _whole(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    if voxels.dtype.kind == "f":
        rounded = np.rint(voxels)
        if np.abs(voxels - rounded).max(initial=0) > 1e-3:
            raise DatasetError("The mask holds fractions.", path=path)
        voxels = rounded
    low, high = float(voxels.min()), float(voxels.max())
    if low < 0 or high > 65535:
        raise DatasetError(f"The mask holds values from {low:g} to {high:g}.", path=path)
    return voxels.astype(np.uint8 if high <= 255 else np.uint16)


def _size(volume: Volume) -> str:
    return " x ".join(str(n) for n in volume.shape)
