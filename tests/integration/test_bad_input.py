"""What a stranger might hand in: each ends in a named error, its exit code, and nothing behind.

Every case goes through the program as a user runs it. No traceback, no output folder, no
temporary left-over, whatever the input.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from commands import Command, diaphane

STUDY, SERIES, FRAME = generate_uid(), generate_uid(), generate_uid()


def ct_slice(z: float = 0.0, **changes: object) -> pydicom.Dataset:
    """One synthetic CT slice of 32 x 32; ``changes`` replace attributes, ``None`` deletes."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, FRAME
    ds.Modality, ds.PatientID, ds.PatientName = "CT", "ZZ-4711", "Mustermann^Max"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [0, 0, z]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 2
    ds.Rows = ds.Columns = 32
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = np.full((32, 32), 40, np.int16).tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def save(folder: Path, slices: list[pydicom.Dataset]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(slices):
        ds.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return folder


def stack(*positions: float) -> list[pydicom.Dataset]:
    return [ct_slice(z) for z in positions]


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def texts(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no scan")
    return folder


def truncated(folder: Path) -> Path:
    save(folder, stack(0, 2, 4))
    whole = (folder / "001.dcm").read_bytes()
    (folder / "001.dcm").write_bytes(whole[: len(whole) - 700])
    return folder


def declared_larger(folder: Path) -> Path:
    return save(
        folder, [ct_slice(0, Rows=4096, Columns=4096), ct_slice(2, Rows=4096, Columns=4096)]
    )


def tilted(folder: Path) -> Path:
    slices = stack(0, 2, 4, 6)
    for ds in slices:
        z = float(ds.ImagePositionPatient[2])
        ds.ImagePositionPatient = [0, z * 0.3, z]
    return save(folder, slices)


def nifti(affine: np.ndarray, voxel: float = 0.0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import nibabel

        folder.mkdir()
        data = np.zeros((8, 8, 8), np.float32)
        data[4, 4, 4] = voxel
        image = nibabel.Nifti1Image(data, None)
        image.header.set_sform(affine, code=1)
        image.header["qform_code"] = 0
        image.to_filename(folder / "scan.nii")
        return folder / "scan.nii"

    return make


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty folder": (empty, "EmptyInput"),
    "text files": (texts, "EmptyInput|UnreadableFile"),
    "truncated DICOM": (truncated, "UnreadableFile"),
    "declared larger than the file": (declared_larger, "UnreadableFile"),
    "missing slice": (lambda f: save(f, stack(0, 2, 4, 8, 10)), "MissingSlice"),
    "duplicated position": (lambda f: save(f, stack(0, 2, 2, 4)), "DuplicateSlice"),
    "gantry tilt": (tilted, "GantryTilt"),
    "no pixel data": (
        lambda f: save(f, [ct_slice(z, PixelData=None) for z in (0, 2)]),
        "NoPixelData",
    ),
    "no spacing": (
        lambda f: save(f, [ct_slice(z, PixelSpacing=None) for z in (0, 2)]),
        "MissingSpacing",
    ),
    "two geometries": (
        lambda f: save(f, [*stack(0, 2), ct_slice(4, ImageOrientationPatient=[0, 1, 0, 0, 0, 1])]),
        "MixedSeries|GeometryError",
    ),
    "two frames of reference": (
        lambda f: save(f, [*stack(0, 2), ct_slice(4, FrameOfReferenceUID=generate_uid())]),
        "MixedSeries",
    ),
    "two patients in a series": (
        lambda f: save(f, [*stack(0, 2), ct_slice(4, PatientID="another")]),
        "MixedSeries",
    ),
    "several patients": (
        lambda f: save(
            f,
            [
                *stack(0, 2),
                *(
                    ct_slice(z, PatientID="B", SeriesInstanceUID="1.2.3", StudyInstanceUID="1.2.4")
                    for z in (0, 2)
                ),
            ],
        ),
        "AmbiguousInput",
    ),
    "singular affine": (nifti(np.diag([1.0, 1.0, 0.0, 1.0])), "GeometryError"),
    "NaN voxel": (nifti(np.eye(4), np.nan), "InvalidVoxels"),
    "infinite voxel": (nifti(np.eye(4), np.inf), "InvalidVoxels"),
    "no lungs": (lambda f: save(f, stack(*range(0, 60, 2))), "NoLungs|NotApplicable"),
    "absent path": (lambda f: f / "nowhere", "EmptyInput|UnreadableFile|UsageError"),
}


def assert_refused(
    done: subprocess.CompletedProcess[str], error: str, code: tuple[int, ...] = (2, 3)
) -> None:
    assert done.returncode in code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "defect of diaphane" not in done.stderr
    assert json.loads(done.stdout)["error"] in error.split("|"), done.stderr


@pytest.mark.parametrize("name", BAD)
def test_analyze_refuses_by_name_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, error = BAD[name]
    source = make(tmp_path / "in")
    done = diaphane(
        *("analyze", source, "--with", "lung-ct", "--out", tmp_path / "out", "--json"),
        cwd=tmp_path,
    )
    assert_refused(done, error)
    assert {p.name for p in tmp_path.iterdir()} <= {"in"}
    # An error is for the person's terminal; still it names no patient.
    assert "Mustermann" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", BAD)
def test_info_never_stumbles(name: str, tmp_path: Path) -> None:
    make, _ = BAD[name]
    done = diaphane("info", make(tmp_path / "in"), "--json", cwd=tmp_path)
    assert done.returncode in (0, 1, 2, 3)
    assert "Traceback" not in done.stderr
    assert "defect of diaphane" not in done.stderr
    assert "Mustermann" not in done.stdout + done.stderr
    json.loads(done.stdout)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the shipped bundle, as a zip and unpacked beside it."""
    place = tmp_path_factory.mktemp("bundle")
    done = diaphane("bundles", "export", "lung-nodule", "--out", place / "whole.zip", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "whole.zip"


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(Path(name).name, old.read(name)))
    return target


def changed_byte(shipped: Path, tmp_path: Path) -> Path:
    return rewritten(
        shipped,
        tmp_path / "b.zip",
        lambda name, data: (
            data[:99] + bytes([data[99] ^ 1]) + data[100:] if name == "model.onnx" else data
        ),
    )


def newer(shipped: Path, tmp_path: Path) -> Path:
    import hashlib

    bodies: dict[str, bytes] = {}

    def change(name: str, data: bytes) -> bytes:
        if name == "bundle.json":
            data = json.dumps({**json.loads(data), "schema_version": 99}).encode()
            bodies[name] = data
        return data

    first = rewritten(shipped, tmp_path / "a.zip", change)

    def rehash(name: str, data: bytes) -> bytes:
        if name != "SHA256SUMS":
            return data
        fresh = hashlib.sha256(bodies["bundle.json"]).hexdigest()
        lines = [
            f"{fresh}  bundle.json" if line.endswith("bundle.json") else line
            for line in data.decode().splitlines()
        ]
        return ("\n".join(lines) + "\n").encode()

    second = rewritten(first, tmp_path / "b.zip", rehash)
    first.unlink()
    return second


def writes_outside(shipped: Path, tmp_path: Path) -> Path:
    target = rewritten(shipped, tmp_path / "b.zip", lambda _, data: data)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../escaped.txt", "outside")
    return target


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (changed_byte, "BundleCorrupt"),
        (newer, "BundleTooNew"),
        (writes_outside, "UnsafeArchive"),
        (lambda _, folder: folder / "nowhere", "BundleNotFound"),
    ],
    ids=["changed byte", "newer schema", "zip writes outside", "absent"],
)
def test_a_bad_bundle_is_refused(
    make: Callable[[Path, Path], Path], error: str, shipped: Path, tmp_path: Path
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    bundle = make(shipped, room)
    np.savez(tmp_path / "d.npz", test_images=np.zeros((2, 28, 28), np.uint8))
    done = diaphane(
        *("predict", bundle, tmp_path / "d.npz", "--out", tmp_path / "rows.csv", "--json"),
        cwd=tmp_path,
    )
    assert_refused(done, error)
    assert not (tmp_path / "rows.csv").exists()
    assert not list(tmp_path.rglob("escaped.txt"))


def test_an_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", train_images=np.array([{}, "code"], dtype=object))
    done = diaphane("info", tmp_path / "d.npz", "--json", cwd=tmp_path)
    assert_refused(done, "DatasetError|UnreadableFile")


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (["absent.png,a,p1,train"], "DatasetError"),
        (["../outside.png,a,p1,train"], "DatasetError"),
        (["one.png,a,p1,someday"], "DatasetError"),
        (["one.png,a,p1,train", "two.png,b,p1,test"], "DatasetError"),
        (["one.png,a,p1,train", "two.png,a,p2,train"], "DatasetError"),
    ],
    ids=["missing file", "leaves the folder", "unknown split", "group on both sides", "one class"],
)
def test_a_bad_manifest_is_not_trained_on(rows: list[str], error: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from PIL import Image

    data = tmp_path / "data"
    data.mkdir()
    for place in (data / "one.png", data / "two.png", tmp_path / "outside.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)).save(place)
    (data / "labels.csv").write_text("\n".join(["file,label,group,split", *rows]) + "\n")
    done = diaphane("train", data, "--out", tmp_path / "run", "--json", cwd=tmp_path)
    assert_refused(done, error)
    assert not (tmp_path / "run" / "bundle").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT of a child is POSIX")
def test_ctrl_c_in_the_middle_of_analysis_leaves_nothing(tmp_path: Path) -> None:
    command = Command("demo", "--out", tmp_path / "demo")
    deadline = time.monotonic() + 60
    # The phantom's first files show that it is well on its way.
    while not list(tmp_path.rglob("*.dcm")) and time.monotonic() < deadline:
        assert command.running
        time.sleep(0.05)
    command.send(signal.SIGINT)
    done = command.done()
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.html"))
    assert not [p for p in tmp_path.rglob(".*") if p.is_dir()]
