"""Folders without a table: raw DICOM, class folders, pictures, stacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diaphane.acquire import raster
from diaphane.acquire.dataset import Dataset, Entry, Parts, classes_of, refused
from diaphane.acquire.reading import is_readable_name, load, load_series, visible
from diaphane.acquire.series import SeriesHeader, find_series, nothing_found
from diaphane.core.case import SourceRef
from diaphane.core.errors import DatasetError, EmptyInput
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.plain import patient_group

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_MASK = re.compile(r"[ _-](mask|seg|segmentation)([ _-]?\d+)?$", re.IGNORECASE)
_IMAGES = re.compile(r"(images?|imgs?|pictures|scans|inputs?)(tr|ts)?", re.IGNORECASE)
_MASKS = re.compile(
    r"(masks?|labels?|seg|segmentations?|annotations?|gts?|ground[ _-]?truths?)(tr|ts)?",
    re.IGNORECASE,
)


def open_dicom(path: Path, *, shown: str | None = None, options: ReadOptions = AS_IS) -> Dataset:
    """A case per DICOM series, grouped by patient; refused series cannot be loaded.

    ``shown`` is the path as typed, for names; names add the series' number where there are
    several.

    Raises
    ------
    InputError
        When there is no readable series.
    """
    found = find_series(path, options)
    if not found.series:
        raise nothing_found(found, path)
    names = Pseudonymiser.load()
    typed = shown if shown is not None else str(path)
    entries = []
    for series in found.series:
        alone = len(found.series) == 1 and not found.rejected
        name = typed if alone else _series_name(series, path, typed)
        group = patient_group(series.identity, names) or series.key
        entries.append(Entry(name, series.key.replace("S-", "C-"), group, _series_reader(series)))
    for place, error in found.rejected:
        entries.append(refused(str(place), error, names))
    return Dataset("dicom", tuple(_distinct(entries)))


def open_class_folders(
    path: Path, *, stack: bool | None = None, options: ReadOptions = AS_IS
) -> Dataset | None:
    """A folder of images per class, or that below ``train``, ``val`` and ``test``.

    A file is a case; so is a folder of slices inside a class folder. A mask that lies beside its
    image, as ``NAME_mask``, is none, and is said. ``None`` where the folder is nothing of the kind.

    Raises
    ------
    DatasetError
        When the folders are those of images and of their masks.
    """
    folders = [p for p in visible(path) if p.is_dir()]
    if not folders or any(p.is_file() and is_readable_name(p) for p in visible(path)):
        return None
    entries: list[Entry] = []
    how = _Reading(stack, options)
    if all(p.name.lower() in _SPLIT_FOLDERS for p in folders):
        inside = [(p, _SPLIT_FOLDERS[f.name.lower()]) for f in folders for p in visible(f)]
        classes: list[tuple[Path, str | None]] = [(p, split) for p, split in inside if p.is_dir()]
    else:
        classes = [(folder, None) for folder in folders]
    _require_classes([folder for folder, _ in classes], path)
    for folder, split in classes:
        entries += _class_entries(folder, path, split, how)
    if not entries:
        return None
    names = {Path(entry.name).with_suffix("") for entry in entries}
    kept = [entry for entry in entries if not _is_mask_of(Path(entry.name).with_suffix(""), names)]
    notes = []
    if len(kept) < len(entries):
        notes.append(
            f"{len(entries) - len(kept)} files are masks by their names (NAME_mask beside NAME) and "
            "are left out; to use them, write a labels.csv"
        )
    return Dataset(
        "class_folders", tuple(kept), ("label",), classes_of(kept, ("label",)), tuple(notes)
    )


def _require_classes(folders: Sequence[Path], path: Path) -> None:
    """Refuse images and their masks in a folder each, which are no classes."""
    names = [folder.name for folder in folders]
    images = [name for name in names if _IMAGES.fullmatch(name)]
    masks = [name for name in names if _MASKS.fullmatch(name)]
    if images and masks:
        raise DatasetError(
            f"The folders '{images[0]}' and '{masks[0]}' hold images and their masks, no classes.",
            path=path,
            remedy="Write a labels.csv with the columns 'file' and 'mask', or call the folders "
            "imagesTr and labelsTr.",
        )


def _is_mask_of(name: Path, names: set[Path]) -> bool:
    """Whether a file is called as the mask of another one."""
    bare = _MASK.sub("", name.name)
    return bare not in ("", name.name) and name.with_name(bare) in names


def open_images(
    path: Path, *, stack: bool, shown: str | None = None, options: ReadOptions = AS_IS
) -> Dataset:
    """The images of a folder: one stack of its pictures, or a case for each.

    Volumes (NIfTI, MetaImage, NRRD) are always a case each. A folder that holds only folders
    gives the cases of each of them.

    Raises
    ------
    EmptyInput
        When there are none.
    """
    typed = shown if shown is not None else str(path)
    entries = _image_entries(path, typed, _Reading(stack, options))
    if not entries:
        others = sum(1 for p in path.rglob("*") if p.is_file())
        raise EmptyInput(
            f"No image is in this folder{f' (files of other kinds: {others})' if others else ''}.",
            path=path,
            remedy="Formats: DICOM, NIfTI, MHA, MHD, NRRD, PNG, JPEG, TIFF, npz.",
        )
    return Dataset("stack" if stack else "images", tuple(entries))


def file_entry(path: Path, name: str, options: ReadOptions = AS_IS) -> Entry:
    """A case of one file or folder."""
    names = Pseudonymiser.load()
    key = names.pseudonym(name, "case")
    return Entry(name, key, key, _file_reader(path, options))


def _series_name(series: SeriesHeader, path: Path, typed: str) -> str:
    parents = {file.parent for file in series.files}
    inner = parents.pop() if len(parents) == 1 else path
    place = path if path.is_file() else inner
    try:
        relative = place.relative_to(path)
    except ValueError:
        relative = Path()
    shown = typed if relative == Path() else str(Path(typed) / relative)
    return f"{shown}#{series.number if series.number is not None else series.key}"


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """Entries whose names tell them apart."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    found = []
    for entry in entries:
        count = seen[entry.name] = seen.get(entry.name, 0) + 1
        found.append(entry if count == 1 else replace(entry, name=f"{entry.name}.{count}"))
    return found


def _series_reader(series: SeriesHeader) -> Callable[[], Parts]:
    def read() -> Parts:
        loaded = load_series(series)
        return Parts({"image": loaded.volume}, None, loaded.source, loaded.identity)

    return read


def _file_reader(path: Path, options: ReadOptions) -> Callable[[], Parts]:
    def read() -> Parts:
        loaded = load(path, options=options)
        return Parts({"image": loaded.volume}, None, loaded.source, loaded.identity)

    return read


def _stack_reader(folder: Path, options: ReadOptions) -> Callable[[], Parts]:
    def read() -> Parts:
        files = raster.slices_of(folder)
        volume = raster.read_stack(folder, files, limits=options.limits)
        return Parts({"image": volume}, None, SourceRef(files))

    return read


@dataclass(frozen=True)
class _Reading:
    """How folders of pictures are read."""

    stack: bool | None
    options: ReadOptions


def _class_entries(folder: Path, root: Path, split: str | None, how: _Reading) -> list[Entry]:
    names = Pseudonymiser.load()
    entries = []
    label = {"label": folder.name}
    for path in visible(folder):
        name = path.relative_to(root).as_posix()
        key = names.pseudonym(name, "case")
        if path.is_file() and is_readable_name(path):
            entries.append(Entry(name, key, key, _file_reader(path, how.options), label, split))
        elif path.is_dir() and how.stack is not False and raster.slices_of(path):
            entries.append(Entry(name, key, key, _stack_reader(path, how.options), label, split))
        elif path.is_dir() and how.stack is False:
            for picture in raster.slices_of(path):
                inner = picture.relative_to(root).as_posix()
                inner_key = names.pseudonym(inner, "case")
                # Pictures of one inner folder belong together, whoever it stands for.
                reader = _file_reader(picture, how.options)
                entries.append(Entry(inner, inner_key, key, reader, label, split))
    return entries


def _image_entries(path: Path, typed: str, how: _Reading) -> list[Entry]:
    entries = []
    inside = visible(path)
    pictures = [p for p in inside if p.is_file() and raster.is_raster(p)]
    volumes = [p for p in inside if p.is_file() and is_readable_name(p) and p not in set(pictures)]
    if pictures and how.stack:
        names = Pseudonymiser.load()
        key = names.pseudonym(typed, "case")
        entries.append(Entry(typed, key, key, _stack_reader(path, how.options)))
        pictures = []
    entries += [file_entry(p, str(Path(typed) / p.name), how.options) for p in pictures + volumes]
    for folder in (p for p in inside if p.is_dir()):
        entries += _image_entries(folder, str(Path(typed) / folder.name), how)
    return entries
