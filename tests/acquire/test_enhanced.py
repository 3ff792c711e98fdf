"""Enhanced multi-frame objects: placed by their functional groups, or refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from diaphane.acquire import find_series, read
from diaphane.core import errors
from diaphane.core.volume import Volume


def test_frames_are_sorted_and_rescaled(dicom, tmp_path):
    volume = read(dicom.enhanced(tmp_path / "e.dcm"))
    assert volume.shape == (4, 6, 8)
    assert volume.geometry.spacing == (2.5, 0.5, 0.7)
    assert volume.geometry.origin == (-10.0, -20.0, -7.5)
    np.testing.assert_array_equal(volume.voxels[3], dicom.stored(0).astype(int) * 2 + 1)
    assert volume.meta["instance_numbers"] == (4, 3, 2, 1)


def test_two_volumes_in_one_object(dicom, tmp_path):
    def twice(data, _):
        frames = data.PerFrameFunctionalGroupsSequence
        for index in (2, 3):
            place = frames[index - 2].PlanePositionSequence[0].ImagePositionPatient
            frames[index].PlanePositionSequence[0].ImagePositionPatient = place

    [(_, error)] = find_series(dicom.enhanced(tmp_path / "e.dcm", change=twice)).rejected
    assert type(error) is errors.DuplicateSlice


def test_frame_without_place(dicom, tmp_path):
    def lose(data, _):
        del data.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence

    [(_, error)] = find_series(dicom.enhanced(tmp_path / "e.dcm", change=lose)).rejected
    assert type(error) is errors.GeometryError
    assert "Frame 2" in str(error)


def test_frames_that_are_not_described(dicom, tmp_path):
    def lose(data, _):
        del data.PerFrameFunctionalGroupsSequence[3]

    [(_, error)] = find_series(dicom.enhanced(tmp_path / "e.dcm", change=lose)).rejected
    assert type(error) is errors.UnreadableFile


def test_classic_multi_frame_sections_are_refused(dicom, tmp_path):
    def many(data, _):
        data.NumberOfFrames = 2
        data.PixelData = data.PixelData * 2

    [(_, error)] = find_series(dicom.series(tmp_path, count=1, change=many)).rejected
    assert isinstance(error, errors.GeometryError)


@pytest.mark.shared_data
def test_real_enhanced_mr_equals_its_nifti(shared_data):
    zoo = shared_data("dicom_zoo") / "dcm_qa_enh"
    reference = nibabel.load(zoo / "Ref" / "Siemens_REST1_w_SMS_PF7-8_6.nii")
    for number in range(4):
        volume = read(zoo / "In" / "Siemens" / "XA10" / f"6_{number + 1}.dcm")
        expected = Volume.from_nibabel(
            nibabel.Nifti1Image(np.asarray(reference.dataobj)[..., number], reference.affine)
        )
        grid = np.array(np.meshgrid(*[range(n) for n in volume.shape], indexing="ij"))
        points = volume.geometry.to_patient(grid.reshape(3, -1).T)
        index = expected.geometry.to_index(points)
        nearest = np.rint(index).astype(int)
        assert np.abs(index - nearest).max() < 1e-3
        np.testing.assert_array_equal(expected.voxels[tuple(nearest.T)], volume.voxels.ravel())
