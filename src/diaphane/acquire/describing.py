"""What a file or folder is, in plain data and without identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diaphane.acquire.archives import is_archive, unpack
from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.dataset import SPLITS, Dataset
from diaphane.acquire.drawn import MODALITIES, open_mask
from diaphane.acquire.opening import open_dataset
from diaphane.acquire.reading import format_of, has_dicom, load, require_place
from diaphane.acquire.series import SeriesHeader, SeriesList, find_series, nothing_found
from diaphane.core.errors import InputError
from diaphane.core.geometry import Geometry
from diaphane.core.options import AS_IS, Limits, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.volume import Volume

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


def describe(
    path: str | Path, progress: Progress = silent, options: ReadOptions = AS_IS
) -> dict[str, Any]:
    """What is at ``path``: DICOM series, an image, or a data set.

    Returns
    -------
    dict
        JSON-able. ``kind`` is "dicom", "nifti", "itk", "raster", or a data set's kind. DICOM
        has ``series``, ``masks`` and ``other_objects``; an image ``image``; a data set ``dataset``.
        ``refused`` lists ``{"path", "error", "problem", "remedy"}`` in all.

    Raises
    ------
    InputError
        When there is nothing that can be read.
    """
    place = Path(path)
    require_place(place)
    if is_archive(place):
        room = unpack(place, options.limits)
        with room.naming():
            found = describe(room.folder, progress, options)
        found["refused"] = [{**r, "path": room.shown(r["path"])} for r in found["refused"]]
        return found
    if place.is_file():
        kind = format_of(place)
        if kind == "dicom":
            return _describe_series(find_series(place, options), place, options.limits)
        if kind:
            return {
                "kind": kind,
                "image": describe_volume(load(place, options=options).volume),
                "refused": [],
            }
        if place.suffix.lower() != ".npz" and place.name != "labels.csv":
            load(place, options=options)  # says why it cannot be read
    elif _is_plain_dicom(place):
        return _describe_series(find_series(place, options), place, options.limits)
    dataset = open_dataset(place, options=options)
    if dataset.kind in ("images", "stack"):
        return _describe_images(dataset, progress)
    found = describe_dataset(dataset)
    refused = []
    if dataset.entries:
        try:
            volumes = dataset.entries[0].load().volumes
            found["first_case"] = {n: describe_volume(v) for n, v in volumes.items()}
        except InputError as error:
            refused.append(refusal(dataset.entries[0].name, error))
    return {"kind": dataset.kind, "dataset": found, "refused": refused}


def describe_volume(volume: Volume) -> dict[str, Any]:
    """Size, spacing, orientation and range of a volume."""
    voxels = volume.voxels
    return {
        "modality": volume.modality,
        "shape": list(volume.shape),
        "channels": volume.channels,
        "spacing": list(volume.geometry.spacing),
        "axes": axes(volume.geometry),
        "unit": volume.unit,
        "type": str(voxels.dtype),
        "minimum": float(np.min(voxels)),
        "maximum": float(np.max(voxels)),
    }


def describe_series(series: SeriesHeader) -> dict[str, Any]:
    """A series as ``info`` lists it: no name, number or UID of the patient's."""
    facts = series.facts
    return {
        "number": series.number,
        "index": series.index,
        "key": series.key,
        "modality": series.modality,
        "unit": series.unit,
        "shape": list(series.shape),
        "spacing": list(series.spacing),
        "orientation": facts["orientation"],
        "axes": axes(series.geometry),
        "kernel": facts["kernel"],
        "slice_thickness": facts["slice_thickness"],
        "localizer": facts["localizer"],
        "volume": dict(facts.get("volume", {})),
        "resampled": list(facts.get("resampled", ())),
        "description": series.description,
        "manufacturer": facts["manufacturer"],
        "files": len(series.files),
    }


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Counts of a data set."""
    entries = dataset.entries
    splits = Counter(entry.split for entry in entries if entry.split is not None)
    return {
        "cases": len(entries),
        "groups": len({entry.group for entry in entries}),
        "classes": {
            column: _counts(classes, (e.labels.get(column) for e in entries))
            for column, classes in dataset.classes.items()
        },
        "splits": {split: splits[split] for split in SPLITS if split in splits},
        "folds": len(dataset.folds),
        "masks": sum(entry.has_mask for entry in entries),
        "mask_labels": {str(v): n for v, n in dataset.mask_labels.items()}
        if dataset.has_masks
        else {},
        "concepts": sorted({name for entry in entries for name in entry.concepts}),
        "subgroups": sorted({name for entry in entries for name in entry.subgroups}),
        "points": sum(len(entry.points) for entry in entries),
        "notes": list(dataset.notes),
    }


def axes(geometry: Geometry) -> str:
    """Directions of the x, y and z axes as letters, such as "LPS"; "" where unknown."""
    if geometry.direction is None:
        return ""
    matrix = np.asarray(geometry.direction)
    letters = []
    for column in (2, 1, 0):
        axis = int(np.abs(matrix[:, column]).argmax())
        letters.append(_LETTERS[axis][int(matrix[axis, column] > 0)])
    return "".join(letters)


def refusal(path: str | Path, error: InputError) -> dict[str, Any]:
    """A refused file as data."""
    return {
        "path": str(path),
        "error": error.code,
        "problem": error.problem,
        "remedy": error.remedy,
    }


def _is_plain_dicom(folder: Path) -> bool:
    """Whether the folder is DICOM, not a data set with a table that holds DICOM."""
    tables = ("labels.csv", "dataset.json")
    return not any((folder / name).is_file() for name in tables) and has_dicom(folder)


def describe_mask(path: Path, modality: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """A DICOM SEG or RT Structure Set: its kind, and how often each name of a segment occurs.

    A name is the standard meaning of a code, or technical and anatomical words; any other segment
    counts as "other", as its label may tell who the patient is.
    """
    opened = open_mask(path, limits)
    return {
        "modality": modality,
        "kind": opened.kind,
        "segments": len(opened.segments),
        "names": dict(Counter(s.name if s.is_named else "other" for s in opened.segments)),
    }


def _describe_series(found: SeriesList, path: Path, limits: Limits) -> dict[str, Any]:
    masks: list[dict[str, Any]] = []
    refused = [refusal(place, error) for place, error in found.rejected]
    for place, modality in found.others:
        if modality in MODALITIES:
            try:
                masks.append(describe_mask(place, modality, limits))
            except InputError as error:
                refused.append(refusal(place, error))
    if not found.series and not masks:
        raise nothing_found(found, path)
    return {
        "kind": "dicom",
        "series": [describe_series(series) for series in found.series],
        "masks": masks,
        "other_objects": dict(
            sorted(Counter(kind for _, kind in found.others if kind not in MODALITIES).items())
        ),
        "refused": refused,
    }


def _describe_images(dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """A folder of images: each is read, so that what cannot be is told."""
    grids: Counter[tuple[Any, ...]] = Counter()
    refused: list[dict[str, Any]] = []
    first_error: InputError | None = None
    for index, entry in enumerate(dataset.entries):
        progress("reading", index / len(dataset.entries))
        try:
            volume = entry.load().volume
        except InputError as error:
            first_error = first_error or error
            refused.append(refusal(entry.name, error))
            continue
        kind = (volume.shape, volume.channels, volume.geometry.spacing, str(volume.voxels.dtype))
        grids[kind] += 1
    if not grids and first_error is not None:
        raise first_error
    return {
        "kind": dataset.kind,
        "images": [
            {
                "count": count,
                "shape": list(shape),
                "channels": channels,
                "spacing": list(spacing),
                "type": kind,
            }
            for (shape, channels, spacing, kind), count in grids.most_common()
        ],
        "refused": refused,
    }


def _counts(classes: Sequence[str], labels: Any) -> Mapping[str, int]:
    counted = Counter(labels)
    return {name: counted[name] for name in classes}
