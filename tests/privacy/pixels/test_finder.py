"""The finder of text on pictures made here: what it must see, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from diaphane.privacy.pixels.finder import MODEL, text_places

SIDE = 256
LINE = "NIGHTINGALE 12.05.1820"


def speckle(seed: int) -> np.ndarray:
    """Ultrasound-like noise of middle brightness, 0 to 160."""
    noise = np.random.default_rng(seed).normal(size=(2, SIDE, SIDE))
    made = np.hypot(*ndimage.gaussian_filter(noise, (0, 1.0, 1.6)))
    return np.clip(made / made.mean() * 60, 0, 160).astype(np.float32)


def written(size: int, shade: int, ground: np.ndarray, *, turned: bool) -> tuple[np.ndarray, tuple]:
    """The ground with a line on it, and the place of its ink."""
    canvas = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(canvas)
    draw.text((14, 60), LINE, fill=255, font=ImageFont.load_default(size))
    ink = np.asarray(canvas) / 255
    ink = np.rot90(ink) if turned else ink
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return ground * (1 - ink) + shade * ink, place


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("size", "shade"), [(9, 255), (14, 255), (20, 0)])
@pytest.mark.parametrize("flat", [True, False])
def test_a_line_is_covered(size, shade, flat, turned):
    ground = np.full((SIDE, SIDE), 110, np.float32) if flat else speckle(size)
    picture, place = written(size, shade, ground, turned=turned)
    covered = np.zeros(picture.shape, bool)
    for top, left, bottom, right in text_places(picture):
        covered[top:bottom, left:right] = True
    assert covered[place].mean() >= 0.8
    assert covered.mean() < 0.35


def test_what_is_no_text_is_left_alone():
    for seed in range(3):
        assert not text_places(speckle(seed))
    assert not text_places(np.zeros((40, 60)))
    ruler = np.zeros((SIDE, SIDE), np.float32)
    ruler[::12, :6] = 255
    ruler[::60, :12] = 255
    assert not text_places(ruler)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 17), (100, 131)])
def test_any_size_is_searched(shape):
    places = text_places(np.random.default_rng(0).random(shape))
    for top, left, bottom, right in places:
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]


def test_the_network_is_small():
    assert MODEL.stat().st_size <= 2_000_000
