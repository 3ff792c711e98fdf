"""Sheets lie where they say, radiological side out; layers keep their sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report.pictures import heat, levels, outlines, scale_bar, simplified, spread
from diaphane.report.sheets import cut, planes, sample

SHAPE, SPACING = (12, 20, 30), (3.0, 1.0, 0.5)


def grid(signs: tuple[int, int, int] = (1, 1, 1)) -> Geometry:
    z, y, x = signs
    return Geometry(
        SHAPE, SPACING, ((0, 0, float(x)), (0, float(y), 0), (float(z), 0, 0)), (5.0, 6.0, 7.0)
    )


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), height=st.integers(1, 40), width=st.integers(1, 40)
)
def test_spreading_keeps_every_sum(h: int, w: int, height: int, width: int) -> None:
    cells = np.random.default_rng(h * w).normal(size=(2, h, w)).astype(np.float32)
    wide = spread(cells, (height, width))
    assert wide.shape == (2, height, width)
    np.testing.assert_allclose(wide.sum((1, 2)), cells.sum((1, 2)), atol=1e-4)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_the_patients_right_is_at_the_left_whatever_the_grid(signs) -> None:
    geometry = grid(signs)
    marks = {name: cut(geometry, name, (5, 9, 14)).marks for name in planes(geometry)}
    assert marks == {
        "axial": ("R", "L", "A", "P"),
        "coronal": ("R", "L", "S", "I"),
        "sagittal": ("A", "P", "S", "I"),
    }
    sheet = cut(geometry, "axial", (5, 9, 14))
    mm = geometry.to_patient(np.moveaxis(sheet.coordinates(), 0, -1))
    assert (np.diff(mm[..., 0], axis=1) > 0).all()  # to the right of the picture: patient's left
    assert (np.diff(mm[..., 1], axis=0) > 0).all()  # down: posterior
    front = cut(geometry, "coronal", (5, 9, 14))
    mm = geometry.to_patient(np.moveaxis(front.coordinates(), 0, -1))
    assert (np.diff(mm[..., 2], axis=0) < 0).all()  # down: inferior


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("extent", [None, 9.0, 60.0])
def test_sampling_a_sheet_is_sampling_its_coordinates(name, extent) -> None:
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    sheet = cut(grid((1, -1, 1)), name, (4.3, 9.6, 14.2), extent=extent, pixels=40)
    there = sample(values, sheet.coordinates(), -7.0)
    np.testing.assert_allclose(sheet.sample(values, outside=-7.0), there, atol=1e-5)


def test_pixels_are_square_in_millimetres() -> None:
    sheet = cut(grid(), "coronal", (5, 9, 14), extent=12.0, pixels=24)
    assert sheet.pixel == pytest.approx(0.5)
    assert np.linalg.norm(sheet.down * SPACING) == pytest.approx(0.5)
    assert np.linalg.norm(sheet.right * SPACING) == pytest.approx(0.5)
    (length, unit), share = scale_bar(sheet)
    assert (length, unit) == (2.0, "mm")
    assert share == pytest.approx(2 / 12)


def test_a_place_is_found_on_the_sheet() -> None:
    sheet = cut(grid((1, 1, -1)), "axial", (5, 9.5, 14.5), pixels=300)
    assert sheet.place((5, 9.5, 14.5)) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert sheet.place((5, 0, 29))[0] < 0.05  # the last column lies at the patient's right


def test_an_image_without_place_is_shown_as_it_is() -> None:
    geometry = Geometry((1, 6, 8))
    assert planes(geometry) == ("image",)
    sheet = cut(geometry, "image", (0, 2.5, 3.5), pixels=8)
    values = np.arange(48, dtype=np.float32).reshape(1, 6, 8)
    np.testing.assert_array_equal(sheet.sample(values), values[0])
    assert sheet.unit == "px"
    assert sheet.marks == ("", "", "", "")


def test_an_outline_runs_around_its_mask() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[5:15, 4:16] = 1
    (path,) = outlines(mask)
    numbers = [float(v) for v in path.strip("MZ").replace("L", " ").split()]
    xs, ys = numbers[::2], numbers[1::2]
    assert (min(xs), max(xs)) == (4.0, 16.0)
    assert (min(ys), max(ys)) == (5.0, 15.0)
    assert outlines(np.zeros((4, 4), np.float32)) == ()


def test_simplifying_stays_within_its_tolerance() -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1) * 50
    line = simplified(circle, 0.2)
    assert len(line) < 80
    middles = (line[1:] + line[:-1]) / 2
    assert np.abs(np.hypot(*middles.T) - 50).max() < 0.25


def test_no_contribution_has_no_layer() -> None:
    assert heat(np.zeros((4, 4), np.float32), 1.0) == ""
    assert heat(np.ones((4, 4), np.float32), 1.0).startswith("data:image/png")


@pytest.mark.parametrize(
    ("unit", "wanted", "shown"),
    [
        ("1", (100.0, 500.0), {"image": (100.0, 500.0)}),
        ("1", (50000.0, 60000.0), None),  # shows nothing of the image
        ("1", (-1e6, 1e6), None),  # one grey
        ("HU", (100.0, 500.0), {"lung": (-1350.0, 150.0), "soft": (-160.0, 240.0)}),
    ],
)
def test_the_window_of_the_file_is_shown_where_it_fits(unit, wanted, shown) -> None:
    voxels = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    volume = Volume(voxels, Geometry(voxels.shape), "MR", unit, {"display_range": wanted})
    found = levels(volume, voxels)
    if shown is None:
        low, high = np.percentile(voxels[:, ::2, ::2], [0.5, 99.5])
        assert found == {"image": (pytest.approx(low), pytest.approx(high))}
    else:
        assert found == shown
