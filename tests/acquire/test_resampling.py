"""Gantry tilt and uneven spacing: refused, or put onto an upright, even grid when asked to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.acquire import ReadOptions, find_series, read
from diaphane.acquire.resampling import Resampling
from diaphane.core import errors

BOTH = ReadOptions("resample", "resample")


def field(points):
    """A linear field of patient mm, which linear interpolation keeps exactly."""
    return 3 * points[..., 0] + 5 * points[..., 1] + 7 * points[..., 2]


def sampled(dicom, folder, places, shape=(40, 8)):
    """A series whose pixels are :func:`field` at their patient position, times 10."""
    for index, (x, y, z) in enumerate(places):
        data = dicom.image(index, shape)
        data.ImagePositionPatient = [x, y, z]
        rows, columns = np.indices(shape)
        points = np.stack([x + 0.7 * columns, y + 0.5 * rows, np.full(shape, z)], axis=-1)
        data.PixelRepresentation, data.BitsStored, data.HighBit = 1, 16, 15
        data.RescaleIntercept = 0
        data.PixelData = np.rint(10 * field(points)).astype(np.int16).tobytes()
        dicom.save(data, folder / f"{index}.dcm")
    return folder


def agrees(volume, margin):
    """Inside the grid every voxel is the field at its own place."""
    grid = np.stack(np.indices(volume.shape), axis=-1)
    gap = np.abs(volume.voxels - 10 * field(volume.geometry.to_patient(grid)))
    inside = gap[:, margin:-margin] if margin else gap
    return float(inside.max())


def test_tilt_is_resampled(dicom, tmp_path):
    places = [(-10.0, -20.0 - 0.9 * k, 2.5 * k) for k in range(6)]
    sampled(dicom, tmp_path, places)
    assert isinstance(find_series(tmp_path).rejected[0][1], errors.GantryTilt)
    [header] = find_series(tmp_path, ReadOptions(tilt="resample"))
    assert header.facts["resampled"] == ("tilt",)
    volume = read(tmp_path, options=ReadOptions(tilt="resample"))
    assert volume.geometry.close_to(header.geometry)
    assert volume.shape == (6, 49, 8)  # 4.5 mm of shift are 9 rows
    assert volume.geometry.origin == pytest.approx((-10.0, -24.5, 0.0))
    assert agrees(volume, 9) <= 1.01
    np.testing.assert_array_equal(volume.voxels[0, :9], volume.voxels.min())


def test_opposite_tilt_starts_at_the_first_slice(dicom, tmp_path):
    places = [(-10.0, -20.0 + 0.9 * k, 2.5 * k) for k in range(6)]
    volume = read(sampled(dicom, tmp_path, places), options=BOTH)
    assert volume.geometry.origin == pytest.approx((-10.0, -20.0, 0.0))
    assert agrees(volume, 9) <= 1.01


def test_uneven_spacing_is_resampled_to_the_median(dicom, tmp_path):
    depths = [0, 2.5, 5, 7.5, 12.5, 17.5]
    sampled(dicom, tmp_path, [(-10.0, -20.0, z) for z in depths])
    with pytest.raises(errors.GeometryError):
        read(tmp_path)

    def thick(path):
        import pydicom

        data = pydicom.dcmread(path)
        data.SliceThickness = 5 if data.ImagePositionPatient[2] > 7.5 else 2.5
        data.save_as(path)

    for path in tmp_path.glob("*.dcm"):
        thick(path)
    [header] = find_series(tmp_path, BOTH)
    volume = read(tmp_path, options=BOTH)
    assert header.facts["resampled"] == ("spacing",)
    assert volume.geometry.spacing[0] == pytest.approx(2.5)
    assert volume.shape[0] == 8
    assert agrees(volume, 0) <= 1.01
    assert len(volume.meta["instance_numbers"]) == 8


def test_tilt_and_spacing_together(dicom, tmp_path):
    depths = [0, 2.5, 5.5, 8.5, 12, 15.5, 19]
    places = [(-10.0, -20.0 - 0.3 * z, z) for z in depths]
    volume = read(sampled(dicom, tmp_path, places), options=BOTH)
    assert volume.meta["resampled"] == ("tilt", "spacing")
    assert agrees(volume, 12) <= 1.51


@pytest.mark.parametrize("skip", [(3,), (3, 4)])
def test_gap_is_never_filled(dicom, tmp_path, skip):
    dicom.series(tmp_path, count=9, skip=skip)
    with pytest.raises(errors.MissingSlice):
        read(tmp_path, options=BOTH)


def test_two_gaps_beside_each_other(dicom, tmp_path):
    dicom.series(tmp_path, count=9, skip=(3, 5))
    with pytest.raises(errors.MissingSlice):
        read(tmp_path, options=BOTH)


def test_origins_that_wander_are_no_tilt(dicom, tmp_path):
    places = [(-10.0, -20.0 - 2.0 * (k % 2), 2.5 * k) for k in range(6)]
    with pytest.raises(errors.GeometryError, match="one line"):
        read(sampled(dicom, tmp_path, places), options=BOTH)


def test_steep_shear_is_refused(dicom, tmp_path):
    places = [(-10.0, -20.0 - 4.0 * k, 2.5 * k) for k in range(6)]
    with pytest.raises(errors.GantryTilt):
        read(sampled(dicom, tmp_path, places), options=BOTH)


def test_what_needs_no_repair_is_left_alone(dicom, tmp_path):
    dicom.series(tmp_path)
    plain, allowed = read(tmp_path), read(tmp_path, options=BOTH)
    np.testing.assert_array_equal(plain.voxels, allowed.voxels)
    assert plain.geometry == allowed.geometry
    assert "resampled" not in allowed.meta


@settings(max_examples=40, deadline=None)
@given(
    shift=st.floats(-3, 3),
    steps=st.lists(st.floats(0.7, 1.4), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_values_stay_within_those_of_the_planes(shift, steps, seed):
    depths = np.concatenate([[0.0], np.cumsum(steps)])
    shifts = np.stack([shift * depths, np.zeros_like(depths)], axis=1)
    voxels = np.random.default_rng(seed).integers(-500, 500, (len(depths), 5, 4)).astype(np.int16)
    made = Resampling.onto(voxels.shape, depths, shifts)
    out = made.apply(voxels)
    assert out.shape == made.shape
    assert out.dtype == np.int16
    assert voxels.min() <= out.min()
    assert out.max() <= voxels.max()
    assert len(made.nearest) == out.shape[0]
    constant = made.apply(np.full_like(voxels, 7))
    assert (constant == 7).all()
