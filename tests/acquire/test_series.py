"""Series: grouped, ordered by geometry, placed in space or refused by name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from diaphane.acquire import find_series, read, read_series
from diaphane.acquire.segments import Segment
from diaphane.core import errors
from diaphane.core.volume import Volume


def refused(folder):
    """The error of the one refused series."""
    found = find_series(folder)
    assert not found.series
    return found.rejected[0][1]


def test_order_is_that_of_geometry(dicom, tmp_path):
    volume = read(dicom.series(tmp_path))
    expected = np.stack([dicom.stored(i) for i in range(5)]).astype(np.int16) - 1024
    np.testing.assert_array_equal(volume.voxels, expected)
    assert volume.voxels.dtype == np.int16
    assert volume.unit == "HU"
    assert volume.geometry.spacing == (2.5, 0.5, 0.7)
    assert volume.geometry.origin == (-10.0, -20.0, 0.0)
    np.testing.assert_allclose(volume.geometry.to_patient((2, 1, 3)), (-7.9, -19.5, 5.0))


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (-1, 0, 0, 0, 1, 0),
        (0, 1, 0, 0, 0, -1),
        (0.8, 0.6, 0, 0, 0, -1),
        (0.9659258, 0.2588190, 0, -0.2425, 0.9050, 0.3493),
    ],
)
def test_agrees_with_simpleitk(dicom, tmp_path, orientation):
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    across /= np.linalg.norm(across)
    down -= across * (across @ down)
    down /= np.linalg.norm(down)
    normal = np.cross(across, down)

    def turn(data, index):
        data.ImageOrientationPatient = [*across.round(9), *down.round(9)]
        data.ImagePositionPatient = list((np.array([5, 6, 7]) + 3.0 * index * normal).round(6))

    folder = dicom.series(tmp_path, change=turn)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected = Volume.from_sitk(reader.Execute())
    volume = read(folder)
    assert volume.geometry.close_to(expected.geometry, 1e-3)
    np.testing.assert_array_equal(volume.voxels, expected.voxels)


@pytest.mark.shared_data
def test_real_ct_agrees_with_simpleitk(shared_data):
    folder = shared_data("lung_pet_ct_dx") / "A0001_L"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected = Volume.from_sitk(reader.Execute())
    [series] = read_series(folder)
    volume = series.value.volume
    assert volume.geometry.close_to(expected.geometry, 1e-3)
    np.testing.assert_array_equal(volume.voxels, expected.voxels)
    assert series.value.facts["kernel"] == "L"
    assert series.value.facts["orientation"] == "axial"
    assert series.value.facts["instance_numbers"][0] == 64


@pytest.mark.shared_data
def test_two_real_series_beside_other_files(shared_data):
    found = find_series(shared_data("lung_pet_ct_dx"))
    assert [series.number for series in found] == [2, 3]
    assert found.rejected == ()
    assert found.choose("3").facts["kernel"] == "B"
    with pytest.raises(errors.AmbiguousInput, match="2 series"):
        read(shared_data("lung_pet_ct_dx"))


def test_series_are_told_apart_and_named(dicom, tmp_path):
    dicom.series(tmp_path / "a")

    def other(data, index):
        data.SeriesInstanceUID = "1.2.3.77"
        data.SeriesNumber = 9
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    dicom.series(tmp_path / "b", count=2, change=other)
    (tmp_path / "notes.txt").write_text("not an image")
    found = find_series(tmp_path)
    assert [s.number for s in found] == [4, 9]
    assert [s.facts["localizer"] for s in found] == [False, True]
    assert read(tmp_path, series=9).shape == (2, 6, 8)
    assert read(tmp_path, series=dicom.series_uid).shape == (5, 6, 8)
    assert read(tmp_path, series=found.series[0].key).shape == (5, 6, 8)
    with pytest.raises(errors.EmptyInput, match="no series '7'"):
        read(tmp_path, series=7)
    assert len(read_series(tmp_path)) == 2


def test_identity_stays_inside(dicom, tmp_path):
    [header] = find_series(dicom.series(tmp_path))
    series = header.load()
    assert series.identity.patient_name == "Nightingale^Florence"
    assert series.identity.patient_id == "NHS-1820"
    assert series.identity.accession == "ACC77"
    shown = f"{header!r} {series!r} {series.value!r} {header.facts} {header.description}"
    for secret in ("Nightingale", "Florence", "NHS-1820", "18200512", "ACC77", dicom.series_uid):
        assert secret not in shown
    assert header.description == "Chest 5mm"
    assert header.facts["description_terms"] == ("chest", "5mm")
    assert header.key.startswith("S-")
    assert header.key == find_series(tmp_path).series[0].key


def test_one_vocabulary_and_no_patient_in_it(dicom, tmp_path):
    """A patient's name is left out of descriptions, also where it is a technical word."""

    def named_as_technique(data, _):
        data.PatientName = "Axial^Florence"
        data.SeriesDescription = "Chest axial helical C+ 5mm Nightingale"

    [header] = find_series(dicom.series(tmp_path, change=named_as_technique))
    assert header.facts["description_terms"] == ("chest", "helical", "c+", "5mm")
    assert header.description == "Chest helical C+ 5mm Nightingale"
    shown = {
        label: Segment(3, label).name
        for label in ("left lung", "GTVp", "tumor 12", "lung(smith)", "Smith", "73091512")
    }
    assert [label for label in shown if shown[label] == label] == list(shown)[:3]


def test_thread_counts_give_the_same(dicom, tmp_path):
    [header] = find_series(dicom.series(tmp_path, count=9))
    one, many = header.load(threads=1), header.load(threads=4)
    np.testing.assert_array_equal(one.value.volume.voxels, many.value.volume.voxels)


def test_missing_slice(dicom, tmp_path):
    error = refused(dicom.series(tmp_path, count=7, skip=(2, 3)))
    assert type(error) is errors.MissingSlice
    assert "2 of 7 slices are missing" in str(error)
    with pytest.raises(errors.MissingSlice):
        read(tmp_path)


def test_same_image_twice(dicom, tmp_path):
    dicom.series(tmp_path)
    first = min(tmp_path.glob("*.dcm"))
    shutil.copy(first, tmp_path / "copy.dcm")
    error = refused(tmp_path)
    assert type(error) is errors.DuplicateSlice
    assert "twice" in str(error)


def test_two_images_at_one_position(dicom, tmp_path):
    def crowd(data, index):
        if index == 3:
            data.ImagePositionPatient = [-10.0, -20.0, 2 * dicom.step]

    error = refused(dicom.series(tmp_path, change=crowd))
    assert type(error) is errors.DuplicateSlice
    assert "same position" in str(error)


def test_uneven_spacing(dicom, tmp_path):
    def stretch(data, index):
        data.ImagePositionPatient = [-10.0, -20.0, index * 2.5 + 0.02 * index**3]

    error = refused(dicom.series(tmp_path, count=6, change=stretch))
    assert isinstance(error, errors.GeometryError)


def test_rounded_positions_pass(dicom, tmp_path):
    def rounded(data, index):
        data.ImagePositionPatient = [-10.0, -20.0, round(index * 0.625, 1)]

    volume = read(dicom.series(tmp_path, count=9, change=rounded))
    assert volume.geometry.spacing[0] == pytest.approx(0.625)


def test_gantry_tilt(dicom, tmp_path):
    def tilt(data, index):
        data.ImagePositionPatient = [-10.0, -20.0 + index * 0.9, index * 2.5]

    error = refused(dicom.series(tmp_path, change=tilt))
    assert type(error) is errors.GantryTilt
    assert "19.8 degrees" in str(error)


@pytest.mark.parametrize(
    ("attribute", "value", "what"),
    [
        ("PatientID", "NHS-9999", "patients"),
        ("FrameOfReferenceUID", "1.2.3.4", "frames of reference"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "orientations"),
        ("PixelSpacing", [0.9, 0.9], "pixel spacings"),
        ("Modality", "MR", "modalities"),
    ],
)
def test_mixed_series(dicom, tmp_path, attribute, value, what):
    def mix(data, index):
        if index == 3:
            setattr(data, attribute, value)

    error = refused(dicom.series(tmp_path, change=mix))
    assert type(error) is errors.MixedSeries
    assert f"two {what}" in str(error)


def test_mixed_sizes(dicom, tmp_path):
    def grow(data, index):
        if index == 0:
            data.Rows, data.Columns = 8, 6

    error = refused(dicom.series(tmp_path, change=grow))
    assert type(error) is errors.MixedSeries
    assert "image sizes" in str(error)


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("PixelSpacing", errors.MissingSpacing),
        ("ImagePositionPatient", errors.GeometryError),
        ("ImageOrientationPatient", errors.GeometryError),
    ],
)
def test_sections_without_geometry(dicom, tmp_path, attribute, kind):
    error = refused(dicom.series(tmp_path, change=lambda data, _: delattr(data, attribute)))
    assert type(error) is kind
    assert error.path is not None


def test_orientation_that_is_none(dicom, tmp_path):
    def flat(data, index):
        data.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]

    assert isinstance(refused(dicom.series(tmp_path, change=flat)), errors.GeometryError)


def test_single_section_keeps_its_thickness(dicom, tmp_path):
    volume = read(dicom.series(tmp_path, count=1))
    assert volume.shape == (1, 6, 8)
    assert volume.geometry.spacing == (2.5, 0.5, 0.7)


def test_truncated_file_refuses_its_series(dicom, tmp_path):
    dicom.series(tmp_path)
    last = max(tmp_path.glob("*.dcm"))
    last.write_bytes(last.read_bytes()[:-40])
    found = find_series(tmp_path)
    assert not found.series
    assert {type(error) for _, error in found.rejected} == {errors.UnreadableFile}
    assert any("40 bytes of pixels are missing" in str(error) for _, error in found.rejected)
    with pytest.raises(errors.UnreadableFile):
        read_series(tmp_path)


@pytest.mark.parametrize("size", [0, 100, 140, 300, 600])
def test_truncated_header(dicom, tmp_path, size):
    path = dicom.save(dicom.image(), tmp_path / "cut.dcm")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(errors.InputError) as caught:
        read(path)
    assert type(caught.value) in (errors.UnreadableFile, errors.NoPixelData)


def test_declared_size_larger_than_the_file(dicom, tmp_path):
    def lie(data, _):
        data.Rows = data.Columns = 65535

    error = refused(dicom.series(tmp_path, count=1, change=lie))
    assert type(error) is errors.UnreadableFile
    assert "declares" in str(error)


def test_no_pixel_data(dicom, tmp_path):
    error = refused(
        dicom.series(tmp_path, count=1, change=lambda data, _: delattr(data, "PixelData"))
    )
    assert type(error) is errors.NoPixelData


def test_reports_are_no_images(dicom, tmp_path):
    dicom.series(tmp_path / "ct")
    report = dicom.image()
    report.Modality = "SR"
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    dicom.save(report, tmp_path / "report.dcm")
    found = find_series(tmp_path)
    assert len(found) == 1
    assert found.rejected == ()
    assert [kind for _, kind in found.others] == ["SR"]
    with pytest.raises(errors.NoPixelData, match="no images"):
        read(tmp_path / "report.dcm")


def test_empty_folder(tmp_path):
    for call in (read, find_series, read_series):
        with pytest.raises(errors.EmptyInput):
            call(tmp_path)


def test_folder_of_text_files(tmp_path):
    for name in ("a.txt", "b.md"):
        (tmp_path / name).write_text("words")
    with pytest.raises(errors.EmptyInput, match="other kinds: 2"):
        read(tmp_path)


def test_no_such_place(tmp_path):
    for call in (read, find_series):
        with pytest.raises(errors.EmptyInput, match="no such"):
            call(tmp_path / "nowhere")


def test_radiographs_of_one_series_are_images_of_their_own(dicom, tmp_path):
    for index in range(2):
        dicom.radiograph(
            tmp_path / f"{index}.dcm",
            lambda data, _, i=index: setattr(data, "SOPInstanceUID", f"1.2.3.{i + 1}"),
        )
    found = find_series(tmp_path)
    assert [s.shape for s in found] == [(1, 6, 8)] * 2
    assert len({s.key for s in found}) == 2
    assert found.series[0].spacing == (None, None, None)


def test_mosaic_of_unknown_slices_is_refused(dicom, tmp_path):
    def tile(data, _):
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    error = refused(dicom.series(tmp_path, count=1, change=tile))
    assert type(error) is errors.GeometryError
    assert "how many slices" in str(error)


@pytest.mark.parametrize(
    ("characters", "name", "text", "shown"),
    [
        ("GB18030", "王^小东", "王小东 头部 CT", "头部 CT"),
        ("ISO_IR 192", "Müller^J", "Kopf Müller schädel", "Kopf schädel"),
        (["", "ISO 2022 IR 87"], "Yamada=山田", "山田 頭部", "頭部"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_descriptions_in_any_character_set(dicom, tmp_path, characters, name, text, shown, syntax):
    def change(data, _):
        data.SpecificCharacterSet = characters
        data.PatientName, data.SeriesDescription = name, text
        data.file_meta.TransferSyntaxUID = syntax

    [series] = find_series(dicom.series(tmp_path, change=change))
    assert series.description == shown
