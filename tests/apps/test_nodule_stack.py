"""From CT to the training crops' look: scale, window, outline, frame, and the way back."""

import numpy as np
import pytest

from diaphane.apps.nodule_stack import FRAME, nodule_stack, stack_recipe
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.diagnose import Region

CENTRE = (4.0, -7.0, 33.0)  # LPS mm


def scan(spacing=(1.0, 0.7, 0.7), half=(24, 40, 40), direction=None, radius=6.0, hu=30.0):
    """A ball of soft tissue in lung, centred at CENTRE; returns volume and region."""
    shape = tuple(2 * n + 1 for n in half)
    direction = direction or ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    grid = Geometry(shape, spacing, direction, (0.0, 0.0, 0.0))
    middle = grid.to_patient(half)
    grid = Geometry(shape, spacing, direction, tuple(np.asarray(CENTRE) - middle))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    far = np.linalg.norm(grid.to_patient(index) - CENTRE, axis=-1)
    voxels = np.where(far <= radius, hu, -850.0).astype(np.float32)
    volume = Volume(voxels, grid, "CT", "HU")
    return volume, Region.of(far <= radius, volume)


def test_scale_and_frame():
    volume, region = scan()
    stack = nodule_stack(volume, region)
    assert stack.voxels.dtype == np.uint8
    assert stack.voxels.shape[1:] == (FRAME, FRAME)
    assert stack.geometry.spacing == pytest.approx((1.5, 0.65, 0.65))
    wide = np.flatnonzero(stack.voxels.any(axis=(0, 1)))
    assert len(wide) * 0.65 == pytest.approx(12.0, abs=1.0)
    assert stack.voxels.shape[0] * 1.5 == pytest.approx(12.0, abs=2.0)
    # Centred as training crops are: on the box, within a pixel.
    assert abs((wide[0] + wide[-1]) / 2 - 31.5) <= 1
    assert not stack.cut


@pytest.mark.parametrize(
    ("hu", "grey"), [(-1000, 1), (-425, 128), (30, 228), (150, 255), (1200, 255)]
)
def test_window(hu, grey):
    """-1000 to 150 HU; inside the outline never 0; solid tissue is as grey as in training."""
    volume, region = scan(hu=hu)
    core = nodule_stack(volume, region).voxels[3:-3]
    assert np.median(core[core > 0]) == pytest.approx(grey, abs=1)


def test_outside_the_outline_is_zero():
    volume, region = scan()
    stack = nodule_stack(volume, region)
    far = np.linalg.norm(
        stack.geometry.to_patient(np.argwhere(stack.voxels >= 0)) - CENTRE, axis=-1
    ).reshape(stack.voxels.shape)
    assert (stack.voxels[far > 7.2] == 0).all()
    assert (stack.voxels[far < 4.8] > 0).all()


@pytest.mark.parametrize(
    ("spacing", "direction"),
    [
        ((1.0, 0.7, 0.7), ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))),
        ((1.0, 0.7, 0.7), ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))),
        ((0.6, 0.5, 0.5), None),
    ],
    ids=["flipped", "coronal", "finer"],
)
def test_the_same_nodule_looks_the_same_however_it_was_stored(spacing, direction):
    """A lopsided nodule keeps its orientation: its dense half stays at the patient's left."""
    volume, region = scan(spacing=spacing, direction=direction, half=(24, 40, 40))
    points = volume.geometry.to_patient(np.argwhere(region.mask) + [b.start for b in region.box])
    voxels = volume.voxels.copy()
    left = np.zeros(volume.shape, bool)
    left[region.box][region.mask] = points[:, 0] > CENTRE[0]
    voxels[left] = 140.0
    stack = nodule_stack(volume.with_voxels(voxels), region)
    column = np.array([plane[plane > 0].mean() if plane.any() else 0 for plane in stack.voxels.T])
    shown = np.flatnonzero(column)
    assert column[shown[-4]] > column[shown[3]] + 15
    assert np.diff(stack.geometry.to_patient([(0, 0, 0), (1, 1, 1)]), axis=0)[0] == pytest.approx(
        (0.65, 0.65, 1.5)
    )


def test_thick_slices_give_as_many_slices():
    thin = nodule_stack(*scan(spacing=(1.0, 0.7, 0.7)))
    thick = nodule_stack(*scan(spacing=(5.0, 0.7, 0.7), half=(10, 40, 40)))
    assert abs(thick.voxels.shape[0] - thin.voxels.shape[0]) <= 2


def test_a_nodule_thinner_than_the_grid_is_not_lost():
    volume, _ = scan(spacing=(1.0, 0.7, 0.7))
    mask = np.zeros(volume.shape, bool)
    mask[20, 33, 33] = True
    stack = nodule_stack(volume, Region.of(mask, volume))
    assert (stack.voxels > 0).any()


def test_a_nodule_at_the_border_of_the_scan():
    volume, _ = scan()
    mask = np.zeros(volume.shape, bool)
    mask[:3, :6, :6] = True
    stack = nodule_stack(volume, Region.of(mask, volume))
    assert stack.voxels.shape[1:] == (FRAME, FRAME)
    assert (stack.voxels > 0).any()


def test_larger_than_the_frame_is_cut():
    stack = nodule_stack(*scan(radius=23.0, half=(30, 45, 45)))
    assert stack.cut


def test_the_way_back():
    volume, region = scan(spacing=(2.0, 0.8, 0.6))
    stack = nodule_stack(volume, region)
    inside = np.argwhere(stack.voxels > 0)
    native = np.c_[inside, np.ones(len(inside))] @ stack.to_native(volume.geometry).T
    assert native[:, :3].mean(axis=0) == pytest.approx(region.measures.centroid, abs=0.5)


def test_the_case_states_no_spacing_like_a_training_stack():
    stack = nodule_stack(*scan())
    case = stack.case("k")
    assert case.volume.geometry.spacing == (None, None, None)
    assert ((case.volume.voxels > 0) == (case.mask.voxels > 0)).all()


def test_the_recipe_is_stated():
    steps = stack_recipe().to_dict()["steps"]
    assert [next(iter(s)) for s in steps] == ["orient", "resample", "rescale_intensity"]
    assert list(steps[1]["resample"]["spacing"]) == [1.5, 0.65, 0.65]
