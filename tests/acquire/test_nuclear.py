"""Nuclear medicine: reconstructions are volumes, projections are pictures."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from diaphane.acquire import find_series, read
from diaphane.core import errors

COUNT = 4


def nuclear(dicom, path, kind, *, frames=COUNT, step=3.0, change=None):
    """A multi-frame object whose frame k holds ``dicom.stored(k)``."""
    data = dicom.image()
    data.SOPClassUID, data.Modality = pydicom.uid.NuclearMedicineImageStorage, "NM"
    data.ImageType = ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope"):
        delattr(data, name)
    del data.RescaleIntercept
    detector = Dataset()
    detector.ImagePositionPatient = [-10.0, -20.0, 50.0]
    detector.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.DetectorInformationSequence = [detector]
    data.SpacingBetweenSlices = step
    data.NumberOfFrames = frames
    data.PixelData = b"".join(dicom.stored(k).tobytes() for k in range(frames))
    if change is not None:
        change(data)
    return dicom.save(data, path)


@pytest.mark.parametrize("step", [3.0, -3.0])
def test_a_reconstruction_is_placed_by_its_detector(dicom, tmp_path, step):
    path = nuclear(dicom, tmp_path / "nm.dcm", "RECON TOMO", step=step)
    volume = read(path)
    assert volume.geometry.spacing == (3.0, 0.5, 0.7)
    for frame in range(COUNT):
        place = volume.geometry.to_index([-10.0, -20.0, 50.0 + frame * step])
        z = round(float(place[0]))
        np.testing.assert_allclose(place, [z, 0, 0], atol=1e-9)
        np.testing.assert_array_equal(volume.voxels[z], dicom.stored(frame))
    other = sitk.ReadImage(str(path))
    assert other.GetSize() == (8, 6, COUNT)


def test_slices_may_come_in_any_order_and_several_times(dicom, tmp_path):
    def gated(data):
        data.SliceVector = [2, 1, 1, 2]
        data.TimeSlotVector = [1, 1, 2, 2]

    path = nuclear(dicom, tmp_path / "nm.dcm", "RECON GATED TOMO", change=gated)
    first, second = find_series(path).series
    for series, frames in ((first, (1, 0)), (second, (2, 3))):
        voxels = series.load().value.volume.voxels
        for z, frame in enumerate(frames):
            np.testing.assert_array_equal(voxels[z], dicom.stored(frame))
    assert first.key != second.key
    assert first.facts["volume"] == {"time_point": 1}


def test_a_reconstruction_without_its_place_is_refused(dicom, tmp_path):
    def lost(data):
        del data.DetectorInformationSequence[0].ImagePositionPatient

    path = nuclear(dicom, tmp_path / "nm.dcm", "RECON TOMO", change=lost)
    with pytest.raises(errors.GeometryError, match="where its slices lie"):
        read(path)


def test_slices_in_files_of_their_own(dicom, tmp_path):
    for index in range(COUNT):

        def place(data, index=index):
            data.SOPInstanceUID = f"1.2.{index}"
            data.DetectorInformationSequence[0].ImagePositionPatient[2] = 50 + 3.0 * index
            data.PixelData = dicom.stored(index).tobytes()

        nuclear(dicom, tmp_path / f"{9 - index}.dcm", "RECON TOMO", frames=1, change=place)
    volume = read(tmp_path)
    assert volume.geometry.spacing[0] == 3.0
    np.testing.assert_array_equal(volume.voxels[2], dicom.stored(2))


@pytest.mark.parametrize("kind", ["STATIC", "WHOLE BODY", "DYNAMIC", "TOMO"])
def test_projections_are_pictures_with_a_pixel_spacing(dicom, tmp_path, kind):
    volume = read(nuclear(dicom, tmp_path / "nm.dcm", kind))
    assert volume.geometry.spacing == (None, 0.5, 0.7)
    assert volume.shape == (COUNT, 6, 8)
    np.testing.assert_array_equal(volume.voxels[3], dicom.stored(3))
    assert volume.unit == "1"
