"""A made-up chest with two nodules, its evidence, and the DICOM files behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diaphane.core.case import SourceRef
from diaphane.core.finding import (
    Analysis,
    Assessment,
    BundleRef,
    ConceptEvidence,
    Diameter,
    Evidence,
    Finding,
    Location,
    Measurement,
    RuleResult,
    SeriesChoice,
)
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume

SHAPE = (24, 128, 128)
SPACING = (5.0, 2.5, 2.5)
NODULES = {3: ((14, 60, 34), 12.0), 4: ((8, 78, 96), 34.0)}


def ball(centre: tuple[float, ...], diameter: float) -> np.ndarray:
    at = np.indices(SHAPE, dtype=np.float32)
    gap = sum(((at[i] - centre[i]) * SPACING[i]) ** 2 for i in range(3))
    return gap <= (diameter / 2) ** 2


def chest() -> tuple[np.ndarray, np.ndarray]:
    """HU ``(z, y, x)`` and labels."""
    y, x = np.indices(SHAPE[1:], dtype=np.float32)
    hu = np.full(SHAPE, -1000, np.int16)
    labels = np.zeros(SHAPE, np.uint16)
    body = ((x - 64) / 58) ** 2 + ((y - 66) / 44) ** 2 <= 1
    hu[:, body] = 40
    for z in range(SHAPE[0]):
        size = 0.55 + 0.45 * np.sin(np.pi * (z + 2) / (SHAPE[0] + 4))
        for label, middle in ((1, 36), (2, 92)):
            lung = ((x - middle) / (21 * size)) ** 2 + ((y - 66) / (33 * size)) ** 2 <= 1
            hu[z, lung], labels[z, lung] = -850, label
    noise = np.random.default_rng(0).normal(0, 18, SHAPE)
    hu = (hu + noise).astype(np.int16)
    for label, (centre, diameter) in NODULES.items():
        mask = ball(centre, diameter)
        hu[mask], labels[mask] = 30, label
    return hu, labels


def evidence_of(concepts: tuple[ConceptEvidence, ...]) -> Evidence:
    rng = np.random.default_rng(1)
    t, size, grid = 7, 64, 8
    at = np.indices((t, size, size), dtype=np.float32)
    gap = ((at[0] - 3) * 1.5) ** 2 + ((at[1] - 32) * 0.65) ** 2 + ((at[2] - 32) * 0.65) ** 2
    mask = (gap <= 36).astype(np.float32)
    image = mask * (0.6 + 0.08 * rng.random((t, size, size), dtype=np.float32))
    maps = rng.normal(0, 0.01, (t, grid, grid)).astype(np.float32)
    maps[1:6, 3:5, 3:5] += np.array([[0.06, 0.05], [-0.02, 0.04]], np.float32)
    attention = np.exp(-((np.arange(t) - 3) ** 2) / 4).astype(np.float32)
    attention /= attention.sum()
    bias = -0.6
    total = bias + float(maps.sum()) + sum(c.contribution for c in concepts)
    step, shift = np.eye(4), np.asarray(NODULES[3][0], float)
    for axis, prepared in enumerate((1.5, 0.65, 0.65)):
        step[axis, axis] = prepared / SPACING[axis]
        step[axis, 3] = shift[axis] - (3, 32, 32)[axis] * step[axis, axis]
    return Evidence(
        "malignant", total, bias, float(maps.sum()), concepts, maps, attention, image, mask,
        receptive_field=23, pixel_mm=0.65, placement=step,
    )  # fmt: skip


def finding_of(label: int, *, known: bool) -> Finding:
    centre, diameter = NODULES[label]
    inside = np.argwhere(ball(centre, diameter))
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    geometry = Geometry.axial(SHAPE, SPACING)
    mm = geometry.to_patient(centre)
    box = (*(int(v) for v in low), *(int(v) for v in high))
    concepts = (
        ConceptEvidence("diameter", 18.4, 0.72),
        ConceptEvidence("sphericity", 0.81, -0.31),
        ConceptEvidence("spiculation", 0.07, 0.18),
        ConceptEvidence("mean_intensity", 0.61, -0.05),
        ConceptEvidence("margin_step", None, 0.0, given=False),
    )
    given = Assessment(
        {"benign": 0.27, "malignant": 0.73}, (), ("benign", "malignant"), 0.9, False, 0.6,
        "malignant", "lidc_suspicion",
    )  # fmt: skip
    withheld = Assessment(
        None, ("larger_than_training", "cut_by_frame"), positive="malignant",
        meaning="lidc_suspicion", unlike_training=True, distance=2.4,
    )  # fmt: skip
    radius = diameter / 2 / 2.5
    rule = RuleResult(
        "fleischner_2017_solid", "MacMahon et al., Radiology 284:228, 2017", "2017",
        {
            "mean_diameter_mm": diameter, "nodules": 2.0, "size": "over_8", "number": "multiple",
            "low_risk": "ct_3_6_then_consider_18_24", "high_risk": "ct_3_6_then_18_24",
        },
        "multiple_over_8", ("age", "known_cancer", "immune_state"), known or None,
    )  # fmt: skip
    return Finding(
        id=f"F{label - 2}",
        code="lung_nodule",
        location=Location(
            box,
            tuple(float(c) for c in centre),
            tuple(float(v) for v in mm),
            centre[0],
            centre[0] + 1,
            {"organ": "lung", "side": "right" if label == 3 else "left", "third": "upper"},
        ),
        measurements=(
            Measurement("long_axis", diameter, "mm"),
            Measurement("short_axis", diameter * 0.8, "mm"),
            Measurement("mean_diameter", diameter * 0.9, "mm"),
            Measurement("volume", 4 / 3 * np.pi * (diameter / 2) ** 3, "mm3"),
            Measurement("mean_density", 31.0, "HU"),
            Measurement("sphericity", 0.86, "1"),
        ),
        assessment=given if known else withheld,
        evidence=evidence_of(concepts) if known else None,
        rules=(replace(rule, agrees=False),) if known else (rule,),
        long_axis=Diameter(
            (centre[0], centre[1], centre[2] - radius),
            (centre[0], centre[1], centre[2] + radius),
            diameter,
            "mm",
        ),
        mask_label=label,
        rank=0.9 if known else 0.5,
        notes=("thick_slices",),
    )


def bundle_of() -> BundleRef:
    xs = np.linspace(4, 46, 12)
    return BundleRef(
        "lung-nodule", "1.0", "3f" * 32, "Suspicion of lung nodules (LIDC)",
        {
            "metrics": {"auc": {"value": 0.905, "low": 0.88, "high": 0.93}},
            "coverage": 0.91, "mean_set_size": 1.3, "faithfulness": {"deletion": 0.12},
            "curves": {
                "diameter": {"x": xs.tolist(), "y": (np.log(xs / 14)).tolist()},
                "sphericity": {"x": [0.4, 0.6, 0.8, 1.0], "y": [0.5, 0.2, -0.3, -0.4]},
            },
        },
    )  # fmt: skip


def study(**changes: object) -> Analysis:
    hu, labels = chest()
    geometry = Geometry.axial(SHAPE, SPACING, (-160.0, -160.0, -60.0))
    base = Analysis(
        app="lung-ct", app_version="0.1.0", pseudonym="P-3f9a1c02",
        volume=Volume(hu, geometry, "CT", "HU"),
        findings=(finding_of(3, known=True), finding_of(4, known=False)),
        candidates=(replace(finding_of(4, known=False), id="C1", mask_label=None),),
        labels=labels, structures={1: "right_lung", 2: "left_lung"},
        series=(
            SeriesChoice("s-1", 2, "CT", 24, SPACING, "LUNG", True, ("preferred",)),
            SeriesChoice("s-2", 3, "CT", 24, SPACING, "SOFT", False, ("soft_kernel",)),
        ),
        bundles=(bundle_of(),),
        recipe={"steps": [{"step": "resample", "spacing": [1.5, 0.65, 0.65]}, {"step": "window"}]},
        notes=(("thick_slices", {"spacing": 5.0}),),
        limits=(("not_normal", {}), ("labels_are_opinions", {})),
        timings={"read": 1.2, "lungs": 3.4, "candidates": 5.0, "classify": 0.4},
        versions={"numpy": "2.1", "onnxruntime": "1.20"},
        instance_numbers=tuple(range(1, 25)),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    return study()


@pytest.fixture(scope="session")
def make_study():
    return study


@pytest.fixture(scope="session")
def dicom_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The made-up chest as a DICOM series."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder = tmp_path_factory.mktemp("series")
    hu, _ = chest()
    study_uid, series_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    paths = []
    for z, plane in enumerate(hu):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = pydicom.Dataset()
        ds.file_meta = meta
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, series_uid
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = frame_uid, ""
        ds.PatientName, ds.PatientID = "Doe^Jane", "PID-77"
        ds.PatientBirthDate, ds.PatientSex = "19500102", "F"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20240301", "101500", "ACC1"
        ds.StudyID, ds.ReferringPhysicianName = "1", ""
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 2, z + 1
        ds.ImageType, ds.Manufacturer = ["ORIGINAL", "PRIMARY", "AXIAL"], "none"
        ds.Rows, ds.Columns = plane.shape
        ds.PixelSpacing, ds.SliceThickness = [2.5, 2.5], 5.0
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-160.0, -160.0, -60.0 + 5.0 * z]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
        ds.KVP, ds.AcquisitionNumber = 120, 1
        ds.PixelData = plane.astype("<i2").tobytes()
        path = folder / f"{z:03}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)


@pytest.fixture(scope="session")
def dicom_analysis(dicom_files: tuple[Path, ...]) -> Analysis:
    return study(source=SourceRef(dicom_files))
