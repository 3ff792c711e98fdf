"""``diaphane info``: what a file, a study or a data set is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from diaphane.cli.console import (
    DONE,
    SOME_REFUSED,
    JsonFlag,
    QuietFlag,
    Spacing,
    Tilt,
    Units,
    progress_bar,
    read_options,
    say,
    say_json,
    verb,
    warn,
)
from diaphane.core.text import printable

_NAMES = {
    "dicom": "DICOM",
    "nifti": "NIfTI image",
    "itk": "MetaImage or NRRD image",
    "raster": "picture",
    "manifest": "data set with labels.csv",
    "nnunet": "data set of the MSD / nnU-Net format",
    "medmnist": "MedMNIST data set",
    "class_folders": "data set with a folder per class",
    "images": "folder of images",
    "stack": "folder of slices",
}
_SHOWN = 12


@verb
def info(
    path: Annotated[Path, typer.Argument(help="A file, a folder, a study or a data set.")],
    *,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> int:
    """Tell what a file or folder is, not whose it is."""
    from diaphane.acquire import describe

    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        found = describe(path, progress, read_options(tilt, spacing, units))
    if as_json:
        say_json({"path": str(path), **found})
    else:
        for line in _lines(str(path), found):
            say(line, quiet=quiet)
    refused = found["refused"]
    if not as_json:
        for item in refused:
            say_refused(item)
    return SOME_REFUSED if refused else DONE


def say_refused(item: Mapping[str, Any]) -> None:
    """One refused file, on standard error."""
    remedy = f" {item['remedy']}" if item["remedy"] else ""
    warn(f"refused  {printable(item['path'])}: {item['problem']}{remedy}")


def _lines(path: str, found: Mapping[str, Any]) -> list[str]:
    kind = _NAMES[found["kind"]]
    if "series" in found:
        return _series_lines(path, found)
    if "image" in found:
        return [f"{path}: {kind}", *_image_lines(found["image"])]
    if "images" in found:
        total = sum(item["count"] for item in found["images"])
        lines = [f"{path}: {kind}, {total} readable"]
        lines += [
            f"  {item['count']:>6} x  {_grid(item)}, {item['type']}"
            for item in found["images"][:_SHOWN]
        ]
        if len(found["images"]) > _SHOWN:
            lines.append(f"  and {len(found['images']) - _SHOWN} other sizes")
        return lines
    return [f"{path}: {kind}", *_dataset_lines(found["dataset"])]


def _series_lines(path: str, found: Mapping[str, Any]) -> list[str]:
    from diaphane.acquire.telling import told_words

    series: Sequence[Mapping[str, Any]] = found["series"]
    files = sum(item["files"] for item in series)
    lines = [f"{path}: DICOM, {len(series)} series, {files} file{'s' * (files != 1)}", ""]
    rows = [("no", "modality", "size", "spacing mm", "plane", "kernel", "description")]
    for item in series:
        words = [item["description"], told_words(item["volume"])]
        words += ["(localizer)"] if item["localizer"] else []
        words += [f"({item['unit']})"] if item["unit"].startswith("SUV") else []
        words += [f"({part} resampled)" for part in item["resampled"]]
        number = "-" if item["number"] is None else str(item["number"])
        rows.append(
            (
                number if item["index"] is None else f"{number}.{item['index']}",
                item["modality"],
                _product(item["shape"]),
                _spacing(item["spacing"]),
                item["orientation"] or "-",
                item["kernel"] or "-",
                " ".join(word for word in words if word) or "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows if series else []:
        first = row[0].rjust(widths[0])
        rest = (cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append(f"  {first}  {'  '.join(rest)}".rstrip())
    if found["masks"]:
        lines.append("")
    for mask in found["masks"]:
        names = ", ".join(f"{name} {n}" if n > 1 else name for name, n in mask["names"].items())
        count = mask["segments"]
        lines.append(
            f"  {mask['modality']} ({mask['kind']}), {count} segment{'s' * (count != 1)}: {names}"
        )
    if found["other_objects"]:
        others = ", ".join(f"{kind} {n}" for kind, n in found["other_objects"].items())
        lines += ["", f"  besides, objects that are no images: {others}"]
    return lines


def _image_lines(image: Mapping[str, Any]) -> list[str]:
    lines = [f"  size      {_grid(image)}"]
    if image["axes"]:
        lines.append(
            f"  axes      x to {image['axes'][0]}, y to {image['axes'][1]}, z to {image['axes'][2]}"
        )
    unit = "" if image["unit"] == "1" else f" {image['unit']}"
    low, high = image["minimum"], image["maximum"]
    lines.append(f"  values    {low:g} to {high:g}{unit}, {image['type']}")
    return lines


def _dataset_lines(data: Mapping[str, Any]) -> list[str]:
    lines = [f"  cases     {data['cases']}, of {data['groups']} groups"]
    for column, classes in data["classes"].items():
        shown = ", ".join(f"{name} {n}" for name, n in list(classes.items())[:_SHOWN])
        more = f", and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
        name = "classes" if column == "label" else column
        lines.append(f"  {name:<9} {shown}{more}")
    splits = ", ".join(f"{name} {n}" for name, n in data["splits"].items())
    folds = f", {data['folds']} folds" if data["folds"] else ""
    lines.append(f"  splits    {splits or 'none of its own'}{folds}")
    if data["masks"]:
        labels = ", ".join(f"{value} {name}" for value, name in data["mask_labels"].items())
        lines.append(f"  masks     {data['masks']} ({labels})")
    lines += [
        f"  {role:<9} {', '.join(data[role])}" for role in ("concepts", "subgroups") if data[role]
    ]
    for name, image in data.get("first_case", {}).items():
        shown = "first" if name == "image" else f"first {name}"
        lines.append(f"  {shown:<9} {_grid(image)}, {image['type']}")
    lines += [f"  note      {note}" for note in data["notes"]]
    return lines


def _grid(image: Mapping[str, Any]) -> str:
    colour = f" x {image['channels']} channels" if image["channels"] > 1 else ""
    known = any(step is not None for step in image["spacing"])
    spacing = f"{_spacing(image['spacing'])} mm" if known else "spacing unknown"
    return f"{_product(image['shape'])}{colour}, {spacing}"


def _product(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _spacing(spacing: Sequence[float | None]) -> str:
    if all(step is None for step in spacing):
        return "unknown"
    return " x ".join("?" if step is None else f"{step:.3g}" for step in spacing)
