"""Mirrorings are allowed where they leave labels and the upright side alone."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.learn.symmetry import symmetries


def scenes(count: int, *, sided: bool, upright: bool) -> tuple[np.ndarray, np.ndarray]:
    """Spots whose brightness or side is the class, on a plain ground or under a bright sky."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, count)
    image = random.normal(0.4, 0.05, (count, 1, 16, 16)).astype(np.float32)
    for i in range(count):
        if upright:
            image[i, 0, :5] += 0.4
        row, column = random.integers(5 if upright else 0, 14), random.integers(0, 14)
        if sided:
            column = random.integers(0, 5) + 9 * label[i]
        bright = 0.5 if sided or label[i] else -0.35
        image[i, 0, row : row + 3, column : column + 3] += bright
    return image, label


@pytest.mark.parametrize(
    ("sided", "upright", "expected"),
    [
        (False, False, (True, True, True)),
        (False, True, (True, False, False)),
        (True, True, (False, False, False)),
    ],
)
def test_what_may_be_mirrored(sided, upright, expected):
    told = symmetries(*scenes(500, sided=sided, upright=upright))
    assert (told.flip_x, told.flip_y, told.transpose) == expected
    assert set(told.reasons) == {"flip_x", "flip_y", "transpose"}


def test_a_side_that_is_a_class_forbids_the_swap_that_changes_it():
    told = symmetries(*scenes(500, sided=True, upright=False))
    assert not told.flip_x
    assert not told.transpose


def test_few_cases_keep_their_upright_side():
    image, label = scenes(10, sided=False, upright=False)
    told = symmetries(image, label)
    assert (told.flip_x, told.flip_y, told.transpose) == (True, False, False)
    assert "too few" in told.reasons["flip_x"]


def test_names_of_classes_do_not_matter():
    image, label = scenes(300, sided=True, upright=True)
    assert symmetries(image, label) == symmetries(image, np.array(["b", "a"])[label])
