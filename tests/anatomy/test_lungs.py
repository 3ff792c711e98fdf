"""Lungs, airways and body."""

import numpy as np
import pytest

from diaphane.anatomy import LEFT, RIGHT, locate, segment_lungs
from diaphane.core.errors import InvalidVoxels, NoLungs, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_both_lungs_are_found_on_their_sides(chest, chest_lungs):
    for label in (RIGHT, LEFT):
        assert dice(chest_lungs.mask == label, chest.lungs == label) > 0.95


def test_trachea_is_airway_and_not_lung(chest, chest_lungs):
    geometry = chest.volume.geometry
    at = tuple(np.round(geometry.to_index((0.0, 8.0, 230.0))).astype(int))
    assert chest_lungs.airways[at]
    assert chest_lungs.mask[at] == 0
    assert not (chest_lungs.airways & (chest_lungs.mask > 0)).any()


def test_body_holds_the_lungs_and_not_the_table(chest, chest_lungs):
    lung = chest_lungs.mask > 0
    assert (chest_lungs.body & lung).sum() > 0.98 * lung.sum()
    table = np.round(chest.volume.geometry.to_index((0.0, 149.0, 100.0))).astype(int)
    assert not chest_lungs.body[tuple(table)]


def test_volume_in_ml(chest, chest_lungs):
    voxel = np.prod(chest.volume.geometry.spacing_mm) / 1000.0
    for got, label in zip(chest_lungs.volume_ml, (RIGHT, LEFT), strict=True):
        assert got == pytest.approx((chest_lungs.mask == label).sum() * voxel)


def test_turned_and_flipped_scan_gives_the_same_lungs(chest, chest_lungs):
    native = chest.volume
    voxels = np.transpose(np.asarray(native.voxels)[::-1, :, ::-1], (2, 0, 1))
    affine = native.geometry.affine.copy()
    nz, _, nx = native.shape
    affine[:3, 3] += affine[:3, 0] * (nz - 1) + affine[:3, 2] * (nx - 1)
    affine[:3, 0] *= -1.0
    affine[:3, 2] *= -1.0
    affine = affine[:, [2, 0, 1, 3]]
    turned = Volume(voxels, Geometry.from_affine(voxels.shape, affine), "CT", "HU")
    lungs = segment_lungs(turned)
    back = np.transpose(lungs.mask, (1, 2, 0))[::-1, :, ::-1]
    np.testing.assert_array_equal(back, chest_lungs.mask)


def test_thicker_slices_give_the_same_volume(chest, chest_lungs):
    voxels = np.asarray(chest.volume.voxels)
    pairs = voxels[:136].reshape(68, 2, *voxels.shape[1:]).mean(axis=1)
    geometry = chest.volume.geometry
    origin = geometry.to_patient((0.5, 0.0, 0.0))
    dz, dy, dx = geometry.spacing_mm
    thick = Geometry.axial(pairs.shape, (2.0 * dz, dy, dx), tuple(origin))
    lungs = segment_lungs(Volume(pairs, thick, "CT", "HU"))
    for got, expected in zip(lungs.volume_ml, chest_lungs.volume_ml, strict=True):
        assert got == pytest.approx(expected, rel=0.05)


def test_cropped_field_of_view_keeps_what_is_in_it(chest, chest_lungs):
    geometry = chest.volume.geometry
    box = (slice(30, 100), slice(40, 230), slice(60, 200))
    cut = geometry.crop((30, 40, 60), (70, 190, 140))
    lungs = segment_lungs(Volume(np.asarray(chest.volume.voxels)[box], cut, "CT", "HU"))
    expected = chest_lungs.mask[box]
    for label in (RIGHT, LEFT):
        assert dice(lungs.mask == label, expected == label) > 0.9


def test_places_have_names(chest, chest_lungs):
    assert locate(chest_lungs, (-70.0, 10.0, 220.0)) == ("right", "upper")
    assert locate(chest_lungs, (75.0, 40.0, 120.0))[0] == "left"
    assert locate(chest_lungs, (80.0, 70.0, -20.0)) == ("left", "lower")


def test_no_lungs_is_refused():
    _, y, x = np.indices((40, 60, 60))
    head = np.where((y - 30) ** 2 + (x - 30) ** 2 < 500, 40.0, -1000.0).astype(np.float32)
    head[18:22, 28:32, 28:32] = -1000.0
    volume = Volume(head, Geometry.axial(head.shape, (3.0, 3.0, 3.0)), "CT", "HU")
    with pytest.raises(NoLungs):
        segment_lungs(volume)


@pytest.mark.parametrize("value", [-1000.0, 0.0, 40.0])
def test_an_empty_scan_is_refused(value):
    flat = np.full((20, 30, 30), value, dtype=np.float32)
    with pytest.raises(NoLungs):
        segment_lungs(Volume(flat, Geometry.axial(flat.shape, (3.0, 3.0, 3.0)), "CT", "HU"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused(bad):
    flat = np.full((20, 30, 30), -500.0, dtype=np.float32)
    flat[3, 4, 5] = bad
    with pytest.raises(InvalidVoxels):
        segment_lungs(Volume(flat, Geometry.axial(flat.shape, (3.0, 3.0, 3.0)), "CT", "HU"))


def test_what_is_not_in_hu_is_refused():
    flat = np.zeros((20, 30, 30), dtype=np.float32)
    with pytest.raises(NotApplicable):
        segment_lungs(Volume(flat, Geometry.axial(flat.shape, (3.0, 3.0, 3.0)), "MR", "1"))


@pytest.mark.shared_data
def test_bowel_gas_and_table_are_not_lung(shared_data):
    from diaphane.acquire import read

    volume = read(shared_data("totalsegmentator_example/example_ct.nii.gz"))
    volume = Volume(volume.voxels, volume.geometry, "CT", "HU")
    lungs = segment_lungs(volume)
    right, left = lungs.volume_ml
    assert 30.0 < right < 150.0
    assert 20.0 < left < 120.0
    levels = np.argwhere(lungs.mask > 0)
    highest = volume.geometry.to_patient(levels)[:, 2]
    top = volume.geometry.to_patient(np.array([[0, 0, 0], np.array(volume.shape) - 1]))[:, 2].max()
    assert highest.min() > top - 50.0
