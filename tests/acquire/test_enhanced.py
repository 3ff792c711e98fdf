"""Enhanced multi-frame objects: placed by their functional groups, or refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedPETImageStorage, ParametricMapStorage

from diaphane.acquire import ReadOptions, find_series, read
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


def functional(data, index, group, **values):
    """Add a functional group to a frame."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    setattr(data.PerFrameFunctionalGroupsSequence[index], group, [item])


def interleaved(data, count, group, values, **more):
    """Two volumes of ``count // 2`` places, their frames one after the other."""
    for index in range(count):
        place = [-10.0, -20.0, -(index // 2) * 2.5]
        frame = data.PerFrameFunctionalGroupsSequence[index]
        frame.PlanePositionSequence[0].ImagePositionPatient = place
        functional(data, index, group, **{k: v[index % 2] for k, v in values.items()}, **more)


@pytest.mark.parametrize(
    ("group", "attribute", "values", "fact"),
    [
        ("MREchoSequence", "EffectiveEchoTime", (4.9, 7.4), "echo_time"),
        ("MRDiffusionSequence", "DiffusionBValue", (0.0, 900.0), "b_value"),
        (
            "CardiacSynchronizationSequence",
            "NominalPercentageOfCardiacPhase",
            (30.0, 70.0),
            "cardiac_phase",
        ),
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2), "temporal_position"),
    ],
)
def test_volumes_of_one_object(dicom, tmp_path, group, attribute, values, fact):
    path = dicom.enhanced(
        tmp_path / "e.dcm",
        count=8,
        change=lambda data, _: interleaved(data, 8, group, {attribute: values}),
    )
    found = find_series(path)
    assert found.rejected == ()
    assert [s.facts[fact] for s in found] == list(values)
    assert [s.facts["volume"] for s in found] == [{fact: float(v)} for v in values]
    assert len({s.key for s in found}) == 2
    for number, series in enumerate(found):
        voxels = series.load().value.volume.voxels
        assert voxels.shape == (4, 6, 8)
        for z in range(4):  # from the bottom: the last frames first
            stored = dicom.stored(2 * (3 - z) + number).astype(int)
            np.testing.assert_array_equal(voxels[z], stored * 2 + 1)


def test_dimension_index_is_the_last_resort(dicom, tmp_path):
    def index(data, _):
        pointers = []
        for tag in (0x00209056, 0x00209057, 0x00189999):
            item = Dataset()
            item.DimensionIndexPointer = tag
            pointers.append(item)
        data.DimensionIndexSequence = pointers
        interleaved(data, 8, "FrameContentSequence", {"StackID": ("1", "1")})
        for k, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].DimensionIndexValues = [1, k // 2 + 1, k % 2 + 1]

    found = find_series(dicom.enhanced(tmp_path / "e.dcm", count=8, change=index))
    assert [s.facts["volume"] for s in found] == [{"dimension": (1,)}, {"dimension": (2,)}]


def test_two_stacks_of_one_object(dicom, tmp_path):
    def stacks(data, _):
        for index in range(8):
            functional(data, index, "FrameContentSequence", StackID=str(index // 4))
            frame = data.PerFrameFunctionalGroupsSequence[index]
            if index >= 4:
                functional(
                    data, index, "PlaneOrientationSequence",
                    ImageOrientationPatient=[1, 0, 0, 0, 0.8, -0.6],
                )  # fmt: skip
                place = [0.0, 1.5 * index, 2.0 * index]
                frame.PlanePositionSequence[0].ImagePositionPatient = place

    found = find_series(dicom.enhanced(tmp_path / "e.dcm", count=8, change=stacks))
    assert [s.shape for s in found] == [(4, 6, 8)] * 2
    assert [s.facts["volume"] for s in found] == [{"stack": 1}, {"stack": 2}]
    assert found.series[1].facts["orientation"] == "oblique"


def test_rescale_of_each_frame_is_kept(dicom, tmp_path):
    def scale(data, _):
        for index, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            frame.PixelValueTransformationSequence[0].RescaleSlope = 1.5 + index

    volume = read(dicom.enhanced(tmp_path / "e.dcm", change=scale))
    for z in range(4):
        expected = dicom.stored(3 - z) * (1.5 + 3 - z) + 1
        np.testing.assert_allclose(volume.voxels[z], expected, rtol=1e-6)


def enhanced_pet(data, count=8, half_life=6586.2, **changes):
    """An Enhanced PET Image (PS3.3 A.56) of two time points, each frame with its own rescale."""
    data.SOPClassUID, data.Modality = EnhancedPETImageStorage, "PT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.DecayCorrected = data.AttenuationCorrected = "YES"
    data.DecayCorrectionDateTime = "20260101110000"
    data.PatientWeight = 75.0
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = 370e6, half_life
    item.RadiopharmaceuticalStartDateTime = "20260101100000"
    data.RadiopharmaceuticalInformationSequence = [item]
    interleaved(data, count, "FrameContentSequence", {"TemporalPositionIndex": (1, 2)})
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "Bq/ml", "UCUM", "Bq/ml"
    for index, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        slope = 0.5 + index
        frame.PixelValueTransformationSequence[0].RescaleSlope = slope
        frame.PixelValueTransformationSequence[0].RescaleIntercept = 0
        functional(
            data, index, "RealWorldValueMappingSequence", RealWorldValueSlope=slope,
            RealWorldValueIntercept=0, MeasurementUnitsCodeSequence=[code],
        )  # fmt: skip
        functional(data, index, "PETFrameTypeSequence", FrameType=data.ImageType)
    for name, value in changes.items():
        setattr(data, name, value)


def test_enhanced_pet_of_two_time_points(dicom, tmp_path):
    path = dicom.enhanced(tmp_path / "p.dcm", count=8, change=lambda data, _: enhanced_pet(data))
    factor = 1000 * 75 / (370e6 * 2 ** (-3600 / 6586.2))
    for options, unit, scale in (
        (ReadOptions(), "Bq/ml", 1.0),
        (ReadOptions.of(units="suv"), "SUVbw", factor),
    ):
        found = find_series(path, options)
        assert found.rejected == ()
        assert [s.facts["volume"] for s in found] == [{"temporal_position": t} for t in (1.0, 2.0)]
        for number, series in enumerate(found):
            volume = series.load().value.volume
            assert (volume.modality, volume.unit, series.unit) == ("PT", unit, unit)
            assert volume.geometry.spacing == (2.5, 0.5, 0.7)
            for z in range(4):  # from the bottom: the last frames first
                index = 2 * (3 - z) + number
                expected = dicom.stored(index) * (0.5 + index) * scale
                np.testing.assert_allclose(volume.voxels[z], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"PatientWeight": None}, {"AttenuationCorrected": "NO"}, {"DecayCorrected": "NO"}]
)
def test_enhanced_pet_that_cannot_become_suv(dicom, tmp_path, changes):
    path = dicom.enhanced(
        tmp_path / "p.dcm", count=8, change=lambda data, _: enhanced_pet(data, **changes)
    )
    found = find_series(path, ReadOptions.of(units="suv"))
    assert {type(error) for _, error in found.rejected} == {errors.NotApplicable}
    assert not found.series
    assert [s.unit for s in find_series(path)] == ["Bq/ml"] * 2


@pytest.mark.parametrize("total", [2, 3, None])
def test_object_that_was_stored_in_two_parts(dicom, tmp_path, total):
    for part in range(2):

        def half(data, _, part=part):
            data.ConcatenationUID, data.SOPInstanceUID = "1.2.3.50", f"1.2.3.{part + 1}"
            if total is not None:
                data.InConcatenationNumber = part + 1
                data.InConcatenationTotalNumber = total
            for index, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
                place = [-10.0, -20.0, -(index + 4 * part) * 2.5]
                frame.PlanePositionSequence[0].ImagePositionPatient = place

        dicom.enhanced(tmp_path / f"{part}.dcm", change=half)
    if total == 3:
        with pytest.raises(errors.MissingSlice, match="1 of the 3 files"):
            read(tmp_path)
    else:
        assert read(tmp_path).shape == (8, 6, 8)


@pytest.mark.shared_data
def test_field_map_and_magnitude_in_one_real_object(shared_data):
    found = find_series(shared_data("dicom_zoo") / "dcm_qa_enh" / "In" / "Philips")
    assert [s.shape for s in found] == [(32, 64, 64)] * 2
    assert [s.facts["volume"]["image_type"][3] for s in found] == ["M", "FIELD_MAP"]


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


@pytest.mark.parametrize(
    ("kind", "unit"), [("HU", "HU"), ("US", "1"), ("ED", "1"), ("Z_EFF", "1"), (None, "1")]
)
def test_unit_of_an_enhanced_ct_is_what_its_frames_state(dicom, tmp_path, kind, unit):
    def change(data, _):
        data.SOPClassUID, data.Modality = EnhancedCTImageStorage, "CT"
        for frame in data.PerFrameFunctionalGroupsSequence:
            if kind is None:
                del frame.PixelValueTransformationSequence
            else:
                frame.PixelValueTransformationSequence[0].RescaleType = kind

    volume = read(dicom.enhanced(tmp_path / "e.dcm", change=change))
    assert volume.unit == unit
    assert volume.meta.get("rescale_type") == kind


def test_rescale_beside_the_functional_groups(dicom, tmp_path):
    def change(data, _):
        data.RescaleSlope, data.RescaleIntercept = 3, -5
        for frame in data.PerFrameFunctionalGroupsSequence:
            del frame.PixelValueTransformationSequence

    volume = read(dicom.enhanced(tmp_path / "e.dcm", change=change))
    np.testing.assert_array_equal(volume.voxels[3], dicom.stored(0).astype(int) * 3 - 5)


@pytest.mark.parametrize("modality", ["OT", "MR"])
def test_parametric_map_gives_real_world_values(dicom, tmp_path, modality):
    def change(data, _):
        data.SOPClassUID, data.Modality = ParametricMapStorage, modality
        for index, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            del frame.PixelValueTransformationSequence
            world = {"RealWorldValueSlope": 0.5 + index, "RealWorldValueIntercept": -7.0}
            functional(data, index, "RealWorldValueMappingSequence", **world)

    path = dicom.enhanced(tmp_path / "map.dcm", change=change)
    np.testing.assert_allclose(read(path).voxels[3], dicom.stored(0) * 0.5 - 7)

    def table(data, _):
        change(data, _)
        del data.PerFrameFunctionalGroupsSequence[2].RealWorldValueMappingSequence

    with pytest.raises(errors.UnreadableFile, match="Frame 3 of the map"):
        read(dicom.enhanced(path, change=table))


def test_stacks_are_numbered_as_the_object_does(dicom, tmp_path):
    def stacks(data, _):
        for index in range(8):
            functional(data, index, "FrameContentSequence", StackID=["10", "2"][index // 4])

    found = find_series(dicom.enhanced(tmp_path / "e.dcm", count=8, change=stacks))
    assert [s.facts["volume"] for s in found] == [{"stack": 1}, {"stack": 2}]
    np.testing.assert_array_equal(
        found.series[0].load().value.volume.voxels[3], dicom.stored(4).astype(int) * 2 + 1
    )


def test_same_object_twice(dicom, tmp_path):
    path = dicom.enhanced(tmp_path / "e.dcm")
    (tmp_path / "copy.dcm").write_bytes(path.read_bytes())
    found = find_series(tmp_path)
    assert len(found) == 1
    [(_, error)] = found.rejected
    assert type(error) is errors.DuplicateSlice
