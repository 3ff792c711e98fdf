"""A data set in another layout: a manifest folder, or the folders of nnU-Net.

Images, masks and their names are written anew; splits, groups (as pseudonyms), and what else the
layout holds come along, and what it cannot hold is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from diaphane.acquire import Dataset, Entry, open_dataset, open_inputs
from diaphane.batch.converting import (
    Converted,
    is_data_set,
    refuse_inside,
    require_empty,
    whole_numbers,
)
from diaphane.batch.masking import mask_names
from diaphane.batch.tables import REJECTED, Refusal, write_refusals
from diaphane.core.case import Case
from diaphane.core.errors import DatasetError, EmptyInput, InputError, OutputError, UsageError
from diaphane.core.files import replacing, write_text
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.saving import write_volume
from diaphane.core.tables import write_table
from diaphane.core.volume import Volume
from diaphane.report.dicom import is_dicom

FORMATS = ("nii.gz", "nii", "mha", "nrrd", "png")
_COLOURS = ("R", "G", "B")


@dataclass(frozen=True)
class Relaying:
    """What a person asks for.

    Attributes
    ----------
    layout:
        "manifest" or "nnunet".
    form:
        Format of images and masks; ``None``: PNG for pictures without a place, NIfTI for volumes.
    stack:
        Whether folders of pictures are one stack each; ``None``: as the layout of the input says.
    """

    layout: str
    form: str | None = None
    stack: bool | None = None
    options: ReadOptions = AS_IS


class _Writer(Protocol):
    """One layout being filled."""

    def add(self, name: str, entry: Entry, case: Case) -> None:
        """Write a case's files; raises an error that refuses it."""

    def finish(self) -> list[str]:
        """Write the tables; returns what was lost."""


def convert_dataset(
    source: Path, out: Path, how: Relaying, progress: Progress = silent
) -> Converted:
    """Write the data set at ``source`` into the new folder ``out``, whole or not at all.

    Cases keep their names; those read from DICOM get their keyed ids, since folders of DICOM
    are often called after patients.

    Raises
    ------
    UsageError
        For an output in the input's place or one that holds something, a format that is not
        written, or nnU-Net without masks.
    InputError
        When no case can be used.
    """
    if how.form is not None and how.form not in FORMATS:
        raise UsageError(
            f"A data set is not written as '{how.form}'.",
            remedy=f"Use one of {', '.join(FORMATS)}.",
        )
    refuse_inside(source, out)
    require_empty(out)
    if is_data_set(source):
        dataset = open_inputs([source], sequences=True, stack=how.stack, options=how.options)
    else:
        dataset = open_dataset(source, stack=how.stack, options=how.options)
    if how.layout == "nnunet" and not dataset.has_masks:
        raise UsageError(
            "nnU-Net's layout is for masks, and this data set has none.",
            path=source,
            remedy="Use --to manifest.",
        )
    given, _ = mask_names(dataset.entries)
    refused: list[Refusal] = []
    first: Exception | None = None
    done = 0
    with replacing(out) as folder:
        folder.mkdir()
        writer: _Writer = (
            _Manifest(folder, dataset, how.form)
            if how.layout == "manifest"
            else _NnUNet(folder, dataset, how.form)
        )
        for number, entry in enumerate(dataset.entries):
            progress("converting", number / len(dataset))
            try:
                case = entry.load()
                own = given.get(number, entry.key)
                writer.add(entry.key if is_dicom(case.source) else own, entry, case)
            except (InputError, OutputError) as error:
                first = first or error
                refused.append(Refusal.of(entry.name, error))
                continue
            done += 1
        if not done:
            raise first or EmptyInput("The data set has no cases.", path=source)
        notes = [*(note for note in dataset.notes if "ignored" in note), *writer.finish()]
        write_refusals(folder, refused)
    rejected = out / REJECTED if refused else None
    return Converted((out,), tuple(notes), tuple(refused), rejected)


def _is_picture(volume: Volume) -> bool:
    """Whether a PNG keeps everything: one slice without spacing, grey of 16 or colour of 8 bits."""
    voxels = volume.voxels
    grey = voxels.ndim == 3 and voxels.dtype in (np.uint8, np.uint16)
    colour = volume.channels == 3 and voxels.dtype == np.uint8
    bare = all(step is None for step in volume.geometry.spacing)
    return bare and volume.shape[0] == 1 and (grey or colour)


def _save(path: Path, volume: Volume) -> None:
    write_volume(path, whole_numbers(volume, path) if path.suffix == ".png" else volume)


def _shared_groups(entries: Sequence[Entry]) -> bool:
    """Whether the data set says which cases belong together."""
    return any(entry.group != entry.key for entry in entries)


@dataclass
class _Manifest:
    """``labels.csv`` beside ``images/`` and ``masks/``."""

    folder: Path
    dataset: Dataset
    form: str | None
    rows: list[dict[str, str]] = field(default_factory=list)
    modalities: set[str] = field(default_factory=set)

    def add(self, name: str, entry: Entry, case: Case) -> None:
        if self.dataset.has_splits and entry.split is None:
            raise DatasetError("The case is in no part of the split, which a manifest cannot say.")
        row: dict[str, str] = {}
        several = len(case.volumes) > 1
        for key, volume in case.volumes.items():
            ending = self.form or self._form(volume)
            inner = f"{name}/{_safe(key)}" if several else name
            path = self.folder / "images" / f"{inner}.{ending}"
            _save(path, volume)
            row["file" if key == "image" and not row else f"file:{key}"] = self._relative(path)
            self.modalities |= {volume.modality} - {"OT"}
        if case.mask is not None:
            path = self.folder / "masks" / f"{name}.{self.form or self._form(case.mask)}"
            _save(path, case.mask)
            row["mask"] = self._relative(path)
        for key, label in case.labels.items():
            row["label" if key == "label" else f"label:{key}"] = label
        row |= {f"concept:{key}": repr(value) for key, value in case.concepts.items()}
        row |= {f"subgroup:{key}": value for key, value in case.subgroups.items()}
        if case.points:
            row["point"] = ";".join(",".join(map(repr, point)) for point in case.points)
        if _shared_groups(self.dataset.entries):
            row["group"] = case.group
        if case.split is not None:
            row["split"] = case.split
        self.rows.append(row)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _form(self, volume: Volume) -> str:
        if _is_picture(volume):
            return "png"
        # A fourth axis of NIfTI is not read back as channels.
        deep = volume.channels == 1 or (volume.channels == 3 and volume.voxels.dtype == np.uint8)
        return "nii.gz" if deep else "mha"

    def finish(self) -> list[str]:
        columns = sorted(dict.fromkeys(c for row in self.rows for c in row), key=_role_order)
        rows = ([row.get(column) for column in columns] for row in self.rows)
        write_table(self.folder / "labels.csv", columns, rows)
        if self.dataset.has_masks:
            names = {str(value): name for value, name in self.dataset.mask_labels.items()}
            _write_json(self.folder / "labels.json", names)
        lost = []
        if len(self.dataset.folds) > 1:
            lost.append(f"of {len(self.dataset.folds)} folds the first is kept as the split")
        if self.modalities:
            stated = ", ".join(sorted(self.modalities))
            lost.append(f"the modality ({stated}) is not stated by the formats written")
        return lost


_ORDER = ("file", "label", "mask", "point", "group", "split", "concept", "subgroup")


def _role_order(column: str) -> int:
    return _ORDER.index(column.partition(":")[0])


@dataclass
class _NnUNet:
    """``dataset.json`` beside ``imagesTr``, ``labelsTr`` and, with a test split, ``imagesTs``."""

    folder: Path
    dataset: Dataset
    form: str | None
    channels: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)

    def add(self, name: str, entry: Entry, case: Case) -> None:
        test = entry.split == "test"
        if case.mask is None and not test:
            raise DatasetError("The case has no mask, which nnU-Net needs to train.")
        form = self.form or ("png" if all(map(_is_picture, case.volumes.values())) else "nii.gz")
        images = _channels(case, whole=form == "png")
        stated = tuple(part for part, _ in images)
        stated = _COLOURS if stated == ("RGB",) else stated
        if self.channels and stated != self.channels:
            raise DatasetError(
                f"The case has the channels {', '.join(stated)}, the others "
                f"{', '.join(self.channels)}."
            )
        flat = name.replace("/", "_")
        flat = flat if flat not in self.taken else entry.key
        part = "Ts" if test else "Tr"
        for number, (_, volume) in enumerate(images):
            _save(self.folder / f"images{part}" / f"{flat}_{number:04d}.{form}", volume)
        if case.mask is not None:
            _save(self.folder / f"labels{part}" / f"{flat}.{form}", case.mask)
        self.form, self.channels = form, stated
        self.names[entry.key] = flat
        self.taken.add(flat)
        self.entries.append(entry)

    def finish(self) -> list[str]:
        labels = {name: value for value, name in sorted(self.dataset.mask_labels.items())}
        _write_json(
            self.folder / "dataset.json",
            {
                "channel_names": {str(i): name for i, name in enumerate(self.channels)},
                "labels": {"background": 0, **labels},
                "numTraining": sum(entry.split != "test" for entry in self.entries),
                "file_ending": f".{self.form}",
            },
        )
        folds = self._folds()
        if folds:
            _write_json(self.folder / "splits_final.json", folds)
        if _shared_groups(self.dataset.entries):
            rows = ((self.names[entry.key], entry.group) for entry in self.entries)
            write_table(self.folder / "groups.csv", ("case", "group"), rows)
        return self._lost(list(labels.values()))

    def _folds(self) -> list[dict[str, list[str]]]:
        if self.dataset.folds:
            return [
                {"train": self._known(train), "val": self._known(val)}
                for train, val in self.dataset.folds
            ]
        by_split: dict[str | None, list[str]] = {}
        for entry in self.entries:
            by_split.setdefault(entry.split, []).append(self.names[entry.key])
        if "val" not in by_split and ("train" not in by_split or "test" in by_split):
            return []
        return [{"train": by_split.get("train", []), "val": by_split.get("val", [])}]

    def _known(self, names: frozenset[str]) -> list[str]:
        return sorted(self.names[entry.key] for entry in self.entries if entry.name in names)

    def _lost(self, values: Sequence[int]) -> list[str]:
        kinds: Mapping[str, bool] = {
            "class labels": bool(self.dataset.label_columns),
            "concepts": any(entry.concepts for entry in self.entries),
            "subgroups": any(entry.subgroups for entry in self.entries),
            "points": any(entry.points for entry in self.entries),
        }
        lost = [kind for kind, there in kinds.items() if there]
        notes = (
            [f"lost, since nnU-Net's layout has no place for it: {', '.join(lost)}"] if lost else []
        )
        if values != list(range(1, len(values) + 1)):
            notes.append("nnU-Net itself wants mask values without gaps: 1, 2, 3, ...")
        return notes


def _channels(case: Case, *, whole: bool) -> list[tuple[str, Volume]]:
    """Name and image of each channel; a colour picture stays whole in a PNG."""
    first = case.volume
    found = []
    for key, volume in case.volumes.items():
        if not volume.geometry.close_to(first.geometry):
            raise DatasetError("Volumes of the case lie on different grids.")
        alone = volume.modality if key == "image" and volume.modality != "OT" else key
        if volume.channels == 1:
            found.append((alone, volume))
        elif whole and len(case.volumes) == 1:
            found.append(("RGB", volume))
        else:
            parts = _COLOURS if volume.channels == 3 else map(str, range(volume.channels))
            prefix = "" if key == "image" else f"{key} "
            found += [
                (f"{prefix}{part}", volume.with_voxels(voxels))
                for part, voxels in zip(parts, volume.voxels, strict=True)
            ]
    return found


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name) or "image"


def _write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
