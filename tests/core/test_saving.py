"""Volumes written are volumes read."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.spatial.transform import Rotation

from diaphane.acquire import read
from diaphane.core.errors import OutputError, UsageError
from diaphane.core.geometry import Geometry
from diaphane.core.saving import voxels_like, write_volume
from diaphane.core.volume import Volume
from diaphane.preprocess.guard import refuse_overwriting

TURNED = Geometry(
    (3, 4, 5),
    (2.0, 0.5, 0.7),
    ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    (1.0, 2.0, 3.0),
)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, bool])
def test_round_trip(tmp_path, ending, dtype):
    values = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(dtype)
    write_volume(tmp_path / f"a{ending}", Volume(values, TURNED))
    if "nii" in ending:
        again = Volume.from_nibabel(nibabel.load(tmp_path / f"a{ending}"))
    else:
        again = Volume.from_sitk(sitk.ReadImage(tmp_path / f"a{ending}"))
    assert np.array_equal(again.voxels, values)
    assert again.geometry.close_to(TURNED)
    assert [p.name for p in tmp_path.iterdir()] == [f"a{ending}"]


@settings(max_examples=25, deadline=None)
@given(
    ending=st.sampled_from([".nii.gz", ".nii", ".mha", ".nrrd"]),
    turn=arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.abs(q).max() > 0.1),
    spacing=st.tuples(*[st.floats(0.05, 12)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    mirrored=st.booleans(),
)
def test_any_place_is_kept(tmp_path_factory, ending, turn, spacing, origin, mirrored):
    axes = Rotation.from_quat(turn).as_matrix() * ([-1, 1, 1] if mirrored else [1, 1, 1])
    rows = tuple(tuple(map(float, row)) for row in axes)
    geometry = Geometry((3, 4, 5), spacing, rows, origin)
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 30
    path = tmp_path_factory.mktemp("place") / f"a{ending}"
    write_volume(path, Volume(values, geometry))
    again = read(path)
    assert again.voxels.dtype == np.int16
    assert np.array_equal(again.voxels, values)
    assert again.geometry.close_to(geometry, 1e-3)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("spacing", [(None, None, None), (None, 0.5, 0.7), (2.0, 0.5, 0.7)])
def test_what_is_not_known_is_not_claimed(tmp_path, ending, slices, colours, spacing):
    shape = (slices, 4, 5)
    values = np.random.default_rng(0).integers(0, 256, (3, *shape) if colours else shape)
    path = tmp_path / f"a{ending}"
    write_volume(path, Volume(values.astype(np.uint8), Geometry(shape, spacing)))
    again = read(path)
    assert np.array_equal(again.voxels, values)
    assert again.geometry.direction is None
    whole = spacing if spacing[0] is not None or slices == 1 else (None, None, None)
    assert again.geometry.spacing == tuple(s if s is None else pytest.approx(s) for s in whole)
    if "nii" not in ending:  # other programs read it as well, with pixels of 1 where unknown
        assert sitk.GetArrayFromImage(sitk.ReadImage(path)).size == values.size


def test_whole_numbers_of_more_than_32_bits_are_refused(tmp_path):
    large = Volume(np.full((1, 2, 2), 2**40), Geometry((1, 2, 2)))
    with pytest.raises(OutputError):
        write_volume(tmp_path / "a.nrrd", large)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0, 7, 200]], np.int16), [0, 7, 200]),
        (np.array([[0, 7, 2000]], np.int16), [0, 7, 2000]),
        (np.array([[False, True, False]]), [0, 255, 0]),
    ],
)
def test_png_depth(tmp_path, values, expected):
    write_volume(tmp_path / "a.png", Volume(values[None], Geometry((1, 1, 3))))
    assert np.asarray(Image.open(tmp_path / "a.png")).ravel().tolist() == expected


def test_png_holds_colour_and_refuses_the_rest(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (3, 1, 2, 2)).astype(np.uint8)
    write_volume(tmp_path / "a.png", Volume(colour, Geometry((1, 2, 2))))
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "a.png")), colour[:, 0].transpose(1, 2, 0)
    )
    refused = [
        np.zeros((2, 2, 2)),
        np.full((1, 2, 2), -5.0),
        np.full((1, 2, 2), 1e6),
        np.zeros((2, 1, 2, 2)),
    ]
    for values in refused:
        with pytest.raises(OutputError):
            write_volume(tmp_path / "b.png", Volume(values, Geometry(values.shape[-3:])))
    assert not (tmp_path / "b.png").exists()
    with pytest.raises(UsageError):
        write_volume(tmp_path / "b.jpg", Volume(colour, Geometry((1, 2, 2))))


def test_voxels_like_rounds_into_range():
    whole = Volume(np.array([[[0, 1, 255]]], np.uint8), Geometry((1, 1, 3)))
    float_like = whole.with_voxels(np.array([[[-3.0, 1.6, 300.0]]]))
    assert voxels_like(float_like, whole).voxels.ravel().tolist() == [0, 2, 255]
    assert voxels_like(whole, float_like) is whole


def test_outputs_never_fall_on_inputs(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.dcm").write_bytes(b"x")
    refuse_overwriting([source / "new.mha", None], [source, None])
    for outputs in ([source / "a.dcm"], [source], [tmp_path / "b", tmp_path / "b"]):
        with pytest.raises(UsageError):
            refuse_overwriting(outputs, [source])
