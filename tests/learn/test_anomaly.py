"""What is normal, from normal images alone: scores, places, and what must not pass."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diaphane import batch
from diaphane.bundle.anomaly import load_detector
from diaphane.bundle.patches import cell_means, filter_bank, nearest_distance, spread_core
from diaphane.core.errors import BundleCorrupt, BundleNotFound, DatasetError, OutputError
from diaphane.learn.anomaly import FitOptions, fit_anomaly
from diaphane.learn.pretraining import PretrainOptions, pretrain

SHAPE = (60, 80)
QUICK = FitOptions(memory=200, threads=1)


def texture(random, shape=SHAPE):
    """Bright above, dark below, some noise."""
    ramp = np.linspace(170, 60, shape[0])[:, None]
    return np.clip(ramp + random.normal(0, 12, shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def normals(tmp_path_factory):
    place = tmp_path_factory.mktemp("normals")
    random = np.random.default_rng(1)
    for number in range(14):
        Image.fromarray(texture(random)).save(place / f"n{number:02d}.png")
    return place


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Four unseen normals, and four with a bright smooth spot at a known place."""
    place = tmp_path_factory.mktemp("others")
    random = np.random.default_rng(2)
    spots = {}
    for number in range(4):
        Image.fromarray(texture(random)).save(place / f"calm{number}.png")
        image = texture(random)
        y, x = int(random.integers(30, 45)), int(random.integers(10, 60))
        image[y : y + 12, x : x + 12] = 240
        Image.fromarray(image).save(place / f"spot{number}.png")
        spots[f"spot{number}"] = (y, x)
    return place, spots


@pytest.fixture(scope="module")
def fitted(normals, tmp_path_factory):
    return fit_anomaly(normals, tmp_path_factory.mktemp("fit") / "normal", QUICK)


def rows(path):
    with path.open(newline="") as stream:
        return {row["file"].rsplit("/", 1)[-1][:-4]: row for row in csv.DictReader(stream)}


def test_scores_tell_and_maps_show_where(fitted, others, tmp_path):
    place, spots = others
    done = batch.score_anomaly(fitted.folder, [place], tmp_path / "a.csv", maps=tmp_path / "maps")
    found = rows(done.out)
    assert done.done == 8
    calm = [float(found[f"calm{i}"]["score"]) for i in range(4)]
    assert min(float(found[name]["score"]) for name in spots) > max(calm)
    for name, (y, x) in spots.items():
        row = found[name]
        assert row["unlike_training"] == "1"
        assert float(row["quantile"]) == pytest.approx(14 / 15, abs=1e-6)
        assert y - 6 <= int(row["peak_y"]) <= y + 18
        assert x - 6 <= int(row["peak_x"]) <= x + 18
        heat = np.asarray(Image.open(tmp_path / "maps" / f"{name}.png"))
        assert heat.shape == SHAPE
        assert heat[y : y + 12, x : x + 12].mean() > 3 * heat.mean()


def test_held_out_normals_calibrate(fitted):
    assert fitted.detector.facts.held_out == 14
    quantiles = [fitted.detector.memory.quantile(float(s)) for s in np.sort(fitted.scores)]
    assert quantiles == sorted(quantiles)
    assert quantiles[0] == 0.0
    assert quantiles[-1] < 1.0
    assert fitted.detector.memory.quantile(1e9) == pytest.approx(14 / 15)


def test_the_same_images_give_the_same_memory(fitted, normals, tmp_path):
    again = fit_anomaly(normals, tmp_path / "again", QUICK)
    for name in ("anomaly.json", "memory.safetensors", "SHA256SUMS"):
        assert (again.folder / name).read_bytes() == (fitted.folder / name).read_bytes()


def test_no_name_is_kept(fitted, normals):
    for path in fitted.folder.iterdir():
        assert b"n00" not in path.read_bytes()
        assert str(normals).encode() not in path.read_bytes()


def test_a_changed_memory_is_refused(fitted, tmp_path):
    import shutil

    folder = shutil.copytree(fitted.folder, tmp_path / "copy")
    data = bytearray((folder / "memory.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "memory.safetensors").write_bytes(data)
    with pytest.raises(BundleCorrupt):
        load_detector(folder)
    with pytest.raises(BundleNotFound):
        load_detector(tmp_path)


def test_what_cannot_be_fitted_is_refused(fitted, normals, tmp_path):
    with pytest.raises(OutputError):
        fit_anomaly(normals, fitted.folder, QUICK)
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        Image.fromarray(texture(np.random.default_rng(number))).save(few / f"{number}.png")
    with pytest.raises(DatasetError, match="too few"):
        fit_anomaly(few, tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_unreadable_inputs_are_listed(fitted, others, tmp_path):
    place, _ = others
    (tmp_path / "bad.png").write_bytes(b"nothing")
    done = batch.score_anomaly(
        fitted.detector, [place / "calm0.png", tmp_path / "bad.png"], tmp_path / "a.csv"
    )
    assert (done.done, len(done.refused)) == (1, 1)
    assert (tmp_path / "rejected.csv").is_file()


def test_an_encoder_s_features_can_be_remembered(normals, others, tmp_path):
    place, spots = others
    pretrain(normals, tmp_path / "enc", PretrainOptions(steps=3, batch=8, threads=1))
    made = fit_anomaly(
        normals, tmp_path / "normal", FitOptions(encoder=tmp_path / "enc", memory=200, threads=1)
    )
    assert made.detector.facts.features == "encoder"
    done = batch.score_anomaly(made.folder, [place / f"{n}.png" for n in spots], tmp_path / "a.csv")
    assert all(float(row["score"]) > 0 for row in rows(done.out).values())


def test_scoring_needs_no_torch(fitted, others, tmp_path):
    place, _ = others
    code = (
        "import sys; from diaphane import batch; "
        f"batch.score_anomaly({str(fitted.folder)!r}, [{str(place / 'calm0.png')!r}], "
        f"{str(tmp_path / 'a.csv')!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "a.csv").is_file()


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(1, 3))
def test_descriptors_have_a_cell_for_every_place(height, width, channels):
    image = np.random.default_rng(0).random((2, channels, height, width), dtype=np.float32)
    cells = filter_bank(image)
    assert cells.shape == (2, -(-height // 4), -(-width // 4), 16 * channels)
    assert np.isfinite(cells).all()
    flat = filter_bank(np.full_like(image, 0.5))
    assert np.abs(flat[..., 1:4]).max() < 1e-3  # nothing moves in a flat image


def test_cells_keep_the_mean():
    values = np.random.default_rng(0).random((3, 8, 12))
    assert cell_means(values).mean() == pytest.approx(values.mean(), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(1, 30))
def test_a_core_covers_what_it_was_taken_from(count, size):
    rows = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    core = spread_core(rows, size, 0)
    assert len(set(core.tolist())) == min(size, count)
    far = nearest_distance(rows, rows[core])
    assert far[core].max() < 2e-3
    more = nearest_distance(rows, rows[spread_core(rows, size + 5, 0)])
    assert more.max() <= far.max() + 2e-3
