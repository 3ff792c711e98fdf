"""Segmenting real files: the native grid comes back, and memory does not change the answer."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diaphane.acquire import open_inputs, read
from diaphane.bundle import (
    LabelSpec,
    PatchSpec,
    QualityModel,
    Seen,
    case_hash,
    load_bundle,
    load_classifier,
    load_segmenter,
)
from diaphane.bundle.pieces import Pieces, divided
from diaphane.bundle.sliding import Lattice
from diaphane.core.case import Case
from diaphane.core.errors import BundleCorrupt, BundleError, InvalidVoxels, NotApplicable
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.preprocess import Recipe, make_step

OBLIQUE = np.array([[0.8, 0.3, 0.1, 4], [-0.3, 0.9, 0.2, -9], [0.05, -0.2, 2.1, 30], [0, 0, 0, 1]])
EIGHT_BIT = make_step("rescale_intensity", {"in_low": 0.0, "in_high": 255.0})


@pytest.fixture(scope="module")
def rings(segments, tmp_path_factory):
    return load_segmenter(segments.write_rings(tmp_path_factory.mktemp("b") / "rings"), threads=1)


@pytest.fixture(scope="module")
def make(segments, tmp_path_factory):
    """A loaded bundle with changes to the manifest."""

    def made(*, graph=None, **changes):
        folder = tmp_path_factory.mktemp("b") / "made"
        manifest = segments.segment_manifest(**changes)
        return load_segmenter(segments.write_rings(folder, manifest=manifest, **(graph or {})))

    return made


def case_of(voxels, spacing=(2.0, 1.0, 1.0)):
    return Case("C-1", {"image": Volume(voxels, Geometry.axial(voxels.shape[-3:], spacing))})


def test_kinds_of_bundles_are_told_apart(rings, toy_bundle):
    assert load_bundle(rings.path).name == "rings"
    assert load_bundle(toy_bundle).name == "toy"
    with pytest.raises(BundleError, match="classification bundle is needed"):
        load_classifier(rings.path)
    with pytest.raises(BundleError, match="segmentation bundle is needed"):
        load_segmenter(toy_bundle)


def test_an_oblique_file_gets_its_own_grid_back(rings, make, segments, tmp_path):
    """Turned and resampled by the recipe, the mask lies where the image does."""
    image, truth = segments.ring_image((14, 30, 34))
    path = tmp_path / "oblique.nii.gz"
    nibabel.save(nibabel.Nifti1Image(image.transpose(2, 1, 0), OBLIQUE), path)
    steps = (
        make_step("orient", {"axes": "RAS"}),
        make_step("resample", {"spacing": [1.5, 0.8, 0.7]}),
        EIGHT_BIT,
    )
    turned = make(recipe=Recipe(steps).to_dict())
    case = open_inputs([path], sequences=True).entries[0].load()
    plain = rings.segment(case)
    np.testing.assert_array_equal(plain.labels.voxels, truth)
    assert plain.labels.geometry.close_to(read(path).geometry, 1e-9)
    found = turned.segment(case)
    assert found.labels.geometry == case.volume.geometry
    assert found.labels.shape == truth.shape
    for value in (1, 2):
        a, b = found.labels.voxels == value, truth == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8
    voxel = abs(np.linalg.det(OBLIQUE[:3, :3]))
    stretched = np.prod(read(path).geometry.spacing)
    assert stretched >= voxel  # a sheared grid: spacing is along the axes
    assert plain.volume == pytest.approx(
        {"rim": (truth == 1).sum() * stretched, "core": (truth == 2).sum() * stretched}
    )
    assert plain.unit == "mm3"


def test_a_grid_that_is_oblique_to_the_image(make, segments):
    """A recipe that resamples to a tilted grid is undone too."""
    image, truth = segments.ring_image((16, 26, 28))
    case = case_of(image, (1.0, 1.0, 1.0))
    c, s = np.cos(0.3), np.sin(0.3)
    tilted = np.array([[0, -s, c, 2.0], [0, c, s, -4.0], [1, 0, 0, 0], [0, 0, 0, 1]])
    grid = Geometry.from_affine((16, 36, 36), tilted)
    recipe = Recipe((make_step("resample_grid", {"grid": grid.to_dict(), "fill": 0}), EIGHT_BIT))
    found = make(recipe=recipe.to_dict()).segment(case, probabilities=True)
    inside = grid.to_index(case.volume.geometry.to_patient(np.argwhere(truth >= 0)))
    seen = ((inside >= 0) & (inside <= np.array(grid.shape) - 1)).all(axis=1).reshape(truth.shape)
    core = (truth == 2) & seen
    assert core.sum() > 50
    assert (found.labels.voxels[core] == 2).mean() > 0.8
    assert (found.labels.voxels[~seen] == 0).mean() > 0.95


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(1, 14), st.integers(2, 24), st.integers(2, 24)),
    st.tuples(st.integers(1, 6), st.integers(3, 16), st.integers(3, 16)),
    st.sampled_from([0.0, 0.3, 0.7]),
    st.sets(st.sampled_from("zyx")),
    st.integers(0, 99),
)
def test_a_voxelwise_network_gives_the_threshold(make, shape, size, overlap, mirror, seed):
    patch = PatchSpec(size=size, overlap=overlap, mirror=tuple(sorted(mirror)))
    rng = np.random.default_rng(seed)
    image = rng.choice([10, 40, 100, 160, 220], shape).astype(np.uint8)
    found = make(patch=patch).segment(case_of(image))
    np.testing.assert_array_equal(found.labels.voxels, (image > 63) + 1 * (image > 191))


def test_memory_changes_the_axis_and_not_the_answer(make):
    """With little memory slabs go along another axis; the masks stay, maps to rounding."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 255, (20, 48, 700)).astype(np.uint8)
    bundle = make(patch=PatchSpec(size=(16, 32, 32)), graph={"radius": (1, 1, 1)})
    lattice = Lattice.over(image.shape, (16, 32, 32), 0.5)
    assert lattice.held(2, 3) < lattice.held(0, 3) / 5
    roomy = bundle.segment(case_of(image), probabilities=True, memory_mb=4096)
    tight = bundle.segment(case_of(image), probabilities=True, memory_mb=5)
    apart = roomy.probabilities.voxels.astype(float) - tight.probabilities.voxels
    assert np.abs(apart).max() < 2e-3
    assert (roomy.labels.voxels != tight.labels.voxels).mean() < 1e-4
    with pytest.raises(NotApplicable, match=r"needs about \d+ MB") as refused:
        bundle.segment(case_of(image), memory_mb=1)
    assert "--memory" in refused.value.remedy


def test_pointwise_steps_window_by_window_are_those_of_the_whole(segments):
    """Orientation and spacing need the whole image; what follows does not."""
    steps = (
        make_step("clip", {"low": 5, "high": 250}),
        make_step("orient", {"axes": "RAS"}),
        make_step("clip", {"low": 10}),
        make_step("window", {"level": 120, "width": 200}),
    )
    volume = case_of(segments.ring_image((6, 20, 22))[0]).volume
    recipe = Recipe(steps)
    first, rest = divided(recipe)
    assert [s.name for s in rest.steps] == ["clip", "window"]
    whole = recipe.apply(volume).volume.voxels
    pieces = Pieces(first.apply(volume).volume, rest)
    assert pieces.shape == (1, *whole.shape)
    where = (slice(None), slice(1, 4), slice(0, 9), slice(5, 22))
    np.testing.assert_array_equal(pieces[where], whole[None][where])
    assert divided(Recipe((make_step("zscore", {}),)))[1].steps == ()


def test_maps_agree_with_the_mask(rings, segments):
    image, _ = segments.ring_image((6, 20, 20))
    image[0, 0, 0] = 64  # just above the first level
    shares = []
    found = rings.segment(
        case_of(image),
        probabilities=True,
        uncertainty=True,
        progress=lambda stage, share: shares.append((stage, share)),
    )
    p = found.probabilities.voxels.astype(float)
    assert p.shape == (2, *image.shape)
    full = np.concatenate([1 - p.sum(axis=0, keepdims=True), p])
    clear = np.sort(full, axis=0)[-1] - np.sort(full, axis=0)[-2] > 0.01
    np.testing.assert_array_equal(full.argmax(axis=0)[clear], found.labels.voxels[clear])
    unsure = found.uncertainty.voxels
    assert unsure.min() >= 0
    assert unsure.max() <= 1
    assert unsure[0, 0, 0] > 0.55
    assert unsure[0, -1, -1] < 0.35
    assert shares[-1] == ("segment", 1.0)
    assert [s for _, s in shares] == sorted(s for _, s in shares)


def test_predicted_dice_is_the_manifests_formula(make, segments):
    image, _ = segments.ring_image((6, 20, 20))
    names = ("expected_dice", "entropy", "margin")
    model = QualityModel(features=names, weight=(0.5, -1.0, 0.25), offset=0.1)
    found = make(quality={"core": model}).segment(case_of(image))
    f = found.features["core"]
    wanted = 0.1 + 0.5 * f["expected_dice"] - f["entropy"] + 0.25 * f["margin"]
    assert found.predicted_dice["core"] == pytest.approx(np.clip(wanted, 0, 1))
    assert found.predicted_dice["rim"] is None


def test_values_of_the_manifest_and_its_components(make, segments):
    image, truth = segments.ring_image((12, 40, 44))
    image[0, :2, :2] = 120  # a speck of rim, 4 voxels
    image[0, -1, -1] = 220  # one voxel of core
    labels = (
        LabelSpec(value=300, name="rim", least=5),
        LabelSpec(value=7, name="core", keep="largest"),
    )
    found = make(labels=labels, quality={}).segment(case_of(image))
    assert found.labels.voxels.dtype == np.uint16
    np.testing.assert_array_equal(found.labels.voxels, np.array([0, 300, 7])[truth])
    assert found.volume["core"] == 2.0 * (truth == 2).sum()


def test_a_colour_photograph(make, tmp_path):
    """RGB in, a mask of one slice out, sizes in pixels."""
    pixels = np.zeros((37, 53, 3), np.uint8)
    pixels[10:20, 30:40] = (255, 240, 250)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    patch = PatchSpec(channels=3, size=(1, 16, 16), mirror=("y", "x"))
    bundle = make(patch=patch, labels=(LabelSpec(value=1, name="disc"),), quality={})
    case = open_inputs([tmp_path / "photo.png"], sequences=False).entries[0].load()
    found = bundle.segment(case)
    assert found.labels.shape == (1, 37, 53)
    np.testing.assert_array_equal(found.labels.voxels[0] == 1, pixels[..., 0] > 0)
    assert (found.volume, found.unit) == ({"disc": 100.0}, "px")


def test_what_does_not_fit_is_refused(rings, make):
    with pytest.raises(NotApplicable, match="3 channels"):
        rings.segment(case_of(np.zeros((3, 1, 8, 8), np.uint8)))
    with pytest.raises(InvalidVoxels):
        rings.segment(case_of(np.full((2, 8, 8), np.nan, np.float32)))
    other = make(labels=(LabelSpec(value=1, name="a"),), quality={}, graph={"levels": (0.2, 0.4)})
    with pytest.raises(BundleCorrupt, match="3 classes"):
        other.segment(case_of(np.zeros((4, 8, 8), np.uint8)))


def test_cases_of_training_are_known_again(make, segments):
    image, _ = segments.ring_image((6, 20, 20))
    case = case_of(image)
    bundle = make(seen=Seen(salt="s", train=(case_hash(case, "s"),)))
    assert bundle.has_seen(case)
    assert bundle.split_of(case_of(image + 1)) is None
