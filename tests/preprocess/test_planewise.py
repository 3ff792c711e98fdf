"""Planes that arrive one by one are carried as the whole is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.core.errors import RecipeError
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import Recipe, make_step
from diaphane.preprocess.passage import carry, passage_to
from diaphane.preprocess.planewise import Planewise

axes = st.sampled_from(["LPS", "RAS", "SPL", "IAR", "PSL"])
mm = st.floats(0.4, 3.0)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 8)),
    axes,
    st.tuples(mm, mm, mm),
    st.integers(0, 2),
    st.integers(0, 3),
)
def test_plane_by_plane_is_the_whole(shape, letters, spacing, axis, padding):
    native = Geometry.axial(shape, (2.0, 1.0, 0.8))
    recipe = Recipe(
        (
            make_step("orient", {"axes": letters}),
            make_step("resample", {"spacing": list(spacing)}),
            make_step("pad", {"before": [padding, 0, 0], "after": [0, padding, 0]}),
        )
    )
    image = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    done = recipe.apply(Volume(image, native))
    back = done.trace.passage.reversed()
    whole = carry(done.volume, back, fill=-7.0).voxels
    planewise = Planewise(back, axis)
    out = np.full(shape, -7.0, np.float32)
    given_planes = []
    for plane in np.moveaxis(done.volume.voxels, axis, 0):
        for number, values in planewise.take(plane[None]):
            np.moveaxis(out, planewise.across, 0)[number][planewise.part] = values[0]
            given_planes.append(number)
    assert len(given_planes) == len(set(given_planes))
    np.testing.assert_allclose(out, whole, atol=1e-5)


def test_oblique_grids_are_refused():
    turned = np.array([[0, 0.6, 0.8, 0], [0, -0.8, 0.6, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    way = passage_to(
        Geometry.axial((4, 5, 6), (1.0, 1.0, 1.0)), Geometry.from_affine((4, 5, 6), turned)
    )
    with pytest.raises(RecipeError, match="oblique"):
        Planewise(way)
