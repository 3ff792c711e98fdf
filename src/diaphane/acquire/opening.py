"""Which kind of data set a path is, by the rules of the design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diaphane.acquire import manifest
from diaphane.acquire.archives import is_archive, unpack
from diaphane.acquire.dataset import Dataset, kept, refused
from diaphane.acquire.folders import file_entry, open_class_folders, open_dicom, open_images
from diaphane.acquire.medmnist import open_medmnist
from diaphane.acquire.nnunet import is_nnunet, open_nnunet
from diaphane.acquire.patients import grouped_by_name
from diaphane.acquire.reading import has_dicom, require_place, visible
from diaphane.core.errors import DatasetError, EmptyInput, InputError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.privacy import Pseudonymiser


def open_dataset(
    path: str | Path,
    *,
    stack: bool | None = None,
    subgroups: Sequence[str] = (),
    group_regex: str | None = None,
    options: ReadOptions = AS_IS,
) -> Dataset:
    """The data set at ``path``, to learn from or to test with; its cases are not yet read.

    A manifest folder if it has ``labels.csv``; MSD or nnU-Net if it has ``dataset.json`` or
    is an ``imagesTr`` or ``imagesTs``; a MedMNIST ``.npz``, or a folder with just one; DICOM
    if any file in or below it is; class folders; else pictures. A zip archive is the folder
    that it holds.

    Parameters
    ----------
    path:
        File or folder.
    stack:
        Whether folders of pictures are one stack each; ``None``: those inside class folders
        are, a plain folder is not.
    subgroups:
        Further columns of a manifest that are subgroups.
    group_regex:
        A regular expression that finds the group in each case's name: its first capture group, or
        all that it matches.
    options:
        What may be repaired when DICOM is read, and the limits of reading.

    Raises
    ------
    DatasetError
        When a table, split, label or mask is wrong, or a column of ``subgroups`` is not there; for
        names that ``group_regex`` does not match.
    EmptyInput
        When there is nothing to read.
    UsageError
        When ``group_regex`` is no regular expression.
    """
    place = Path(path)
    opened = _opened(place, stack, subgroups, options)
    return opened if group_regex is None else grouped_by_name(opened, group_regex, place)


def _opened(
    place: Path, stack: bool | None, subgroups: Sequence[str], options: ReadOptions
) -> Dataset:
    if is_archive(place):
        room = unpack(place, options.limits)
        with room.naming():
            return kept(_opened(room.folder, stack, subgroups, options), room)
    known = _tabled(place, options, strict=True, subgroups=subgroups)
    if subgroups and (known is None or known.kind != "manifest"):
        raise DatasetError(
            f"The data set has no column '{subgroups[0]}': only manifests have columns.",
            path=place,
        )
    if known is not None:
        return known
    if not place.is_dir():
        raise DatasetError(
            "A single file is no data set, unless it is a MedMNIST .npz.",
            path=place,
            remedy="Give a folder with labels.csv, dataset.json, or a folder per class.",
        )
    if has_dicom(place):
        return open_dicom(place, options=options)
    if not stack or _depth(place) > 1:
        by_class = open_class_folders(place, stack=stack, options=options)
        if by_class is not None:
            return by_class
    return open_images(place, stack=bool(stack), options=options)


def open_inputs(
    paths: Sequence[str | Path],
    *,
    sequences: bool,
    stack: bool | None = None,
    options: ReadOptions = AS_IS,
) -> Dataset:
    """The inputs that a person typed, as cases to predict; what is refused fails to load.

    A folder is a manifest if it has ``labels.csv``, MSD or nnU-Net if it has ``dataset.json``
    or is an ``imagesTr`` or ``imagesTs``, DICOM if any file in or below it is (a case per
    series), else one stack if the bundle takes sequences, else one case per image.

    Parameters
    ----------
    paths:
        Files and folders; their names are kept as typed.
    sequences:
        Whether the bundle reads sequences of slices.
    stack:
        Overrides whether a folder of pictures is one stack (``--as stack|images``).
    options:
        What may be repaired when DICOM is read, and the limits of reading.

    Raises
    ------
    InputError
        Only when a single path is given and nothing in it can be read.
    """
    stacked = sequences if stack is None else stack
    names = Pseudonymiser.load()
    found: list[Dataset] = []
    for path in paths:
        try:
            found.append(_input(path, options, stack=stacked))
        except InputError as error:
            if len(paths) == 1:
                raise
            entry = refused(str(path), error, names)
            found.append(Dataset("images", (entry,)))
    if not found:
        raise EmptyInput("No input was given.")
    return found[0] if len(found) == 1 else _joined(found)


def _input(
    path: str | Path, options: ReadOptions, *, stack: bool, typed: str | None = None
) -> Dataset:
    place, typed = Path(path), typed or str(path)
    if is_archive(place):
        room = unpack(place, options.limits)
        with room.naming():
            return kept(_input(room.folder, options, stack=stack, typed=typed), room)
    known = _tabled(place, options, strict=False)
    if known is not None:
        return known
    if place.is_file():
        return Dataset("images", (file_entry(place, typed, options),))
    if has_dicom(place):
        return open_dicom(place, shown=typed, options=options)
    return open_images(place, stack=stack, shown=typed, options=options)


def _tabled(
    place: Path, options: ReadOptions, *, strict: bool, subgroups: Sequence[str] = ()
) -> Dataset | None:
    """Kinds that a table or an archive makes certain."""
    require_place(place)
    if place.is_file():
        if place.name == manifest.FILE:
            return manifest.open_manifest(place.parent, options, strict=strict, subgroups=subgroups)
        is_npz = place.suffix.lower() == ".npz"
        return open_medmnist(place, options.limits, strict=strict) if is_npz else None
    if (place / manifest.FILE).is_file():
        return manifest.open_manifest(place, options, strict=strict, subgroups=subgroups)
    if is_nnunet(place):
        return open_nnunet(place, options, strict=strict)
    archives = [p for p in visible(place) if p.suffix.lower() == ".npz"]
    if len(archives) == 1:
        return open_medmnist(archives[0], options.limits, strict=strict)
    return None


def _depth(folder: Path) -> int:
    """How many levels of folders lie below, at most 2."""
    inner = [p for p in visible(folder) if p.is_dir()]
    return 0 if not inner else 1 + int(any(q.is_dir() for p in inner for q in visible(p)))


def _joined(parts: Sequence[Dataset]) -> Dataset:
    """Several inputs as one data set; labels and splits are kept where all agree."""
    kinds = {part.kind for part in parts}
    columns = parts[0].label_columns
    same = all(part.label_columns == columns for part in parts)
    entries = tuple(entry for part in parts for entry in part.entries)
    return replace(
        parts[0],
        kind=kinds.pop() if len(kinds) == 1 else "images",
        entries=entries,
        label_columns=columns if same else (),
        classes={
            c: tuple(dict.fromkeys(v for p in parts for v in p.classes.get(c, ())))
            for c in (columns if same else ())
        },
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        folds=(),
        has_masks=any(part.has_masks for part in parts),
    )
