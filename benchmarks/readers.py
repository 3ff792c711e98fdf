"""Geometry and voxels beside two independent readers: SimpleITK (GDCM) and dcm2niix.

Every series that diaphane reads in the real data (DIAPHANE_SHARED_DATA) and in pydicom's own test
files is read by all three. Two readers agree when the centres of all voxels are the same within
1e-3 mm, whatever the order of the axes, and so are the values (within 1e-4 of their range for
rescaled ones, exactly else). Differences are listed in docs/reference/geometry-readers.md, each
with its reason from ``readers.yaml``; one without a reason fails.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml
from numpy.typing import NDArray

from diaphane.acquire import SeriesHeader, find_series
from diaphane.acquire.elements import looks_like_dicom
from diaphane.core.errors import InputError
from diaphane.core.volume import Volume

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "geometry-readers.md"
REASONS = HERE / "readers.yaml"
TOLERANCE_MM = 1e-3
SAME, NOT_READ = "same", "not read"
DCM2NIIX = "/usr/bin/dcm2niix"

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One series beside both readers: "same", "not read", or how it differs."""

    collection: str
    name: str
    shape: tuple[int, int, int]
    placed: bool
    simpleitk: str
    dcm2niix: str


def collections(shared: Path) -> dict[str, Path]:
    """Folders with DICOM by name: the real sets, and pydicom's test files in its package."""
    import pydicom.data

    found = {
        "lung_pet_ct_dx": shared / "lung_pet_ct_dx",
        **{path.name: path for path in sorted((shared / "dicom_zoo").glob("*")) if path.is_dir()},
    }
    package = Path(pydicom.data.__file__).parent
    found["pydicom"] = package / "test_files"
    found["pydicom charsets"] = package / "charset_files"
    return {name: path for name, path in found.items() if path.is_dir()}


def readable(folder: Path) -> Iterator[tuple[str, SeriesHeader]]:
    """Every readable series of the files that lie together, else of each file by itself."""
    for place in sorted({path.parent for path in folder.rglob("*") if path.is_file()}):
        files = sorted(
            path
            for path in place.iterdir()
            if path.is_file() and looks_like_dicom(path) and "DICOMDIR" not in path.name
        )
        if not files:
            continue
        found = _find(files)
        used = {file for series in found for file in series.files}
        for file in files:
            if file not in used:
                found += _find([file])
        for series in found:
            first = min(series.files).relative_to(folder)
            count = len(series.files)
            name = str(first) if count == 1 else f"{first.parent / '*'} ({count} files)"
            yield (name if series.index is None else f"{name} no. {series.index}"), series


def _find(files: list[Path]) -> list[SeriesHeader]:
    try:
        return list(find_series(files))
    except InputError:
        return []


def compared(collection: str, name: str, series: SeriesHeader) -> Row | None:
    """The series beside both readers; ``None`` where its pixels cannot be read."""
    try:
        ours = series.load().value.volume
    except InputError:
        return None
    with tempfile.TemporaryDirectory() as room:
        linked = Path(room) / "in"
        linked.mkdir()
        for number, file in enumerate(sorted(series.files)):
            (linked / f"{number:04d}.dcm").symlink_to(file)
        theirs = _simpleitk(linked)
        converted = _dcm2niix(linked, Path(room))
    return Row(
        collection,
        name,
        ours.shape,
        ours.geometry.is_spatial or _is_lone(ours),
        _best(ours, theirs),
        _best(ours, converted),
    )


def _is_lone(volume: Volume) -> bool:
    return volume.shape[0] == 1 and volume.geometry.origin is not None


def _simpleitk(folder: Path) -> list[tuple[Array, Array]]:
    """Affine from ``(z, y, x)`` to LPS mm, and voxels."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    files = sorted(str(path) for path in folder.iterdir())
    try:
        if len(files) == 1:
            image = sitk.ReadImage(files[0])
        else:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
            image = reader.Execute()
    except RuntimeError:
        return []
    if image.GetDimension() != 3:
        return []
    axes = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = axes[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    voxels = sitk.GetArrayFromImage(image)
    return [(affine, np.moveaxis(voxels, -1, 0) if voxels.ndim == 4 else voxels)]


def _dcm2niix(folder: Path, room: Path) -> list[tuple[Array, Array]]:
    """The same of every volume that dcm2niix makes; rescaled as DICOM states it (``-p n``)."""
    out = room / "out"
    out.mkdir()
    subprocess.run(
        [DCM2NIIX, "-b", "n", "-z", "n", "-p", "n", "-f", "%s", "-o", str(out), str(folder)],
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    found = []
    for path in sorted(out.glob("*.nii")):
        image: Any = nibabel.load(path)
        affine = np.diag([-1.0, -1, 1, 1]) @ image.affine
        affine[:3, :3] = affine[:3, 2::-1]
        if image.get_data_dtype().names:
            raw = np.asarray(image.dataobj)
            stored = np.stack([raw[c] for c in raw.dtype.names or ()])
            found.append((affine, np.moveaxis(stored.reshape(3, *image.shape[:3]), (1, 3), (3, 1))))
            continue
        data = image.get_fdata()
        data = data.reshape(*data.shape[:3], -1) if data.ndim > 3 else data[..., None]
        found += [(affine, np.moveaxis(data[..., k], (0, 2), (2, 0))) for k in range(data.shape[3])]
    return found


def _best(ours: Volume, theirs: list[tuple[Array, Array]]) -> str:
    """How ours differs from the nearest of theirs."""
    if not theirs:
        return NOT_READ
    return min(
        (_difference(ours, *one) for one in theirs), key=lambda text: (text != SAME, len(text))
    )


def _difference(ours: Volume, affine: Array, voxels: Array) -> str:
    mine = np.asarray(ours.voxels)
    shape = voxels.shape[-3:]
    geometry = ours.geometry
    order: tuple[int, ...] = (0, 1, 2)
    flips: tuple[int, ...] = (1, 1, 1)
    gap = 0.0
    if geometry.direction is not None and geometry.origin is not None:
        depth = geometry.spacing[0] or 1.0
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(geometry.direction) * (depth, *geometry.spacing[1:])
        matrix[:3, 3] = geometry.origin
        turn = np.linalg.inv(affine[:3, :3]) @ matrix[:3, :3]
        if ours.shape[0] == 1:  # how deep a lone section is moves no voxel
            turn[:, 0] /= np.linalg.norm(turn[:, 0])
        picked = np.abs(turn).argmax(axis=0)
        if sorted(picked) != [0, 1, 2]:
            return "other axes"
        order = tuple(int(np.flatnonzero(picked == axis)[0]) for axis in range(3))
        flips = tuple(int(np.sign(turn[picked[axis], axis])) for axis in range(3))
        if tuple(shape[picked[axis]] for axis in range(3)) != ours.shape:
            return f"shape {' x '.join(str(n) for n in shape)}"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in ours.shape])).reshape(3, -1)
        points = matrix[:3, :3] @ corners + matrix[:3, 3:]
        index = np.zeros_like(corners)
        for axis in range(3):
            n = ours.shape[axis]
            index[picked[axis]] = corners[axis] if flips[axis] > 0 else n - 1 - corners[axis]
        other = affine[:3, :3] @ index + affine[:3, 3:]
        gap = float(np.abs(points - other).max())
    elif shape != ours.shape:
        return f"shape {' x '.join(str(n) for n in shape)}"
    if gap > TOLERANCE_MM:
        return f"place {gap:.3g} mm"
    back = np.transpose(voxels, [*range(voxels.ndim - 3), *(voxels.ndim - 3 + np.argsort(order))])
    for axis in range(3):
        if flips[axis] < 0:
            back = np.flip(back, axis=back.ndim - 3 + axis)
    if back.shape != mine.shape:
        return f"{len(back) if back.ndim == 4 else 1} channels"
    difference = np.abs(back.astype(np.float64) - mine)
    if geometry.direction is None:  # without a place rows may run either way
        turned = np.abs(np.flip(back, axis=-2).astype(np.float64) - mine)
        difference = turned if turned.mean() < difference.mean() else difference
    spread = float(np.ptp(mine)) or 1.0
    allowed = 1e-4 * spread if mine.dtype.kind == "f" else 0.0
    if difference.max() <= allowed:
        return SAME
    share = float((difference > allowed).mean())
    return f"values up to {difference.max():.3g} in {100 * share:.3g} %"


def survey(shared: Path) -> list[Row]:
    """All series of all collections."""
    rows = []
    for collection, folder in collections(shared).items():
        for name, series in readable(folder):
            row = compared(collection, name, series)
            if row is not None:
                rows.append(row)
    return rows


def why(row: Row, reader: str, found: str) -> str | None:
    """The reason that ``readers.yaml`` gives for a difference."""
    series = f"{row.collection}/{row.name}"
    for reason in yaml.safe_load(REASONS.read_text(encoding="utf-8")):
        fits = (reader, reason["reader"]), (series, reason["series"]), (found, reason["found"])
        if all(fnmatchcase(text, pattern) for text, pattern in fits):
            return str(reason["why"])
    return None


def differences(rows: list[Row]) -> list[tuple[Row, str, str, str | None]]:
    """Row, reader, what was found and why, of all that is not the same."""
    return [
        (row, reader, found, why(row, reader, found))
        for row in rows
        for reader, found in (("SimpleITK", row.simpleitk), ("dcm2niix", row.dcm2niix))
        if found != SAME
    ]


def page(rows: list[Row]) -> str:
    """The page of the documentation, without figures that depend on a decoder's version."""
    placed = [row for row in rows if row.placed]
    lines = [
        "# Geometry beside other readers",
        "",
        "Written by `benchmarks/readers.py`, held by `tests/integration/test_geometry_readers.py`.",
        "",
        "Every DICOM series that diaphane reads in its real test data and in pydicom's own test files,",
        "beside SimpleITK (GDCM) and dcm2niix: the centre of every voxel within 1e-3 mm, and its value",
        "(exactly; within 1e-4 of the range where values are rescaled to fractions). The order of axes is",
        "free, and so is how deep a lone slice is drawn.",
        "",
        "| | series | same place and values in SimpleITK | in dcm2niix |",
        "|---|---|---|---|",
    ]
    for title, part in (
        ("with a place in the patient", placed),
        ("without (pictures, films, radiographs): values", [r for r in rows if not r.placed]),
    ):
        same = [
            sum(getattr(row, name) == SAME for row in part) for name in ("simpleitk", "dcm2niix")
        ]
        lines.append(f"| {title} | {len(part)} | {same[0]} | {same[1]} |")
    lines += [
        "",
        "Each difference, and why:",
        "",
        "| series | reader | found | why |",
        "|---|---|---|---|",
    ]
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for row, reader, found, reason in differences(rows):
        kind = found.split(" up to")[0] if found.startswith("values") else found
        key = (reader, kind, reason or "**not explained**")
        names = grouped.setdefault(key, [])
        if f"{row.collection}: {row.name}" not in names:
            names.append(f"{row.collection}: {row.name}")
    for (reader, kind, reason), names in grouped.items():
        lines.append(f"| {'<br>'.join(names)} | {reader} | {kind} | {reason} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Survey, print, and write the page."""
    shared = Path(sys.argv[1])
    if not Path(DCM2NIIX).exists():
        print("left out: dcm2niix is not installed")
        return 0
    rows = survey(shared)
    for row in rows:
        print(f"{row.collection}/{row.name}: SimpleITK {row.simpleitk}, dcm2niix {row.dcm2niix}")
    PAGE.write_text(page(rows), encoding="utf-8")
    unexplained = [d for d in differences(rows) if d[3] is None]
    for row, reader, found, _ in unexplained:
        print(f"NOT EXPLAINED: {row.collection}/{row.name}, {reader}: {found}")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
