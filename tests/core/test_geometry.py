"""Where voxels lie: conversions hold for any placement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from diaphane.core.errors import GeometryError, MissingSpacing
from diaphane.core.geometry import Geometry

steps = st.floats(0.1, 10.0)
places = st.floats(-500, 500)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Rotated and mirrored grids."""
    turn = Rotation.from_euler("zyx", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True)
    flips = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() @ flips * [draw(steps) for _ in range(3)]
    affine[:3, 3] = [draw(places) for _ in range(3)]
    shape = tuple(draw(st.integers(1, 40)) for _ in range(3))
    return Geometry.from_affine(shape, affine)  # type: ignore[arg-type]


@given(geometries())
def test_affine_and_dict_round_trip(geometry: Geometry) -> None:
    assert Geometry.from_affine(geometry.shape, geometry.affine).close_to(geometry)
    assert Geometry.from_dict(geometry.to_dict()) == geometry


@given(geometries(), st.tuples(places, places, places))
def test_points_and_indices_are_inverse(
    geometry: Geometry, point: tuple[float, float, float]
) -> None:
    there = geometry.to_index(point)
    assert np.allclose(geometry.to_patient(there), point, atol=1e-6)


@given(geometries(), st.tuples(*[st.integers(-5, 5)] * 3))
def test_a_crop_leaves_voxels_where_they_are(
    geometry: Geometry, start: tuple[int, int, int]
) -> None:
    part = geometry.crop(start, (3, 4, 5))
    assert part.shape == (3, 4, 5)
    assert np.allclose(
        part.to_patient([1, 2, 3]), geometry.to_patient(np.add(start, [1, 2, 3])), atol=1e-6
    )


def test_axial_is_upright() -> None:
    geometry = Geometry.axial((10, 20, 30), (2.0, 0.7, 0.8), (5.0, 6.0, 7.0))
    assert geometry.to_patient([1, 1, 1]).tolist() == pytest.approx([5.8, 6.7, 9.0])
    assert geometry.contains([9.4, -0.4, 29])
    assert not geometry.contains([9.6, 0, 0])


def test_unknown_millimetres_are_never_one() -> None:
    geometry = Geometry((1, 8, 8), (None, 0.5, 0.5))
    assert not geometry.is_spatial
    with pytest.raises(MissingSpacing):
        _ = geometry.affine
    with pytest.raises(MissingSpacing):
        _ = geometry.spacing_mm
    assert geometry.close_to(Geometry((1, 8, 8), (None, 0.5, 0.5)))
    assert not geometry.close_to(Geometry((1, 8, 8), (None, 0.6, 0.5)))


@pytest.mark.parametrize(
    "affine",
    [np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0]), np.full((4, 4), np.nan), np.eye(3)],
    ids=["zero", "flat", "nan", "3x3"],
)
def test_an_affine_that_places_nothing_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Geometry.from_affine((2, 2, 2), affine)


@pytest.mark.parametrize("spacing", [(0.0, 1, 1), (-1.0, 1, 1), (float("nan"), 1, 1)])
def test_spacing_that_is_none_of_this_world_is_refused(
    spacing: tuple[float, float, float],
) -> None:
    with pytest.raises(GeometryError):
        Geometry((2, 2, 2), spacing)
