"""masks.nii.gz and seg.dcm: the labels as they are, where they are."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from diaphane.core.case import SourceRef
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report import write_analysis


@pytest.fixture(scope="module")
def written(dicom_analysis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seg")
    names = [path.name for path in write_analysis(dicom_analysis, folder)]
    assert names == [
        "findings.json",
        "report.html",
        "report.txt",
        "masks.nii.gz",
        "seg.dcm",
        "sr.dcm",
    ]
    return folder


def test_masks_come_back_on_the_same_grid(written, dicom_analysis) -> None:
    image = nibabel.load(written / "masks.nii.gz")
    assert image.get_data_dtype() == np.uint16
    back = Volume.from_nibabel(image)
    np.testing.assert_array_equal(back.voxels, dicom_analysis.labels)
    assert back.geometry.close_to(dicom_analysis.volume.geometry)


def test_masks_without_a_place_claim_none(make_study, tmp_path) -> None:
    picture = Volume(np.zeros((1, 8, 9), np.uint8), Geometry((1, 8, 9)))
    write_analysis(
        make_study(volume=picture, findings=(), candidates=(), labels=None, structures={}), tmp_path
    )
    header = nibabel.load(tmp_path / "masks.nii.gz").header
    assert header["qform_code"] == header["sform_code"] == 0
    assert header.get_xyzt_units()[0] == "unknown"
    assert not (tmp_path / "seg.dcm").exists()


def test_the_segmentation_is_the_mask_bit_for_bit(written, dicom_analysis, dicom_files) -> None:
    seg = highdicom.seg.segread(written / "seg.dcm")
    uids = [pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in dicom_files]
    labels = dicom_analysis.labels
    values = [v for v in np.unique(labels) if v]
    assert seg.number_of_segments == len(values)
    planes = seg.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for place, value in enumerate(values):
        np.testing.assert_array_equal(planes[..., place], labels == value)


def test_segments_are_coded_and_carry_the_study(written) -> None:
    seg = highdicom.seg.segread(written / "seg.dcm")
    assert (seg.PatientName, seg.PatientID, seg.AccessionNumber) == ("Doe^Jane", "PID-77", "ACC1")
    meanings = [
        seg.get_segment_description(n).segmented_property_type.meaning
        for n in range(1, seg.number_of_segments + 1)
    ]
    assert meanings == ["Right lung", "Left lung", "Nodule", "Mass"]
    nodule = seg.get_segment_description(3)
    assert nodule.anatomic_regions[0].meaning == "Right lung"
    assert nodule.tracking_id.endswith(":F1")


def test_lungs_alone_are_a_valid_segmentation(dicom_analysis, tmp_path) -> None:
    labels = np.where(dicom_analysis.labels > 2, 0, dicom_analysis.labels)
    write_analysis(replace(dicom_analysis, findings=(), candidates=(), labels=labels), tmp_path)
    assert highdicom.seg.segread(tmp_path / "seg.dcm").number_of_segments == 2


def test_files_that_are_not_dicom_give_no_segmentation(make_study, tmp_path) -> None:
    other = tmp_path / "scan.nii"
    other.write_bytes(b"\0" * 400)
    write_analysis(make_study(source=SourceRef([other])), tmp_path / "out")
    assert not (tmp_path / "out" / "seg.dcm").exists()


@pytest.mark.integration
@pytest.mark.parametrize("found", [True, False])
def test_dciodvfy_has_nothing_to_object(dicom_analysis, tmp_path, found) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    study = dicom_analysis
    if not found:
        labels = np.where(study.labels > 2, 0, study.labels)
        study = replace(study, findings=(), candidates=(), labels=labels)
    write_analysis(study, tmp_path)
    done = subprocess.run(
        ["dciodvfy", str(tmp_path / "seg.dcm")], capture_output=True, text=True, check=False
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert errors == []
