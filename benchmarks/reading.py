"""Reading one CT series of 200 slices of 512 x 512 from single files: diaphane beside others.

Plain serial pydicom (``dcmread``, ``pixel_array``, rescale, stack in the order of position) and
SimpleITK's ``ImageSeriesReader`` (names by GDCM) read the same files, each in a process of its own
per turn, interleaved; ratios are to plain pydicom of the same turn: median and range over turns.
Peak memory is the process's high-water mark less that before reading, as ratio to the final array.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SLICES, SIDE, TURNS, SEED = 200, 512, 5, 0
RESULT = Path(__file__).parent / "results" / "reading.json"

_BEGIN = """
import resource, sys, time
import numpy as np
folder = sys.argv[1]
"""
_MEASURE = """
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before, began = peak(), time.perf_counter()
voxels = work(folder)
took = time.perf_counter() - began
print(took, (peak() - before) / voxels.nbytes, voxels.dtype, int(voxels.astype(np.int64).sum()))
"""
READERS = {
    "plain pydicom": """
import pydicom
from pathlib import Path

def work(folder):
    slices = [pydicom.dcmread(path) for path in sorted(Path(folder).iterdir())]
    slices.sort(key=lambda data: data.ImagePositionPatient[2])
    return np.stack([
        d.pixel_array.astype(np.int16) * int(d.RescaleSlope) + int(d.RescaleIntercept)
        for d in slices
    ])
""",
    "SimpleITK": """
import SimpleITK as sitk

def work(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder))
    work.image = reader.Execute()  # the array is a view of it
    return sitk.GetArrayViewFromImage(work.image)
""",
    "diaphane": """
from diaphane import read
import diaphane.acquire.pixels, nibabel

def work(folder):
    return read(folder).voxels
""",
    "diaphane, one thread": """
from diaphane import read
import diaphane.acquire.pixels, nibabel

def work(folder):
    return read(folder, threads=1).voxels
""",
}


def series(folder: Path) -> None:
    """A CT series whose files lie in no order; noise over a gradient."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    random = np.random.default_rng(SEED)
    study, whole, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(SLICES):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = (
            study,
            whole,
            frame,
        )
        data.Modality, data.Manufacturer = "CT", "benchmark"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PatientName, data.PatientID, data.PatientBirthDate = "Bench", "1", ""
        data.StudyDate, data.StudyTime, data.AccessionNumber = "20260101", "120000", ""
        data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = 1, index + 1, 1
        data.ConvolutionKernel, data.KVP, data.SliceThickness = "B30f", 120, 1
        data.ImagePositionPatient = [-180, -180, float(index)]
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows = data.Columns = SIDE
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        image = random.integers(0, 200, (SIDE, SIDE)) + np.arange(SIDE) * 5 + index
        data.PixelData = image.astype(np.uint16).tobytes()
        pydicom.dcmwrite(
            folder / f"{(index * 77) % SLICES:03d}.dcm", data, enforce_file_format=True
        )


def turn(name: str, folder: Path) -> tuple[float, float, str]:
    """Seconds, peak memory against the array, and what was read."""
    ran = subprocess.run(
        [sys.executable, "-c", _BEGIN + READERS[name] + _MEASURE, str(folder)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds, memory, kind, total = ran.stdout.split()[-4:]
    return float(seconds), float(memory), f"{kind} {total}"


def main() -> None:
    """Measure, print a table and write ``results/reading.json``."""
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory() as room:
        series(Path(room))
        for number in range(TURNS + 1):
            for name in READERS:
                one = turn(name, Path(room))
                if number:  # the first turn fills the page cache
                    found[name].append(one)
    totals = {what.split()[1] for rows in found.values() for _, _, what in rows}
    if len(totals) != 1:
        raise SystemExit(f"the readers do not agree: {totals}")
    rows: dict[str, Any] = {}
    base = [seconds for seconds, _, _ in found["plain pydicom"]]
    for name, turns in found.items():
        ratio = [one[0] / other for one, other in zip(turns, base, strict=True)]
        rows[name] = {
            "seconds": round(statistics.median(one[0] for one in turns), 4),
            "ratio": round(statistics.median(ratio), 3),
            "low": round(min(ratio), 3),
            "high": round(max(ratio), 3),
            "memory": round(statistics.median(one[1] for one in turns), 2),
            "type": turns[0][2].split()[0],
        }
        row = rows[name]
        print(
            f"{name:<22} {row['seconds']:7.3f} s  x {row['ratio']:.2f} "
            f"({row['low']:.2f} to {row['high']:.2f})  memory x {row['memory']:.2f}  {row['type']}"
        )
    about = {
        "slices": SLICES, "side": SIDE, "turns": TURNS, "seed": SEED, "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2), "python": platform.python_version(),
        "pydicom": version("pydicom"), "SimpleITK": version("SimpleITK"),
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, **about}, indent=2) + "\n")


if __name__ == "__main__":
    main()
