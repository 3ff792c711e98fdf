"""seg.dcm, sr.dcm and rtstruct.dcm: the same mask on the same grid, said in codes."""

from __future__ import annotations

import shutil
import subprocess
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from pydicom.sr.codedict import codes
from skimage.draw import polygon2mask

import dicom_sources
from diaphane.acquire import find_series
from diaphane.acquire.drawn import read_mask
from diaphane.core.errors import UsageError
from diaphane.core.finding import (
    Analysis,
    Assessment,
    BundleRef,
    Diameter,
    Finding,
    Location,
    Measurement,
)
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.report import DicomForms
from diaphane.report.dicom import terms, write_dicom
from diaphane.report.dicom.contours import outlines

SHAPE = (6, 35, 31)
SHA = "5e" * 32


def analysed(folder: Path, *, findings: bool = True, options: ReadOptions = AS_IS) -> Analysis:
    """What an app would have found in the only series of a folder."""
    series = find_series(folder, options).series[0].load().value
    labels = dicom_sources.labels_of(series.volume.voxels)
    found = []
    for number, value in enumerate(v for v in (2, 5) if findings and (labels == v).any()):
        z, y, x = (int(v[len(v) // 2]) for v in np.nonzero(labels == value))
        low, high = (
            np.argwhere(labels == value).min(axis=0),
            np.argwhere(labels == value).max(axis=0),
        )
        box = (*(int(v) for v in low), *(int(v) + 1 for v in high))
        known = number == 0
        found.append(
            Finding(
                id=f"F{number + 1}",
                code="nodule",
                location=Location(box, (z, y, x), None, z, None, {"organ": "lung", "side": "left"}),
                measurements=(
                    Measurement("volume", 123.456, "mm3"),
                    Measurement("long_axis", 9.6, "mm"),
                    Measurement("short_axis", 4.8, "mm"),
                    Measurement("mean_density", 31.5, "[hnsf'U]"),
                ),
                assessment=Assessment({"benign": 0.25, "malignant": 0.75}, (), ("malignant",), 0.9)
                if known
                else Assessment(None, ("cut_by_frame", "unlike_training")),
                long_axis=Diameter((z, y, x - 6), (z, y, x + 6), 9.6, "mm"),
                short_axis=Diameter((z, y - 3, x), (z, y + 3, x), 4.8, "mm"),
                mask_label=value,
            )
        )
    return Analysis(
        app="lung-ct",
        app_version="1",
        pseudonym="P-1",
        volume=series.volume,
        findings=tuple(found),
        labels=labels,
        structures={} if findings else {2: "right_lung", 5: "left_lung"},
        bundles=(BundleRef("lung-nodule", "1.0", SHA),),
        source=series.source,
    )


def back(path: Path, study: Analysis) -> np.ndarray:
    """Labels of a Segmentation on the grid of the study, by highdicom's reader."""
    seg = hd.seg.segread(path)
    grid = hd.Volume(
        np.zeros(study.volume.shape, np.uint8),
        study.volume.geometry.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=seg.FrameOfReferenceUID,
    )
    if study.volume.shape[0] == 1:  # highdicom knows no volume of one frame's thickness
        (source,) = study.source.open_for_dicom_writer()
        uid = pydicom.dcmread(source).SOPInstanceUID
        numbers = seg.get_pixels_by_source_instance([uid], combine_segments=True)
        return np.array([0, 2, 5], np.uint16)[numbers]
    numbers = seg.get_volume(combine_segments=True, allow_missing_positions=True)
    numbers = numbers.match_geometry(grid).array
    return np.array([0, 2, 5], np.uint16)[numbers]


@pytest.fixture(params=["binary", "labelmap"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("orientation", dicom_sources.ORIENTATIONS)
@pytest.mark.parametrize("order", ["forwards", "mixed"])
def test_the_mask_comes_back_bit_for_bit(tmp_path, orientation, order, form) -> None:
    voxels = dicom_sources.blobs(SHAPE)
    dicom_sources.write_series(tmp_path / "in", voxels, orientation, order=order)
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form))
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)


def test_an_enhanced_object_gets_its_mask_frame_by_frame(tmp_path, form) -> None:
    path = dicom_sources.write_enhanced(tmp_path / "in", dicom_sources.blobs(SHAPE), "oblique")
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form, rtstruct=True))
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)
    source = pydicom.dcmread(path)
    pixels = source.pixel_array
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    frames = seg.get_pixels_by_source_frame(
        source.SOPInstanceUID,
        list(range(1, len(pixels) + 1)),
        combine_segments=True,
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(frames == 1, pixels == 40)
    axis = _numbers(_groups(tmp_path / "sr.dcm")[0])[0]
    image = axis.ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert (pixels[image.ReferencedFrameNumber - 1] == 40).any()


def test_one_of_two_volumes_in_an_object_refers_to_its_own_frames(tmp_path, form) -> None:
    path = dicom_sources.write_enhanced(tmp_path / "in", dicom_sources.blobs(SHAPE))
    source = pydicom.dcmread(path)
    own, pixels = source.PerFrameFunctionalGroupsSequence, source.pixel_array
    later = deepcopy(own)
    for frame in own:
        frame.FrameContentSequence[0].TemporalPositionIndex = 1
    for frame in later:
        frame.FrameContentSequence[0].TemporalPositionIndex = 2
    source.PerFrameFunctionalGroupsSequence = [*later, *own]  # the first volume comes last
    pixels = np.concatenate([np.full_like(pixels, -800), pixels])
    source.PixelData, source.NumberOfFrames = pixels.tobytes(), len(pixels)
    source.save_as(path)
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form))
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)
    for frame in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert (pixels[image.ReferencedFrameNumber - 1] > -800).any()


def test_an_object_in_two_files_gets_its_mask(tmp_path, form) -> None:
    path = dicom_sources.write_enhanced(tmp_path / "in", dicom_sources.blobs(SHAPE), "sagittal")
    whole = pydicom.dcmread(path)
    frames, pixels = whole.PerFrameFunctionalGroupsSequence, whole.pixel_array
    for part in (0, 1):
        whole.PerFrameFunctionalGroupsSequence = frames[3 * part : 3 * part + 3]
        whole.PixelData = pixels[3 * part : 3 * part + 3].tobytes()
        whole.NumberOfFrames, whole.InConcatenationNumber = 3, part + 1
        whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{part + 1}"
        whole.ConcatenationUID = "1.2.3.9"
        whole.save_as(path.with_name(f"{part}.dcm"))
    path.unlink()
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form))
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)


def test_one_slice(tmp_path, form) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE)[3:4])
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form))
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)


def test_a_resampled_grid_keeps_its_own_place(tmp_path, form) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    study = analysed(tmp_path / "in")
    finer = replace(study.volume.geometry, spacing=(1.25, 0.8, 0.8), shape=(12, *SHAPE[1:]))
    grid = replace(study.volume, geometry=finer, voxels=np.repeat(study.volume.voxels, 2, axis=0))
    study = replace(study, volume=grid, labels=np.repeat(study.labels, 2, axis=0))
    names = [p.name for p in write_dicom(study, tmp_path, DicomForms(form, rtstruct=True))]
    assert names == ["seg.dcm", "sr.dcm", "rtstruct.dcm"]
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)
    assert _numbers(_groups(tmp_path / "sr.dcm")[0])[0].ContentSequence[0].ValueType == "SCOORD3D"


def _tilted(image: pydicom.Dataset, z: int) -> None:
    x, y, depth = image.ImagePositionPatient
    image.ImagePositionPatient = [x, y - 0.9 * z, depth]


def _uneven(image: pydicom.Dataset, z: int) -> None:
    x, y, depth = image.ImagePositionPatient
    image.ImagePositionPatient = [x, y, depth + 2.5 * max(z - 3, 0)]
    image.SliceThickness = 2.5 if z < 4 else 5


@pytest.mark.parametrize(("repair", "rows"), [(_tilted, 41), (_uneven, 35)])
def test_a_repaired_series_gets_results_on_the_grid_that_was_read(tmp_path, repair, rows) -> None:
    images = {}
    files = dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    for z, path in enumerate(files):
        image = pydicom.dcmread(path)
        repair(image, z)
        image.save_as(path)
        images[image.SOPInstanceUID] = image
    study = analysed(tmp_path / "in", options=ReadOptions("resample", "resample"))
    assert study.volume.shape == (6 if repair is _tilted else 8, rows, 31)
    numbered = np.searchsorted([0, 2, 5], study.labels)
    for form in ("labelmap", "binary"):
        written = write_dicom(study, tmp_path, DicomForms(form, rtstruct=True))
        assert [p.name for p in written] == ["seg.dcm", "sr.dcm", "rtstruct.dcm"]
        for path in (written[0], written[2]):
            np.testing.assert_array_equal(read_mask(path, study.volume).voxels, numbered)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.FrameOfReferenceUID == image.FrameOfReferenceUID
    (series,) = seg.ReferencedSeriesSequence
    assert {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence} == set(images)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        corner = frame.PlanePositionSequence[0].ImagePositionPatient
        for derived in frame.DerivationImageSequence:  # none, where no image lies there
            (source,) = derived.SourceImageSequence
            at = images[source.ReferencedSOPInstanceUID].ImagePositionPatient
            preserved = at == corner and rows == SHAPE[1]
            assert source.SpatialLocationsPreserved == ("YES" if preserved else "NO")
    for group, finding in zip(_groups(tmp_path / "sr.dcm"), study.findings, strict=True):
        (drawn,) = _numbers(group)[0].ContentSequence
        assert drawn.ValueType == "SCOORD3D"
        assert drawn.ReferencedFrameOfReferenceUID == image.FrameOfReferenceUID
        ends = [study.volume.geometry.to_patient(end) for end in
                (finding.long_axis.start, finding.long_axis.end)]  # fmt: skip
        np.testing.assert_allclose(np.reshape(drawn.GraphicData, (-1, 3)), ends, atol=1e-3)
    if shutil.which("dciodvfy"):
        for path in written:
            assert _objections(path) <= _objections(files[0]), path.name


def test_frames_are_what_highdicom_itself_would_write(tmp_path) -> None:
    files = dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE), "sagittal")
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path)
    ours = hd.seg.segread(tmp_path / "seg.dcm")
    numbers = np.searchsorted([0, 2, 5], study.labels).astype(np.uint8)
    images = [pydicom.dcmread(f, stop_before_pixels=True) for f in files]
    theirs = hd.seg.Segmentation(
        images, numbers, "BINARY",
        [ours.get_segment_description(n) for n in (1, 2)],
        ours.SeriesInstanceUID, 9000, ours.SOPInstanceUID, 1, "diaphane",
        ours.ManufacturerModelName, ours.SoftwareVersions, "0",
    )  # fmt: skip
    assert ours.PixelData == theirs.PixelData
    assert ours.PerFrameFunctionalGroupsSequence == theirs.PerFrameFunctionalGroupsSequence
    assert ours.SharedFunctionalGroupsSequence == theirs.SharedFunctionalGroupsSequence
    assert ours.SegmentSequence == theirs.SegmentSequence
    assert set(ours.keys()) - set(theirs.keys()) <= {0x00080005, 0x0008103E}


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 100", "Äneas^Rüdiger"),
    ],
)
def test_names_survive_from_any_character_set(tmp_path, characters, name) -> None:
    dicom_sources.write_series(
        tmp_path / "in", dicom_sources.blobs(SHAPE), name=name, characters=characters
    )
    for path in write_dicom(analysed(tmp_path / "in"), tmp_path, DicomForms(rtstruct=True)):
        written = pydicom.dcmread(path)
        assert str(written.PatientName) == name
        assert (written.PatientID, written.AccessionNumber) == ("PID-77", "ACC1")


def test_what_the_source_leaves_out_is_empty(tmp_path) -> None:
    for path in dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE)):
        image = pydicom.dcmread(path)
        del image.PatientBirthDate, image.AccessionNumber, image.StudyID
        image.save_as(path)
    written = write_dicom(analysed(tmp_path / "in"), tmp_path, DicomForms(rtstruct=True))
    assert [pydicom.dcmread(p).AccessionNumber for p in written] == ["", "", ""]


@pytest.mark.parametrize(
    ("odd", "written"),
    [
        (
            {"PatientSex": "female", "StudyTime": "10:15:00.5", "StudyDate": "2024.03.01"},
            {"PatientSex": "F", "StudyTime": "101500.5", "StudyDate": "20240301"},
        ),
        (
            {
                "PatientSex": "unknown",
                "StudyTime": "noon",
                "PatientID": None,
                "SliceThickness": None,
            },
            {"PatientSex": "", "StudyTime": "", "PatientID": ""},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*[Ii]nvalid value:UserWarning")
def test_odd_headers_get_results_too(tmp_path, odd, written) -> None:
    for path in dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE)):
        _change(path, odd)
    study = analysed(tmp_path / "in")
    paths = write_dicom(study, tmp_path, DicomForms(rtstruct=True))
    assert [path.name for path in paths] == ["seg.dcm", "sr.dcm", "rtstruct.dcm"]
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)
    for path in paths:
        made = pydicom.dcmread(path)
        assert {name: made[name].value or "" for name in written} == written


def test_files_without_a_preamble_get_results_too(tmp_path) -> None:
    for path in dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE)):
        path.write_bytes(path.read_bytes()[132:])
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path)
    np.testing.assert_array_equal(back(tmp_path / "seg.dcm", study), study.labels)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"FrameOfReferenceUID": None}, "FrameOfReferenceUID"),
        ({"FrameOfReferenceUID": ""}, "FrameOfReferenceUID"),
        ({"SOPInstanceUID": "1.2.3"}, "same SOPInstanceUID"),
    ],
)
def test_what_no_result_can_refer_to_is_said(tmp_path, caplog, odd, said) -> None:
    for path in dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE)):
        _change(path, odd)
    assert write_dicom(analysed(tmp_path / "in"), tmp_path, DicomForms(rtstruct=True)) == ()
    assert said in caplog.text


def _change(path: Path, values: dict[str, str | None]) -> None:
    image = pydicom.dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    image.save_as(path)


def _objections(path: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


def _groups(path: Path) -> list[pydicom.Dataset]:
    content = pydicom.dcmread(path).ContentSequence
    home = next(i for i in content if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    return list(home.ContentSequence)


def _numbers(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    return [item for item in group.ContentSequence if item.ValueType == "NUM"]


def _named(group: pydicom.Dataset, meaning: str) -> list[pydicom.Dataset]:
    return [i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def test_the_report_measures_what_the_segmentation_outlines(tmp_path) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE), order="mixed")
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path)
    seg, sr = hd.seg.segread(tmp_path / "seg.dcm"), hd.sr.srread(tmp_path / "sr.dcm")
    groups = sr.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    for number, (group, finding) in enumerate(zip(groups, study.findings, strict=True), start=1):
        segment = seg.get_segment_description(number)
        assert group.tracking_uid == segment.tracking_uid
        assert group.tracking_identifier == segment.tracking_id
        assert segment.tracking_id.endswith(f":{finding.id}")
        image = _named(group[0], "Referenced Segment")[0]
        reference = image.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == number
        values = {
            (m.name.meaning, m.derivation.meaning if m.derivation else ""): (m.value, m.unit.value)
            for m in group.get_measurements()
        }
        assert values["Long Axis", ""] == (9.6, "mm")
        assert values["Volume", ""] == (123.456, "mm3")
        assert values["Attenuation Coefficient", "Mean"] == (31.5, "[hnsf'U]")
        site = group.finding_sites[0]
        assert site.value.meaning == "Lung"
        assert site.laterality.meaning == "Left"
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    there = {i.ReferencedSOPInstanceUID for s in evidence for i in s.ReferencedSOPSequence}
    images = [pydicom.dcmread(f).SOPInstanceUID for f in (tmp_path / "in").iterdir()]
    assert there == {seg.SOPInstanceUID, *images}


def test_axes_lie_on_the_source_image(tmp_path) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE), order="backwards")
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path)
    for group, finding in zip(_groups(tmp_path / "sr.dcm"), study.findings, strict=True):
        for item, axis in zip(
            _numbers(group), (finding.long_axis, finding.short_axis), strict=False
        ):
            drawn = item.ContentSequence[0]
            assert (drawn.ValueType, drawn.GraphicType) == ("SCOORD", "POLYLINE")
            uid = drawn.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            image = next(
                ds
                for ds in map(pydicom.dcmread, (tmp_path / "in").iterdir())
                if ds.SOPInstanceUID == uid
            )
            geometry = study.volume.geometry
            for column, row, end in zip(
                drawn.GraphicData[::2], drawn.GraphicData[1::2], (axis.start, axis.end), strict=True
            ):
                # 0, 0 is the corner of the first pixel, half a pixel before its centre.
                across, down = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
                mm = np.array(image.ImagePositionPatient, float)
                mm = mm + (across * (column - 0.5) + down * (row - 0.5)) * dicom_sources.SPACING[1]
                np.testing.assert_allclose(mm, geometry.to_patient(end), atol=1e-3)


def test_judgements_are_coded(tmp_path) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    write_dicom(analysed(tmp_path / "in"), tmp_path)
    rated, unrated = _groups(tmp_path / "sr.dcm")
    shares = {
        item.ContentSequence[-1].TextValue: float(item.MeasuredValueSequence[0].NumericValue)
        for item in _named(rated, "Calibrated probability")
    }
    assert shares == {"benign": 0.25, "malignant": 0.75}
    assert [i.TextValue for i in _named(rated, "Class that cannot be excluded")] == ["malignant"]
    reasons = [
        i.ConceptCodeSequence[0].CodeValue for i in _named(unrated, "Reason for no probability")
    ]
    assert reasons == ["cut_by_frame", "unlike_training"]
    assert not _named(unrated, "Calibrated probability")
    said = [i.TextValue for i in _named(rated, "Algorithm Parameters")]
    assert any(SHA in text for text in said)
    assert _named(rated, "Finding")[0].ConceptCodeSequence[0].EquivalentCodeSequence[
        0
    ].CodeValue == ("RID50149")


@pytest.mark.parametrize(("origin", "shape"), [("whole_image", "POLYLINE"), ("reader", "POINT")])
def test_findings_without_a_mask_are_reported_too(tmp_path, origin, shape) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    study = analysed(tmp_path / "in")
    code = "image" if origin == "whole_image" else "point"
    finding = replace(
        study.findings[0], mask_label=None, origin=origin, code=code, measurements=(),
        long_axis=None, short_axis=None,
    )  # fmt: skip
    written = write_dicom(replace(study, findings=(finding,), labels=None), tmp_path)
    assert [p.name for p in written] == ["sr.dcm"]
    (group,) = _groups(tmp_path / "sr.dcm")
    assert _named(group, "Image Region")[0].GraphicType == shape
    assert len(_named(group, "Calibrated probability")) == 2


def test_labels_of_a_bundle_are_coded_where_their_name_is_known(tmp_path) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    study = analysed(tmp_path / "in")
    names = ("kidney_left", "肿瘤")
    outlined = tuple(
        replace(f, code="outline", location=replace(f.location, anatomy={"label": name}))
        for f, name in zip(study.findings, names, strict=True)
    )
    write_dicom(replace(study, findings=outlined), tmp_path)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    described = [seg.get_segment_description(n) for n in (1, 2)]
    assert [d.segment_label for d in described] == list(names)
    assert [d.segmented_property_type.meaning for d in described] == ["Left kidney", "Tissue"]
    found = [
        _named(g, "Finding")[0].ConceptCodeSequence[0].CodeMeaning
        for g in _groups(tmp_path / "sr.dcm")
    ]
    assert found == ["Left kidney", "Tissue"]


def test_writing_twice_makes_new_objects_that_track_the_same_things(tmp_path) -> None:
    dicom_sources.write_series(tmp_path / "in", dicom_sources.blobs(SHAPE))
    study = analysed(tmp_path / "in")
    objects, tracked = [], []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        for path in write_dicom(study, folder, DicomForms(rtstruct=True)):
            written = pydicom.dcmread(path)
            objects += [written.SOPInstanceUID, written.SeriesInstanceUID]
        segments = pydicom.dcmread(folder / "seg.dcm").SegmentSequence
        tracked.append([segment.TrackingUID for segment in segments])
    assert len(set(objects)) == len(objects) == 12
    assert tracked[0] == tracked[1]


def test_contours_hold_the_mask_and_no_other_pixel(tmp_path) -> None:
    dicom_sources.write_series(
        tmp_path / "in", dicom_sources.blobs(SHAPE), "oblique", order="mixed"
    )
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(rtstruct=True))
    written = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    images = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, (tmp_path / "in").iterdir())}
    filled = np.zeros_like(study.labels)
    for contours, value in zip(written.ROIContourSequence, (2, 5), strict=True):
        for contour in contours.ContourSequence:
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            index = study.volume.geometry.to_index(points)
            z = round(float(index[0, 0]))
            np.testing.assert_allclose(index[:, 0], z, atol=1e-3)
            image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            corner = study.volume.geometry.to_patient((z, 0, 0))
            np.testing.assert_allclose(image.ImagePositionPatient, corner, atol=1e-3)
            filled[z][polygon2mask(SHAPE[1:], index[:, 1:])] = value
    np.testing.assert_array_equal(filled, study.labels)


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, (7, 9)))
def test_any_mask_comes_back_from_its_outlines(mask) -> None:
    filled = np.zeros_like(mask)
    for outline in outlines(mask):
        filled ^= polygon2mask(mask.shape, outline)
    np.testing.assert_array_equal(filled, mask)


def test_terms_are_those_of_the_vocabularies() -> None:
    known: dict[tuple[str, str], set[str]] = {}
    for scheme in (codes.SCT, codes.DCM, codes.UCUM, codes.IBSI):
        for name in dir(scheme):
            if (code := getattr(scheme, name, None)) is not None and hasattr(code, "value"):
                found = known.setdefault((code.scheme_designator, code.value), set())
                found.add(code.meaning.casefold().split(" (")[0])
    checked = 0
    for kind, rows in terms.table().items():
        for key, (value, scheme, meaning) in rows.items():
            assert len(value) <= 16, (kind, key)
            meanings = known.get((scheme, value))
            # CID 7150 calls it "Anatomical Structure"; pydicom kept SNOMED's own name.
            if meanings and (kind, key) != ("category", "anatomy"):
                assert meaning.casefold() in meanings, (kind, key, meanings)
                checked += 1
    assert checked > 60


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="fractional"):
        DicomForms("fractional")


@pytest.mark.integration
@pytest.mark.parametrize("orientation", ["sagittal", "enhanced"])
def test_dciodvfy_finds_no_error_of_ours(tmp_path, orientation) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    voxels = dicom_sources.blobs(SHAPE)
    if orientation == "enhanced":
        dicom_sources.write_enhanced(tmp_path / "in", voxels)
    else:
        dicom_sources.write_series(tmp_path / "in", voxels, orientation)

    source = _objections(next((tmp_path / "in").iterdir()))
    for path in write_dicom(analysed(tmp_path / "in"), tmp_path, DicomForms(rtstruct=True)):
        assert _objections(path) <= source, path.name


@pytest.mark.integration
def test_dcmqi_reads_both_kinds_and_the_report(tmp_path, form) -> None:
    import json
    import sys

    import SimpleITK as sitk

    home = Path(sys.executable).parent
    if not (home / "segimage2itkimage").exists():
        pytest.skip("dcmqi's tools (wheel dcmqi) are not installed")
    dicom_sources.write_series(
        tmp_path / "in", dicom_sources.blobs(SHAPE), "oblique", order="mixed"
    )
    study = analysed(tmp_path / "in")
    write_dicom(study, tmp_path, DicomForms(form))
    (tmp_path / "out").mkdir()
    subprocess.run(
        [home / "segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory",
         tmp_path / "out", "-t", "nrrd", "--mergeSegments"],
        check=True, capture_output=True,
    )  # fmt: skip
    grid = study.volume.to_sitk()
    image = sitk.ReadImage(str(tmp_path / "out" / "1.nrrd"))
    image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    numbers = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(np.array([0, 2, 5])[numbers], study.labels)
    subprocess.run(
        [home / "tid1500reader", "--inputDICOM", tmp_path / "sr.dcm", "--outputMetadata",
         tmp_path / "sr.json"],
        check=True, capture_output=True,
    )  # fmt: skip
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert [group["ReferencedSegment"] for group in groups] == [1, 2]
    assert {item["value"] for item in groups[0]["measurementItems"]} >= {"9.6", "4.8", "123.456"}
