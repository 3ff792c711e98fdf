"""``diaphane denoise``, as a person types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diaphane.cli import app


@pytest.fixture
def place(tmp_path):
    y, x = np.mgrid[:80, :100]
    clean = 60 + 0.4 * x + 90.0 * ((y - 40) ** 2 + (x - 50) ** 2 < 500)
    noisy = clean + np.random.default_rng(0).normal(0, 9, clean.shape)
    for name, pixels in (("clean", clean), ("noisy", noisy)):
        Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["denoise", *(str(word) for word in words)])


@pytest.mark.parametrize("method", ["median", "gaussian", "nlm", "tv"])
def test_every_method_with_picture_and_figures(place, method):
    done = run(
        place / "noisy.png", place / "out.png", "--method", method, "--json",
        "--picture", place / "look.png", "--reference", place / "clean.png",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["figures"]
    assert found["sigma_after"] < 0.7 * found["sigma_before"]
    assert found["psnr_after"] > found["psnr_before"] + 2
    result = np.asarray(Image.open(place / "out.png"))
    assert (result.dtype, result.shape) == (np.uint8, (80, 100))
    assert Image.open(place / "look.png").size[0] > 800


def test_figures_in_words(place):
    done = run(
        place / "noisy.png", place / "o.nii.gz", "--figures", "--reference", place / "clean.png"
    )
    assert done.exit_code == 0, done.output
    for word in ("noise (estimated)", "taken away", "structure", "PSNR", "SSIM"):
        assert word in done.output
    plain = run(place / "noisy.png", place / "o.nii.gz", "--strength", "2")
    assert "noise (estimated)" not in plain.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("noisy.png", "noisy.png"), 2),
        (("noisy.png", "o.jpg"), 2),
        (("noisy.png", "o.png", "--method", "magic"), 2),
        (("noisy.png", "o.png", "--picture", "p.pdf"), 2),
        (("noisy.png", "o.png", "--strength", "-1"), 3),
        (("noisy.png", "o.png", "--method", "median", "--strength", "2.5"), 3),
        (("absent.png", "o.png"), 3),
        (("noisy.png", "o.png", "--reference", "small.png"), 3),
    ],
)
def test_wrong_use_leaves_nothing(place, words, code):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(place / "small.png")
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    done = run(*(place / w if "." in w and not w[0].isdigit() else w for w in words))
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output + done.stderr
    assert {p.name: p.read_bytes() for p in place.iterdir()} == before
