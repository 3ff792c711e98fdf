"""Several volumes under one SeriesInstanceUID: told apart by what their images state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import MRImageStorage, PositronEmissionTomographyImageStorage

from diaphane.acquire import find_series, read
from diaphane.core import errors

Change = Callable[[Any, int, int], None]


def volumes(
    dicom: Any, folder: Path, count: int, change: Change, *, kind: str = "MR", slices: int = 4
) -> Path:
    """A series of ``count`` images at each of ``slices`` places; the first pixel tells both."""
    for volume in range(count):
        for index in range(slices):
            data = dicom.image(index)
            data.SOPInstanceUID = f"1.2.3.{volume}.{index + 1}"
            data.InstanceNumber = 1 + volume * slices + index
            if kind == "MR":
                data.SOPClassUID, data.Modality = MRImageStorage, "MR"
                data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
                del data.ConvolutionKernel
            if kind == "PT":
                data.SOPClassUID, data.Modality = PositronEmissionTomographyImageStorage, "PT"
                del data.ConvolutionKernel
            data.RescaleSlope, data.RescaleIntercept = 1, 0
            data.PixelData = np.full((6, 8), 10 * volume + index, np.uint16).tobytes()
            change(data, volume, index)
            dicom.save(data, folder / f"{(volume * 7 + index * 3) % 31:02d}_{volume}_{index}.dcm")
    return folder


def check(folder: Path, told: str, values: list[Any], slices: int = 4) -> None:
    """Every volume is whole, in the order of ``values``, and its pixels are its own."""
    found = find_series(folder)
    assert found.rejected == ()
    assert [s.facts["volume"][told] for s in found] == values
    assert [s.index for s in found] == list(range(1, len(values) + 1))
    for number, series in enumerate(found):
        voxels = series.load().value.volume.voxels
        np.testing.assert_array_equal(voxels[:, 0, 0], 10 * number + np.arange(slices))
    assert len({s.key for s in found}) == len(values)
    assert [s.key for s in find_series(folder)] == [s.key for s in found]


def test_echoes(dicom, tmp_path):
    def echo(data, volume, _):
        data.EchoTime, data.EchoNumbers = 4.92 + 2.46 * volume, volume + 1

    check(volumes(dicom, tmp_path, 2, echo), "echo_time", [4.92, 7.38])
    assert find_series(tmp_path).series[0].facts["echo_time"] == 4.92
    with pytest.raises(errors.AmbiguousInput, match=r"4\.1: .*echo time 4.92 ms"):
        read(tmp_path)
    assert read(tmp_path, series="4.2").voxels[0, 0, 0] == 10
    key = find_series(tmp_path).series[0].key
    assert read(tmp_path, series=key).voxels[0, 0, 0] == 0
    with pytest.raises(errors.AmbiguousInput):
        read(tmp_path, series=4)


def test_diffusion_directions(dicom, tmp_path):
    weights = [(0.0, [0, 0, 0]), (800.0, [1, 0, 0]), (800.0, [0, 1, 0])]

    def weigh(data, volume, _):
        data.DiffusionBValue, data.DiffusionGradientOrientation = weights[volume]

    check(volumes(dicom, tmp_path, 3, weigh), "b_value", [0.0, 800.0, 800.0])
    facts = [s.facts for s in find_series(tmp_path)]
    assert "b_direction" not in facts[0]
    assert {f["b_direction"] for f in facts[1:]} == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}


@pytest.mark.parametrize(
    ("maker", "block", "element", "creator", "vr", "values"),
    [
        ("SIEMENS", 0x0019, 0x0C, "SIEMENS MR HEADER", "IS", (0, 1000)),
        ("GE MEDICAL SYSTEMS", 0x0043, 0x39, "GEMS_PARM_01", "IS", (1000000000, 1000001000)),
        ("Philips Medical Systems", 0x2001, 0x03, "Philips Imaging DD 001", "FL", (0.0, 1000.0)),
    ],
)
def test_diffusion_in_private_elements(dicom, tmp_path, maker, block, element, creator, vr, values):
    def weigh(data, volume, _):
        data.Manufacturer = maker
        private = data.private_block(block, creator, create=True)
        value = values[volume]
        private.add_new(element, vr, [value, 8, 0, 0] if "GE" in maker else value)

    check(volumes(dicom, tmp_path, 2, weigh), "b_value", [0.0, 1000.0])


def test_time_points_by_their_identifier(dicom, tmp_path):
    def late(data, volume, _):
        data.TemporalPositionIdentifier = volume + 1
        data.AcquisitionTime = f"1000{volume:02d}"

    check(volumes(dicom, tmp_path, 3, late), "temporal_position", [1.0, 2.0, 3.0])


def test_heart_phases_whose_times_differ_by_slice(dicom, tmp_path):
    def beat(data, volume, index):
        data.TriggerTime = f"{volume * (35.1 + 0.3 * index):.2f}"

    check(volumes(dicom, tmp_path, 5, beat), "time_point", [1, 2, 3, 4, 5])


def test_pet_frames_by_time(dicom, tmp_path):
    def frame(data, volume, _):
        data.FrameReferenceTime = 30000.0 * (2 * volume + 1)

    folder = volumes(dicom, tmp_path, 3, frame, kind="PT")
    check(folder, "frame_reference_time", [30000.0, 90000.0, 150000.0])


def test_phases_of_a_ct_by_acquisition(dicom, tmp_path):
    def phase(data, volume, _):
        data.AcquisitionNumber = volume + 2

    check(volumes(dicom, tmp_path, 2, phase, kind="CT"), "acquisition", [2.0, 3.0])


def test_magnitude_and_phase(dicom, tmp_path):
    def part(data, volume, _):
        data.ImageType = ["ORIGINAL", "PRIMARY", "MP"[volume], "ND"]

    found = find_series(volumes(dicom, tmp_path, 2, part))
    assert [s.facts["volume"]["image_type"][2] for s in found] == ["M", "P"]


def test_two_kernels_also_where_slices_lie_between(dicom, tmp_path):
    def kernel(data, volume, index):
        data.ConvolutionKernel = ["B30f", "B70f"][volume]
        data.ImagePositionPatient = [-10.0, -20.0, 2.5 * index + volume]

    found = find_series(volumes(dicom, tmp_path, 2, kernel, kind="CT"))
    assert [(s.facts["kernel"], s.shape[0]) for s in found] == [("B30f", 4), ("B70f", 4)]
    assert [s.geometry.origin[2] for s in found] == [0.0, 1.0]


def test_thick_and_thin_slices(dicom, tmp_path):
    for index in range(9):
        for thick in [False, True] if index % 3 == 0 else [False]:
            data = dicom.image(index)
            data.SOPInstanceUID = f"1.2.3.{int(thick)}.{index + 1}"
            data.SliceThickness = 7.5 if thick else 2.5
            dicom.save(data, tmp_path / f"{index}{thick}.dcm")
    found = find_series(tmp_path)
    assert [(s.shape[0], s.spacing[0]) for s in found] == [(9, 2.5), (3, 7.5)]


def test_localizer_of_three_planes(dicom, tmp_path):
    ways = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]]

    def turn(data, volume, index):
        data.ImageOrientationPatient = ways[volume]
        data.ImagePositionPatient = [
            10.0 * index if i == (2, 0, 1)[volume] else 0 for i in range(3)
        ]

    found = find_series(volumes(dicom, tmp_path, 3, turn, slices=3))
    assert [s.facts["orientation"] for s in found] == ["axial", "sagittal", "coronal"]
    assert all(s.facts["localizer"] for s in found)
    assert {s.shape for s in found} == {(3, 6, 8)}


def test_scout_beside_its_slices(dicom, tmp_path):
    dicom.series(tmp_path)
    scout = dicom.image()
    scout.SOPInstanceUID = "1.2.3.99"
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dicom.save(scout, tmp_path / "scout.dcm")
    found = find_series(tmp_path)
    assert [(s.shape[0], s.facts["localizer"]) for s in found] == [(5, False), (1, True)]


def test_time_point_that_was_cut_short(dicom, tmp_path):
    def late(data, volume, _):
        data.TemporalPositionIdentifier = volume + 1

    volumes(dicom, tmp_path, 3, late)
    for path in tmp_path.glob("*_2_3.dcm"):
        path.unlink()
    found = find_series(tmp_path)
    assert [s.label for s in found] == ["4.1", "4.2"]
    [(_, error)] = found.rejected
    assert type(error) is errors.MissingSlice
    assert "1 of 4 slices" in str(error)


def test_images_that_nothing_tells_apart(dicom, tmp_path):
    folder = volumes(dicom, tmp_path, 2, lambda *_: None)
    [(_, error)] = find_series(folder).rejected
    assert type(error) is errors.DuplicateSlice
    assert "same position" in str(error)


@pytest.mark.parametrize("way", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.8, 0.6, 0, 0, 0, -1]])
def test_sagittal_coronal_and_oblique_stacks(dicom, tmp_path, way):
    normal = np.cross(way[:3], way[3:])

    def turn(data, index):
        data.ImageOrientationPatient = way
        data.ImagePositionPatient = list(
            np.round(np.array([5.0, 6.0, 7.0]) - 3 * index * normal, 6)
        )

    volume = read(dicom.series(tmp_path, change=turn))
    # The file that was written last lies at the start of the normal.
    np.testing.assert_allclose(volume.geometry.to_patient([4, 0, 0]), [5, 6, 7], atol=1e-6)
    expected = (
        np.array([5.0, 6, 7]) - 3 * normal + 0.7 * 2 * np.array(way[:3]) + 0.5 * np.array(way[3:])
    )
    np.testing.assert_allclose(volume.geometry.to_patient([3, 1, 2]), expected, atol=1e-6)
    assert volume.voxels[3, 1, 2] == int(dicom.stored(1)[1, 2]) - 1024


def test_times_of_content_go_on_over_midnight(dicom, tmp_path):
    def change(data, volume, index):
        data.ContentDate = ["20260101", "20260102"][volume]
        data.ContentTime = ["235958.0", "000003.0"][volume]

    check(volumes(dicom, tmp_path, 2, change), "time_point", [1, 2])


def test_one_place_that_was_rounded_differently(dicom, tmp_path):
    def echoes(data, volume, index):
        data.ImagePositionPatient[2] = index * 2.5 + volume * 0.002
        data.EchoTime = 5 + volume

    check(volumes(dicom, tmp_path / "a", 2, echoes), "echo_time", [5.0, 6.0])

    def alike(data, volume, index):
        data.ImagePositionPatient[2] = index * 2.5 + volume * 0.002

    [(_, error)] = find_series(volumes(dicom, tmp_path / "b", 2, alike)).rejected
    assert type(error) is errors.DuplicateSlice
