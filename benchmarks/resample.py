"""A CT series of 200 slices of 512 x 512 as DICOM files to a 1 mm isotropic float32 volume.

diaphane, SimpleITK's series reader and resampler, and MONAI's LoadImage and Spacing, each
with its own defaults, take turns in one process; medians of the turns. The series is a chest
phantom, or the folder that is named. SimpleITK resamples to diaphane's own grid, so that the
two results can be compared voxel by voxel within the field.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from diaphane.acquire import read
from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.core.volume import Volume
from diaphane.preprocess import resample

TURNS = 5
RESULT = Path(__file__).parent / "results" / "resample.json"


def by_diaphane(folder: Path) -> Volume:
    """Read and resample."""
    return resample(read(folder), 1.0)


def by_simpleitk(folder: Path, grid: sitk.Image) -> Any:
    """Series reader and linear resampling to ``grid``; the image, not converted further."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -1024.0, sitk.sitkFloat32)


def by_monai(folder: Path) -> Any:
    """LoadImage and Spacing."""
    from monai.transforms import LoadImage, Spacing

    image = LoadImage(image_only=True, ensure_channel_first=True)(str(folder))
    return Spacing(pixdim=(1.0, 1.0, 1.0), mode="bilinear")(image)


def main(folder: Path) -> None:
    """Measure, print a table and write ``results/resample.json``."""
    ours = by_diaphane(folder)
    grid = Volume(np.zeros(ours.shape, np.uint8), ours.geometry).to_sitk()
    ways: dict[str, Callable[[], Any]] = {
        "diaphane": lambda: by_diaphane(folder),
        "SimpleITK": lambda: by_simpleitk(folder, grid),
    }
    if find_spec("monai"):
        ways["MONAI"] = lambda: by_monai(folder)
    image = by_simpleitk(folder, grid)  # the view below does not keep it alive
    furthest = float(np.abs(ours.voxels - sitk.GetArrayViewFromImage(image)).max())
    del image
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if turn:  # the first turn warms the file cache and the imports
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: value / medians["diaphane"] for name, value in medians.items()}
    for name, value in medians.items():
        print(f"{name:<10} {value:6.2f} s   {ratios[name]:5.2f} x diaphane's time")
    print(f"largest difference to SimpleITK within the field: {furthest:.4f} HU")
    result = {
        "native": list(read(folder).shape),
        "result": list(ours.shape),
        "median_seconds": {name: round(value, 3) for name, value in medians.items()},
        "times_diaphane": {name: round(value, 2) for name, value in ratios.items()},
        "seconds": {name: [round(v, 3) for v in values] for name, values in seconds.items()},
        "largest_difference_hu": round(furthest, 5),
        "turns": TURNS,
        "cores": os.cpu_count(),
        "load_average": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("simpleitk", "monai", "torch") if find_spec_of(name)},
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def find_spec_of(package: str) -> bool:
    """Whether the package is installed."""
    return find_spec({"simpleitk": "SimpleITK"}.get(package, package)) is not None


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            phantom = chest_phantom(1, (1.5, 0.7, 0.7), (200, 512, 512))
            write_dicom_series(phantom, place)
            del phantom
            main(Path(place))
