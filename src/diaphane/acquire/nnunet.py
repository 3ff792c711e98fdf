"""Folders in the format of the Medical Segmentation Decathlon and of nnU-Net, v1 and v2.

Source: medicaldecathlon.com; nnU-Net ``documentation/dataset_format.md`` (2.5).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diaphane.acquire import nifti
from diaphane.acquire.dataset import Dataset, Entry, Parts, require_whole_groups
from diaphane.acquire.masks import MaskReader, names_of
from diaphane.acquire.reading import Loaded, is_readable_name, load, visible
from diaphane.core.case import SourceRef
from diaphane.core.errors import DatasetError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.text import uncelled
from diaphane.core.volume import Volume
from diaphane.privacy import Pseudonymiser

JSON = "dataset.json"
SPLITS_JSON = "splits_final.json"
GROUPS = "groups.csv"
FOLDERS = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}

_CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")

Fold = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class _Files:
    """The files of one case: images in channel order, the mask, and which part they are of."""

    images: tuple[Path, ...]
    mask: Path | None
    test: bool


def is_nnunet(folder: Path) -> bool:
    """Whether it has a ``dataset.json`` or ``imagesTr``, or is an ``imagesTr`` or ``imagesTs``."""
    named = (folder / JSON).is_file() or folder.name in FOLDERS
    return named or (folder / "imagesTr").is_dir()


def open_nnunet(folder: Path, options: ReadOptions = AS_IS, *, strict: bool = True) -> Dataset:
    """The data set of a folder with ``dataset.json``, or of its ``imagesTr`` or ``imagesTs``.

    Without ``dataset.json`` labels are called by their values, and channels by their numbers.

    Training cases are split by the first fold of ``splits_final.json`` where there is one;
    cases of ``imagesTs`` are the split "test".

    Parameters
    ----------
    folder:
        The data set's folder, or one of its image folders.
    strict:
        ``True``, to learn or to test: only cases with masks. ``False``, to predict: all.

    Raises
    ------
    DatasetError
        When ``dataset.json`` is damaged or has a label to ignore, files it lists are missing or
        lie elsewhere, a case lacks a channel, or ``splits_final.json`` names unknown cases or
        separates a group.
    """
    part = folder.name if folder.name in FOLDERS and not (folder / JSON).is_file() else ""
    root = folder.parent if part else folder
    plan = _read_json(root / JSON) if (root / JSON).is_file() else {}
    channels = _channels(plan)
    # What is not in the one folder that was named need not be there.
    cases = {} if part else _listed(root, plan, channels)
    cases = cases or _found(root, plan, channels, [part] if part else FOLDERS)
    _require_cases(cases, plan, folder, strict=strict)
    if strict:
        cases = {name: files for name, files in cases.items() if files.mask}
    notes, label_names = _label_names(plan, root / JSON)
    if strict and "ignore" in (label_names or {}).values():
        raise DatasetError(
            "The label 'ignore' marks what nobody outlined, and such masks are not learnt from.",
            path=root / JSON,
            remedy="Keep the cases that are outlined as a whole, and leave that label out.",
        )
    masks = MaskReader([f.mask for f in cases.values() if f.mask], label_names, options)
    folds = _folds(root / SPLITS_JSON, cases)
    groups = _groups(root / GROUPS, cases)
    has_test = any(files.test for files in cases.values())
    names = Pseudonymiser.load()
    entries = []
    for name, files in cases.items():
        split = "test" if files.test else "train" if has_test else None
        if folds and not files.test:
            train, val = folds[0]
            split = "train" if name in train else "val" if name in val else None
        group = groups.get(name)
        key = names.pseudonym(name, "case")
        entries.append(
            Entry(
                name,
                key,
                names.pseudonym(group, "group") if group else key,
                _reader(files, channels, masks),
                split=split,
                has_mask=files.mask is not None,
            )
        )
    keys = {e.group: groups.get(e.name, e.name) for e in entries}
    require_whole_groups(entries, keys, root / SPLITS_JSON)
    return Dataset(
        "nnunet",
        tuple(entries),
        notes=notes,
        folds=folds,
        has_masks=bool(masks.files),
        read_mask_labels=masks.labels,
    )


def _require_cases(
    cases: Mapping[str, _Files], plan: Mapping[str, Any], folder: Path, *, strict: bool
) -> None:
    """Refuse a folder without cases, or, if ``strict``, without masks."""
    ending = plan.get("file_ending")
    if not cases:
        raise DatasetError(
            "There are no cases here.",
            path=folder,
            remedy=f"Their files end in '{ending}', {JSON} says." if ending else None,
        )
    if strict and not any(files.mask for files in cases.values()):
        raise DatasetError(
            f"None of the {len(cases)} cases has a mask.",
            path=folder,
            remedy="Masks lie in labelsTr (and labelsTs), called like their cases.",
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError("This is not valid JSON.", path=path) from error


def _channels(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Channel names in order; empty where ``dataset.json`` gives none."""
    stated = plan.get("channel_names") or plan.get("modality") or {}
    if not isinstance(stated, dict) or not all(str(k).isdigit() for k in stated):
        return ()
    return tuple(str(stated[k]) for k in sorted(stated, key=int))


def _label_names(
    plan: Mapping[str, Any], path: Path
) -> tuple[tuple[str, ...], dict[int, str] | None]:
    labels = plan.get("labels")
    if labels is None:
        return (f"no {JSON} names the labels: they are called by their values",), None
    if isinstance(labels, dict) and any(isinstance(v, list) for v in labels.values()):
        return ("regions of several labels are read as their single values",), None
    return (), names_of(labels, path)


def _listed(root: Path, plan: Mapping[str, Any], channels: Sequence[str]) -> dict[str, _Files]:
    """Cases that ``dataset.json`` lists (the decathlon, nnU-Net v1)."""
    cases: dict[str, _Files] = {}
    training = plan.get("training")
    if not isinstance(training, list):
        return cases
    for item in training:
        if not isinstance(item, dict) or not isinstance(item.get("image"), str):
            raise DatasetError(f"'training' lists {item!r}, which is no case.", path=root / JSON)
        image, label = item["image"], item.get("label")
        mask = None if label is None else _inside(root, str(label), must=True)
        cases[_stem(Path(image).name)] = _Files(_images(root, image, channels), mask, test=False)
    for item in plan.get("test") or ():
        image = item["image"] if isinstance(item, dict) else str(item)
        if not _exists(root, image):
            continue  # the decathlon lists test images that are often not downloaded
        label = root / "labelsTs" / Path(image).name
        name = _stem(Path(image).name)
        mask = label if label.exists() else None
        cases[name] = _Files(_images(root, image, channels), mask, test=True)
    return cases


def _images(root: Path, image: str, channels: Sequence[str]) -> tuple[Path, ...]:
    whole = _inside(root, image, must=False)
    if whole.exists():
        return (whole,)
    ending = whole.name[len(_stem(whole.name)) :]
    parts = [
        whole.with_name(f"{_stem(whole.name)}_{i:04d}{ending}")
        for i in range(max(len(channels), 1))
    ]
    for path in parts:
        if not path.exists():
            raise DatasetError(f"The file '{image}' is not there.", path=root / JSON)
    return tuple(parts)


def _exists(root: Path, image: str) -> bool:
    whole = _inside(root, image, must=False)
    ending = whole.name[len(_stem(whole.name)) :]
    return whole.exists() or whole.with_name(f"{_stem(whole.name)}_0000{ending}").exists()


def _found(
    root: Path, plan: Mapping[str, Any], channels: Sequence[str], folders: Iterable[str]
) -> dict[str, _Files]:
    """Cases by the files in these image folders (nnU-Net v2)."""
    ending = str(plan.get("file_ending", ""))
    ending = f".{ending.lstrip('.')}" if ending else ""
    cases: dict[str, _Files] = {}
    for images_folder in folders:
        folder = root / images_folder
        if not folder.is_dir():
            continue
        parts: dict[str, dict[int, Path]] = {}
        for path in visible(folder):
            suffix = ending if ending and path.name.endswith(ending) else ""
            if not path.is_file() or not (suffix or (not ending and is_readable_name(path))):
                continue
            stem = path.name[: -len(suffix)] if suffix else _stem(path.name)
            # The decathlon numbers cases; their masks have the same number.
            numbered = (root / FOLDERS[images_folder] / path.name).is_file()
            match = None if numbered else _CHANNEL.match(stem)
            case, channel = (match["case"], int(match["channel"])) if match else (stem, 0)
            parts.setdefault(case, {})[channel] = path
        for case, by_channel in parts.items():
            wanted = range(len(by_channel)) if not channels else range(len(channels))
            lost = [i for i in wanted if i not in by_channel]
            if lost and not (len(by_channel) == 1 and 0 in by_channel):
                raise DatasetError(f"The case '{case}' has no channel {lost[0]:04d}.", path=folder)
            images = tuple(by_channel[i] for i in sorted(by_channel))
            first = images[0].name
            suffix = ending or first[len(_stem(first)) :]
            mask = root / FOLDERS[images_folder] / f"{case}{suffix}"
            cases[case] = _Files(
                images, mask if mask.exists() else None, test=images_folder == "imagesTs"
            )
    return cases


def _reader(files: _Files, channels: Sequence[str], masks: MaskReader) -> Any:
    options = masks.options

    def read() -> Parts:
        if len(files.images) == 1:
            path = files.images[0]
            is_nifti = path.name.lower().endswith(nifti.SUFFIXES)
            # The decathlon keeps several channels as the fourth axis of one file.
            loaded = (
                Loaded(
                    nifti.read_nifti(path, channels=len(channels) or None, limits=options.limits)
                )
                if is_nifti
                else load(path, options=options)
            )
            if loaded.volume.channels == 1 < len(channels):
                raise DatasetError(
                    f"The case has one of the {len(channels)} channels that {JSON} names.",
                    path=path,
                    remedy=f"'{channels[1]}' would be its file that ends in _0001.",
                )
            volumes = {"image": _named(loaded.volume, channels[0] if channels else "")}
        else:
            volumes = {}
            for index, path in enumerate(files.images):
                name = channels[index] if index < len(channels) else f"{index:04d}"
                name = name if name not in volumes else f"{name} {index}"
                volumes[name] = _named(load(path, options=options).volume, name)
        first = next(iter(volumes.values()))
        for volume in volumes.values():
            if not volume.geometry.close_to(first.geometry, 0.1):
                raise DatasetError(
                    "Channels of a case lie on different grids.", path=files.images[0]
                )
        mask = None if files.mask is None else masks.read(files.mask, first)
        return Parts(volumes, mask, SourceRef(files.images))

    return read


def _named(volume: Volume, channel: str) -> Volume:
    """The volume with the modality that its channel's name tells."""
    name = channel.upper()
    if name == "CT":
        return replace(volume, modality="CT", unit="HU")
    if name.startswith(("MR", "T1", "T2", "FLAIR", "ADC", "DWI")):
        return replace(volume, modality="MR")
    return volume


def _folds(path: Path, cases: Mapping[str, _Files]) -> tuple[Fold, ...]:
    if not path.is_file():
        return ()
    data = _read_json(path)
    if not isinstance(data, list) or not all(
        isinstance(f, dict) and isinstance(f.get("train"), list) and isinstance(f.get("val"), list)
        for f in data
    ):
        raise DatasetError("Folds must be a list of objects with 'train' and 'val'.", path=path)
    folds = []
    for number, fold in enumerate(data):
        train, val = frozenset(map(str, fold["train"])), frozenset(map(str, fold["val"]))
        unknown = sorted((train | val) - set(cases))
        if unknown:
            raise DatasetError(f"Fold {number} names the unknown case '{unknown[0]}'.", path=path)
        both = sorted(train & val)
        if both:
            raise DatasetError(f"Fold {number} has '{both[0]}' in train and in val.", path=path)
        folds.append((train, val))
    return tuple(folds)


def _groups(path: Path, cases: Mapping[str, _Files]) -> dict[str, str]:
    """Group by case, from a ``groups.csv`` with the columns ``case`` (or ``file``) and ``group``."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            case_column = next((c for c in ("case", "file") if c in columns), None)
            if case_column is None or "group" not in columns:
                raise DatasetError("The columns 'case' and 'group' are needed.", path=path)
            groups = {}
            for row in reader:
                case = _stem(uncelled((row[case_column] or "").strip()))
                if case not in cases:
                    raise DatasetError(
                        f"Line {reader.line_num}: the case '{case}' is unknown.", path=path
                    )
                groups[case] = (row["group"] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"The groups cannot be read: {error}.", path=path) from error
    lost = sorted(set(cases) - {c for c, g in groups.items() if g})
    if lost:
        raise DatasetError(f"The case '{lost[0]}' has no group.", path=path)
    return groups


def _stem(name: str) -> str:
    lower = name.lower()
    for ending in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".bmp"):
        if lower.endswith(ending):
            return name[: -len(ending)]
    return re.sub(r"\.(tiff?|jpe?g)$", "", name, flags=re.IGNORECASE)


def _inside(root: Path, text: str, *, must: bool) -> Path:
    import os

    normal = Path(os.path.normpath(text))
    if normal.is_absolute() or normal.parts[:1] == ("..",):
        raise DatasetError(f"The path '{text}' leads out of the folder.", path=root / JSON)
    path = root / normal
    if must and not path.exists():
        raise DatasetError(f"The file '{text}' is not there.", path=root / JSON)
    return path
