"""Writing a Segmentation of 100 segments on 300 slices of 512 x 512, each in a process of its own.

Seconds (wall and of this process) and peak memory, binary and as a label map; segments of 10 to 50
slices each, and the worst case in which every segment is on every slice.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "segments.json"
SLICES, SIDE, SEGMENTS = 300, 512, 100
CASES = (("binary", "part"), ("binary", "every slice"), ("labelmap", "every slice"))


def main() -> None:
    """Measure, print a table and write ``results/segments.json``."""
    rows = []
    for form, where in CASES:
        done = subprocess.run(
            [sys.executable, __file__, form, where], check=True, capture_output=True, text=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        row = rows[-1]
        print(
            f"{form:<9} {where:<12} {row['seconds']:6.1f} s ({row['cpu_seconds']:.1f} s of CPU) "
            f"{row['peak_mib']:6.0f} MiB peak, {row['file_mib']:6.0f} MiB file"
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def measure(form: str, where: str) -> dict[str, object]:
    """One writing, from labels in memory to the file."""
    from diaphane.core.case import SourceRef
    from diaphane.core.finding import BundleRef
    from diaphane.core.geometry import Geometry
    from diaphane.core.volume import Volume
    from diaphane.report.dicom import write_label_segmentation

    with tempfile.TemporaryDirectory() as folder:
        files = _series(Path(folder))
        labels = np.zeros((SLICES, SIDE, SIDE), np.uint16)
        rng = np.random.default_rng(0)
        for number in range(SEGMENTS):
            row, column = divmod(number, 10)
            first = 0 if where == "every slice" else int(rng.integers(0, SLICES - 50))
            last = SLICES if where == "every slice" else first + int(rng.integers(10, 50))
            box = (slice(row * 51 + 3, row * 51 + 48), slice(column * 51 + 3, column * 51 + 48))
            labels[first:last, box[0], box[1]] = number + 1
        geometry = Geometry.axial((SLICES, SIDE, SIDE), (1.0, 0.7, 0.7), (-180.0, -180.0, 0.0))
        names = {number: f"segment {number}" for number in range(1, SEGMENTS + 1)}
        out, maker = Path(folder) / "seg.dcm", BundleRef("bench", "1", "0" * 64)
        began, cpu = time.perf_counter(), time.process_time()
        if not write_label_segmentation(
            Volume(labels, geometry, "SEG"), names, SourceRef(files), out, maker, form=form
        ):
            raise SystemExit("nothing was written")
        return {
            "form": form,
            "where": where,
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "file_mib": round(out.stat().st_size / 2**20),
        }


def _series(folder: Path) -> list[Path]:
    """Headers of a CT series; pixels are not needed."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    study, series, place = generate_uid(), generate_uid(), generate_uid()
    files = []
    for z in range(SLICES):
        ds = pydicom.Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID, ds.PatientID, ds.Modality = place, "1", "CT"
        ds.Rows = ds.Columns = SIDE
        ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 1.0
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-180.0, -180.0, float(z)]
        files.append(folder / f"{z:03}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], sys.argv[2])))
    else:
        main()
