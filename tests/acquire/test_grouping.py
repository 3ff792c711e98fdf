"""Films, captures and planar images: volumes of their own, placed only where they say so."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from diaphane.acquire import find_series, read
from diaphane.core import errors


def film(data, _):
    """A multi-frame ultrasound."""
    data.SOPClassUID, data.Modality = uid.UltrasoundMultiFrameImageStorage, "US"
    data.NumberOfFrames = 3
    data.PixelData = data.PixelData * 3


def capture(data, index):
    """A placed secondary capture."""
    data.SOPClassUID, data.Modality = uid.SecondaryCaptureImageStorage, "OT"


def test_frames_of_a_film_are_slices_without_spacing(dicom, tmp_path):
    volume = read(dicom.radiograph(tmp_path / "us.dcm", film))
    assert volume.shape == (3, 6, 8)
    assert volume.geometry.spacing == (None, None, None)
    assert volume.meta["instance_numbers"] == (1, 2, 3)
    np.testing.assert_array_equal(volume.voxels[0], volume.voxels[2])


def test_two_films_of_one_series_are_two(dicom, tmp_path):
    for index in range(2):

        def named(data, _, i=index):
            film(data, 0)
            data.SOPInstanceUID = f"1.2.3.{i + 1}"

        dicom.radiograph(tmp_path / f"{index}.dcm", named)
    found = find_series(tmp_path)
    assert [s.shape for s in found] == [(3, 6, 8)] * 2
    assert len({s.key for s in found}) == 2


def test_placed_captures_stack(dicom, tmp_path):
    volume = read(dicom.series(tmp_path, change=capture))
    assert volume.shape == (5, 6, 8)
    assert volume.geometry.is_spatial
    assert volume.unit == "1"


def test_captures_that_do_not_stack_stay_single(dicom, tmp_path):
    def odd(data, index):
        capture(data, index)
        data.ImagePositionPatient = [0, 0, index**2 * 2.5]

    found = find_series(dicom.series(tmp_path, change=odd))
    assert [s.shape for s in found] == [(1, 6, 8)] * 5


def test_capture_of_a_ct_console_needs_no_place(dicom, tmp_path):
    def screen(data, _):
        data.SOPClassUID, data.Modality = uid.SecondaryCaptureImageStorage, "CT"

    volume = read(dicom.radiograph(tmp_path / "dose.dcm", screen))
    assert volume.geometry.spacing == (None, None, None)
    assert volume.unit == "1"


def test_same_radiograph_twice(dicom, tmp_path):
    dicom.radiograph(tmp_path / "a.dcm")
    dicom.radiograph(tmp_path / "b.dcm")
    found = find_series(tmp_path)
    assert len(found) == 1
    assert [type(error) for _, error in found.rejected] == [errors.DuplicateSlice]


def test_microscopy_is_refused(dicom, tmp_path):
    dicom.radiograph(tmp_path / "sm.dcm", lambda data, _: setattr(data, "Modality", "SM"))
    with pytest.raises(errors.NotApplicable, match="microscopy"):
        read(tmp_path / "sm.dcm")


def test_film_with_functional_groups_is_placed(dicom, tmp_path):
    def tomo(data, _):
        data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.77.1.5.4", "OPT"

    placed = read(dicom.enhanced(tmp_path / "opt.dcm", change=tomo))
    assert placed.geometry.spacing == (2.5, 0.5, 0.7)

    def lost(data, _):
        tomo(data, 0)
        for frame in data.PerFrameFunctionalGroupsSequence:
            del frame.PlanePositionSequence

    unplaced = read(dicom.enhanced(tmp_path / "lost.dcm", change=lost))
    assert unplaced.shape == (4, 6, 8)
    assert unplaced.geometry.direction is None


def test_values_that_are_no_numbers_are_refused(dicom, tmp_path):
    path = dicom.save(dicom.image(), tmp_path / "a.dcm")
    content = path.read_bytes()
    assert content.count(b"0.5\\0.7 ") == 1
    path.write_bytes(content.replace(b"0.5\\0.7 ", b"0.5\\nan "))
    with pytest.raises(errors.UnreadableFile, match="spacing that is not a number"):
        read(path)


def test_zero_spacing(dicom, tmp_path):
    def flat(data, _):
        data.PixelSpacing = [0, 0]

    [(_, error)] = find_series(dicom.series(tmp_path, count=1, change=flat)).rejected
    assert isinstance(error, errors.GeometryError)


def test_damage_never_escapes_as_another_error(dicom, tmp_path):
    import random

    chance = random.Random(7)
    path = dicom.save(dicom.image(), tmp_path / "a.dcm")
    content = path.read_bytes()
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(5):
            damaged[chance.randrange(len(damaged) - 96)] = chance.randrange(256)
        path.write_bytes(bytes(damaged))
        try:
            outcomes.add(read(path).shape)
        except errors.InputError as error:
            outcomes.add(error.code)
    assert len(outcomes) > 1


def test_slope_of_zero(dicom, tmp_path):
    def flat(data, _):
        data.RescaleSlope = 0

    [(_, error)] = find_series(dicom.series(tmp_path, count=1, change=flat)).rejected
    assert type(error) is errors.UnreadableFile


def test_one_series_of_two_studies_is_refused(dicom, tmp_path):
    def other(data, index):
        if index > 2:
            data.StudyInstanceUID = "1.2.3"

    [(_, error)] = find_series(dicom.series(tmp_path, change=other)).rejected
    assert type(error) is errors.MixedSeries
    assert "two studies" in str(error)


def test_same_film_twice(dicom, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        dicom.radiograph(tmp_path / name, film)
    found = find_series(tmp_path)
    assert len(found) == 1
    [(_, error)] = found.rejected
    assert type(error) is errors.DuplicateSlice


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_capture_of_one_bit(dicom, tmp_path, syntax):
    stored = np.random.default_rng(1).integers(0, 2, (3, 5, 7))

    def bits(data, _):
        data.SOPClassUID = uid.MultiFrameSingleBitSecondaryCaptureImageStorage
        data.Modality, data.NumberOfFrames = "OT", 3
        data.Rows, data.Columns = 5, 7
        data.BitsAllocated, data.BitsStored, data.HighBit = 1, 1, 0
        packed = np.packbits(stored.ravel(), bitorder="little").tobytes()
        words = np.frombuffer(packed + b"\0" * (len(packed) % 2), "<u2")
        if syntax == uid.ExplicitVRBigEndian:
            words = words.astype(">u2")
        data.PixelData = words.tobytes()
        data["PixelData"].VR = "OW"
        data.file_meta.TransferSyntaxUID = syntax

    path = dicom.radiograph(tmp_path / "bits.dcm", bits)
    np.testing.assert_array_equal(read(path).voxels, stored)
