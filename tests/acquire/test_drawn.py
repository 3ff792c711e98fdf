"""Masks in DICOM SEG and RT Structure Sets, on the grid of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian
from skimage.draw import polygon

from diaphane.acquire import find_series, list_segments, read, read_mask, read_segments
from diaphane.acquire.rtstruct import fill
from diaphane.core import errors
from diaphane.core.geometry import Geometry
from drawing import read_by_highdicom, sources, write_contours, write_seg

SHAPE = (5, 12, 10)


@pytest.fixture
def scan(dicom, tmp_path):
    """Folder, series and source images of a CT."""
    folder = dicom.series(tmp_path / "ct", count=SHAPE[0], shape=SHAPE[1:])
    return find_series(folder).series[0], sources(folder)


def two_balls(overlap=False):
    z, y, x = np.indices(SHAPE)
    first = (z - 2) ** 2 + (y - 3) ** 2 + (x - 3) ** 2 <= 6
    second = (z - 2) ** 2 + (y - (5 if overlap else 9)) ** 2 + (x - 5) ** 2 <= 4
    return np.stack([first, second], -1)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_kinds_of_segmentation_give_the_mask_that_was_written(scan, tmp_path, kind):
    series, images = scan
    balls = two_balls()
    labels = (balls * [1, 2]).sum(-1).astype(np.uint8)
    written = {"BINARY": balls, "FRACTIONAL": balls.astype(float), "LABELMAP": labels}[kind]
    path = write_seg(images, written, tmp_path / "seg.dcm", kind)
    mask = read_mask(path, series)
    np.testing.assert_array_equal(mask.voxels, labels)
    assert mask.geometry == series.geometry
    assert mask.modality == "SEG"
    each = read_segments(path, series)
    for number in (1, 2):
        np.testing.assert_array_equal(each[number].voxels, balls[..., number - 1])


def test_overlap_is_refused_unless_a_rule_is_chosen(scan, tmp_path):
    series, images = scan
    balls = two_balls(overlap=True)
    path = write_seg(images, balls, tmp_path / "seg.dcm")
    with pytest.raises(errors.DatasetError, match="segments 1 and 2 of the mask overlap"):
        read_mask(path, series)
    both = balls.all(-1)
    assert both.any()
    assert (read_mask(path, series, overlap="first").voxels[both] == 1).all()
    assert (read_mask(path, series, overlap="last").voxels[both] == 2).all()
    np.testing.assert_array_equal(read_mask(path, series, segments=[2]).voxels, 2 * balls[..., 1])
    np.testing.assert_array_equal(read_segments(path, series)[1].voxels, balls[..., 0])


def test_shares_of_a_fractional_segmentation(scan, tmp_path):
    series, images = scan
    shares = np.zeros((*SHAPE, 1))
    shares[2, 3, 2:6, 0] = 0.2, 0.4, 0.6, 1.0
    path = write_seg(images, shares, tmp_path / "seg.dcm", "FRACTIONAL")
    found = read_segments(path, series, fractional=True)[1].voxels
    np.testing.assert_allclose(found, shares[..., 0], atol=1 / 255)
    assert read_mask(path, series).voxels.sum() == 2


def test_a_part_of_the_series_and_a_grid_turned_upside_down(scan, tmp_path):
    series, images = scan
    balls = two_balls()[..., :1]
    path = write_seg(images[1:4], balls[1:4], tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_mask(path, series).voxels[1:4], balls[1:4, ..., 0])
    grid = series.geometry
    flipped = np.asarray(grid.affine) @ np.array(
        [[-1, 0, 0, 4], [0, -1, 0, 11], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    turned = read_mask(path, Geometry.from_affine(SHAPE, flipped))
    np.testing.assert_array_equal(turned.voxels[::-1, ::-1][1:4], balls[1:4, ..., 0])


def test_another_grid_takes_the_nearest_voxel(scan, tmp_path):
    series, images = scan
    balls = two_balls()[..., :1]
    path = write_seg(images, balls, tmp_path / "seg.dcm", omit_empty_frames=False)
    fine = np.asarray(series.geometry.affine) @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = series.geometry.to_patient([-0.25, -0.25, -0.25])
    found = read_mask(path, Geometry.from_affine((10, 24, 20), fine)).voxels
    np.testing.assert_array_equal(found, balls[..., 0].repeat(2, 0).repeat(2, 1).repeat(2, 2))
    sagittal = np.asarray(series.geometry.affine)[:, [2, 1, 0, 3]]
    across = read_mask(path, Geometry.from_affine(SHAPE[::-1], sagittal)).voxels
    np.testing.assert_array_equal(across.transpose(2, 1, 0), balls[..., 0])


def test_other_images_are_refused(scan, dicom, tmp_path):
    series, images = scan
    path = write_seg(images, two_balls()[..., :1], tmp_path / "seg.dcm")

    def frame(data, _):
        data.FrameOfReferenceUID = "1.2.3"

    other = find_series(dicom.series(tmp_path / "other", shape=SHAPE[1:], change=frame)).series[0]
    with pytest.raises(errors.GeometryError, match="frame of reference"):
        read_mask(path, other)
    far = Geometry.axial(SHAPE, (1.0, 1.0, 1.0), (500.0, 500.0, 500.0))
    with pytest.raises(errors.GeometryError, match="outside"):
        read_mask(path, far)
    with pytest.raises(errors.UsageError, match="no segment 7"):
        read_mask(path, series, segments=[7])
    with pytest.raises(errors.NoPixelData, match="no mask"):
        read_mask(images[0].filename, series)


def test_mask_of_a_radiograph_goes_by_its_reference(dicom, tmp_path):
    folder = tmp_path / "cr"
    dicom.radiograph(folder / "a.dcm")
    mask = np.zeros((1, 6, 8, 1), bool)
    mask[0, 2:4, 5] = True
    path = write_seg(sources(folder), mask, tmp_path / "seg.dcm")
    series = find_series(folder).series[0]
    np.testing.assert_array_equal(read_mask(path, series).voxels, mask[..., 0])
    with pytest.raises(errors.GeometryError, match="on which of these images"):
        read_mask(path, read(folder))


def test_names_tell_codes_and_plain_words_only(scan, tmp_path):
    _, images = scan
    path = write_seg(images, two_balls(), tmp_path / "seg.dcm")
    assert [segment.name for segment in list_segments(path)] == [
        "Bone structure",
        "Liver structure",
    ]
    square = [[0, 0, 0], [4, 0, 0], [4, 4, 0]]
    regions = {"GTV_1 left lung": [square], "Mrs Nightingale": [square], "PTV": []}
    path = write_contours(tmp_path / "rt.dcm", regions, frame="1.2")
    segments = list_segments(path)
    assert [segment.name for segment in segments] == ["GTV_1 left lung", "segment 2"]
    assert "Nightingale" not in repr(segments)


def circle(centre, radius, z, n=90):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return np.stack([x, y, np.full(n, z)], axis=1)


GRID = Geometry.axial((40, 64, 64), (1.5, 1.0, 1.0), (-32.0, -32.0, -30.0))


def ball(radius, hole=0.0):
    z, y, x = np.moveaxis(GRID.to_patient(np.moveaxis(np.indices(GRID.shape), 0, -1)), -1, 0)[::-1]
    distance = np.sqrt(x**2 + y**2 + z**2)
    return (distance <= radius) & (distance >= hole)


def contours_of(radius, steps):
    return [
        circle((0.0, 0.0), np.sqrt(radius**2 - z**2), z) for z in steps if abs(z) < radius - 1e-6
    ]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    "steps",
    [
        np.arange(-30.0, 30, 1.5),  # on every slice
        np.arange(-30.0, 30, 3.0),  # on every other slice
        np.arange(-30.75, 30, 1.5),  # between slices
        np.arange(-30.0, 30, 0.5),  # finer than slices
    ],
)
def test_contours_of_a_ball(tmp_path, steps):
    path = write_contours(tmp_path / "rt.dcm", {"ball": contours_of(20.0, steps)}, frame="1.2")
    assert dice(read_mask(path, GRID).voxels == 1, ball(20.0)) >= 0.98


def keyhole(z):
    """A ring as one line: out round, in along a channel, round the other way."""
    outer, inner = circle((0, 0), 20.0, z), circle((0, 0), 8.0, z)[::-1]
    return np.concatenate([outer, outer[:1], inner[-1:], inner, outer[:1]])


@pytest.mark.parametrize("form", ["two contours", "keyhole"])
def test_holes(tmp_path, form):
    z = -30.0 + 1.5 * 10
    rings = [keyhole(z)] if form == "keyhole" else [circle((0, 0), 20, z), circle((0, 0), 8, z)]
    kind = "CLOSED_PLANAR" if form == "keyhole" else "CLOSEDPLANAR_XOR"
    path = write_contours(tmp_path / "rt.dcm", {"ring": rings}, frame="1.2", kind=kind)
    found = read_mask(path, GRID).voxels[10] == 1
    y, x = np.indices((64, 64)) - 32
    radius = np.hypot(y, x)
    assert dice(found, (radius <= 20) & (radius >= 8)) >= 0.98
    assert not found[32, 32]


@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_a_line_is_filled_as_scikit_image_fills_it(seed, count):
    line = np.random.default_rng(seed).uniform(-4, 24, (count, 2))
    expected = np.zeros((20, 18), bool)
    expected[polygon(*line.T, expected.shape)] = True
    np.testing.assert_array_equal(fill(line, expected.shape), expected)


def test_centres_on_a_line_are_inside():
    corners = np.array([[2.0, 3.0], [2.0, 6.0], [5.0, 6.0], [5.0, 3.0]])
    for line in (corners, corners[::-1], np.roll(corners, 1, axis=0)):
        assert np.argwhere(fill(line, (8, 9))).tolist() == [
            [y, x] for y in range(2, 6) for x in range(3, 7)
        ]
    slanted = np.array([[0.0, 0.0], [4.0, 4.0], [4.0, 0.0]])
    np.testing.assert_array_equal(fill(slanted, (5, 5)), np.tri(5, dtype=bool))


def test_contours_with_a_wide_gap_stay_apart_and_doubles_count_once(tmp_path):
    z = [-30.0 + 1.5 * k for k in (5, 6, 7, 20, 21)]
    disks = [circle((0, 0), 10, height) for height in (*z, z[0])]
    path = write_contours(tmp_path / "rt.dcm", {"disks": disks}, frame="1.2")
    filled = read_mask(path, GRID).voxels.any(axis=(1, 2))
    assert np.flatnonzero(filled).tolist() == [5, 6, 7, 20, 21]


def test_contours_on_an_oblique_grid(tmp_path):
    angle = np.radians(30)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    tilt = turn @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.asarray(GRID.affine)[:3, :3]
    affine[:3, 3] = tilt @ np.asarray(GRID.affine)[:3, 3]
    contours = [points @ tilt.T for points in contours_of(20.0, np.arange(-30.0, 30, 1.5))]
    path = write_contours(tmp_path / "rt.dcm", {"ball": contours}, frame="1.2")
    found = read_mask(path, Geometry.from_affine(GRID.shape, affine)).voxels == 1
    assert dice(found, ball(20.0)) >= 0.98
    with pytest.raises(errors.GeometryError, match="not parallel"):
        read_mask(path, GRID)


def test_contours_elsewhere_or_that_enclose_nothing(tmp_path, scan):
    series, _ = scan
    path = write_contours(tmp_path / "a.dcm", {"x": [circle((500, 500), 5, 0)]}, frame="1.2")
    with pytest.raises(errors.GeometryError, match="outside"):
        read_mask(path, GRID)
    with pytest.raises(errors.GeometryError, match="frame of reference"):
        read_mask(path, series)
    with pytest.raises(errors.MissingSpacing):
        read_mask(path, Geometry((1, 8, 8)))
    lines = {"x": [circle((0, 0), 5, 0)]}
    path = write_contours(tmp_path / "b.dcm", lines, frame="1.2", kind="OPEN_PLANAR")
    assert list_segments(path) == ()
    assert not read_mask(path, GRID).voxels.any()


def test_damaged_masks_are_refused(scan, tmp_path):
    series, images = scan
    whole = write_seg(images, two_balls(), tmp_path / "seg.dcm").read_bytes()
    for share in (0.2, 0.5, 0.9, 0.99):
        path = tmp_path / f"cut{share}.dcm"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(errors.InputError):
            read_mask(path, series)


@pytest.mark.parametrize("number", [None, 0, 7])
def test_a_frame_of_no_segment_is_refused(scan, tmp_path, number):
    series, images = scan
    data = pydicom.dcmread(write_seg(images, two_balls(), tmp_path / "seg.dcm"))
    shown = data.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence[0]
    shown.ReferencedSegmentNumber = number
    data.save_as(tmp_path / "lost.dcm")
    for action in (read_mask, read_segments):
        with pytest.raises(errors.UnreadableFile, match="Frame 2 is of no segment"):
            action(tmp_path / "lost.dcm", series)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name", ["binary", "binary_overlap", "binary_fractional", "true_fractional"]
)
def test_segmentations_of_others_agree_with_highdicom(shared_data, name):
    folder = Path(get_testdata_file("DICOMDIR", download=False)).parent / "77654033" / "CT2"
    path = shared_data("dicom_zoo") / "highdicom_test" / f"seg_image_ct_{name}.dcm"
    other = read_by_highdicom(path)
    series = find_series([folder / name for name in ("17136", "17166", "17196")]).series[0]
    found = read_segments(path, series, fractional="fractional" in name)
    for number, mask in found.items():
        uids = [plane.header.sop_uid for plane in series.planes]
        expected = other.get_pixels_by_source_instance(
            uids, segment_numbers=[number], assert_missing_frames_are_empty=True
        )[..., 0]
        np.testing.assert_allclose(mask.voxels, expected, atol=1e-6)
        assert mask.voxels.any()


def test_two_contours_far_apart_are_two_shapes(tmp_path):
    disks = [circle((0, 0), 10, -30.0 + 1.5 * k) for k in (5, 15)]
    path = write_contours(tmp_path / "rt.dcm", {"disks": disks}, frame="1.2")
    filled = read_mask(path, GRID).voxels.any(axis=(1, 2))
    assert np.flatnonzero(filled).tolist() == [5, 15]


def test_a_slab_ends_alike_however_it_is_rounded(tmp_path):
    for shift in (-1e-4, 1e-4):
        disks = [circle((0, 0), 10, -30.0 + 1.5 * k + shift) for k in (5, 7, 9)]
        path = write_contours(tmp_path / "rt.dcm", {"disks": disks}, frame="1.2")
        filled = read_mask(path, GRID).voxels.any(axis=(1, 2))
        assert np.flatnonzero(filled).tolist() == [5, 6, 7, 8, 9]


def test_the_background_of_a_label_map_is_no_segment(scan, tmp_path):
    series, images = scan
    labels = (two_balls() * [1, 2]).sum(-1).astype(np.uint8)
    path = write_seg(images, labels, tmp_path / "seg.dcm", "LABELMAP")
    data = pydicom.dcmread(path)
    pixels = data.pixel_array.copy()
    pixels[pixels == 0] = 9
    data.PixelData, data.PixelPaddingValue = pixels.tobytes(), 9
    data.SegmentSequence[0].SegmentNumber = 9
    data.save_as(path)
    assert [segment.number for segment in list_segments(path)] == [1, 2]
    np.testing.assert_array_equal(read_mask(path, series).voxels, labels)


def test_deflated_frames_that_end_within_a_byte(dicom, tmp_path):
    folder = dicom.series(tmp_path / "ct", count=SHAPE[0], shape=(11, 9))
    balls = two_balls()[:, :11, :9]
    path = write_seg(sources(folder), balls, tmp_path / "seg.dcm")
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    mask = read_mask(path, find_series(folder).series[0])
    np.testing.assert_array_equal(mask.voxels, (balls * [1, 2]).sum(-1))
