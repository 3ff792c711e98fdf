"""What the finder of text looks at: a picture, and the picture less its surroundings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW = 31
"""Pixels across of what counts as the surroundings."""


def views(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two channels ``(2, H, W)`` of a picture ``(H, W)`` from 0 to 1.

    The picture itself, and by how many quarters of a standard deviation of its surroundings each
    pixel differs from their mean, cut to -1 to 1: faint text on a dark ground shows there.
    """
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(grey, WINDOW)
    spread = np.sqrt(np.maximum(uniform_filter(grey * grey, WINDOW) - mean * mean, 0) + 1e-4)
    local = np.clip((grey - mean) / (4 * spread), -1, 1)
    return np.stack((grey, local)).astype(np.float32)
