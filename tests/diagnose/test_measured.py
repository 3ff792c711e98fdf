"""A mask as a finding carries it: place, size, overlap."""

import numpy as np
import pytest

from diaphane.core.errors import InvalidVoxels
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.diagnose import (
    Region,
    diameters,
    location,
    mask_box,
    measurements,
    point_location,
)

SHAPE = (12, 30, 30)


@pytest.fixture
def volume():
    grid = Geometry.axial(SHAPE, (2.0, 0.5, 0.5), (10.0, 20.0, -30.0))
    return Volume(np.full(SHAPE, 40, np.int16), grid, "CT", "HU")


def block(z, y, x):
    mask = np.zeros(SHAPE, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def test_measurements_in_mm(volume):
    region = Region.of(block((3, 6), (4, 12), (5, 25)), volume)
    found = {m.code: m for m in measurements(region, "HU")}
    assert found["volume"].value == pytest.approx(3 * 8 * 20 * 2.0 * 0.25)
    assert found["volume"].unit == "mm3"
    assert found["mean_density"].value == 40
    long_axis, short_axis = diameters(region)
    assert found["long_axis"].value == pytest.approx(long_axis.length)
    assert long_axis.length > short_axis.length > 3.9
    ends = np.array([long_axis.start, long_axis.end])
    apart = np.linalg.norm(np.diff(ends, axis=0)[0] * (2.0, 0.5, 0.5))
    assert apart == pytest.approx(long_axis.length)


def test_pixels_without_spacing():
    volume = Volume(np.ones(SHAPE, np.float32), Geometry(SHAPE))
    region = Region.of(block((0, 1), (4, 12), (5, 25)), volume)
    units = {m.code: m.unit for m in measurements(region, volume.unit)}
    assert units["long_axis"] == "px"
    assert units["volume"] == "px3"
    assert "mean_intensity" in units
    assert location(region, volume).centre_mm is None


def test_place(volume):
    mask = block((3, 6), (4, 12), (5, 25))
    mask[4] = block((4, 5), (4, 14), (5, 25))[4]
    region = Region.of(mask, volume)
    place = location(region, volume, tuple(range(100, 112)), {"organ": "lung"})
    assert place.box == (3, 4, 5, 6, 14, 25)
    assert place.key_slice == 4
    assert place.instance_number == 104
    assert place.centre_mm == pytest.approx(volume.geometry.to_patient(place.centre_index))
    assert mask_box(mask) == region.box
    labels = np.zeros(SHAPE, np.uint16)
    region.paint(labels, 7)
    assert ((labels == 7) == mask).all()


def test_overlap_and_cover(volume):
    one = Region.of(block((3, 6), (4, 12), (5, 15)), volume)
    half = Region.of(block((3, 6), (4, 12), (10, 20)), volume)
    apart = Region.of(block((8, 9), (4, 12), (5, 15)), volume)
    inner = Region.of(block((4, 5), (6, 8), (6, 8)), volume)
    assert one.overlap(half) == half.overlap(one) == 0.5
    assert one.overlap(apart) == 0.0
    assert one.overlap(inner) == 1.0
    assert one.covers(np.array([4.2, 6.0, 7.0]))
    assert not one.covers(np.array([9.0, 6.0, 7.0]))


def test_a_point_without_outline(volume):
    place = point_location((3.4, 5.0, 29.4), volume, tuple(range(12)))
    assert place.box == (3, 5, 29, 4, 6, 30)
    assert place.instance_number == 3


def test_an_empty_mask_is_refused(volume):
    with pytest.raises(InvalidVoxels):
        Region.of(np.zeros(SHAPE, bool), volume)
