"""Which mirrorings leave a set of images what it is: told from the images, not from their names.

Mirroring is the cheapest augmentation and the most harmful one where a class is a side (left and
right kidney) or where up and down differ (ultrasound, a chest film). Two tests on thumbnails, both by
nearest neighbours (Cover and Hart 1967), both leaving the case itself out:

- *Side*: are mirrored images recognised as well as unmirrored ones by the class of their
  neighbours? If they are taken for other classes, the mirroring changes labels.
- *Upright*: half of the images are mirrored; do neighbours tell which half? If so, the set has an
  upright side that the mirroring breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_NEIGHBOURS = 5
_LEAST = 40
"""Cases below which nothing can be told."""
_UPRIGHT = 0.62
"""Share of right guesses above which mirrored images stand out."""
_LOSS = 0.08
"""Loss of recognition, as a share of what there is above chance, that is no accident."""


@dataclass(frozen=True)
class Symmetries:
    """What may be done to a set's images without changing what they show.

    Attributes
    ----------
    flip_x:
        Mirror left and right: no label depends on the side.
    flip_y, transpose:
        Mirror top and bottom, swap rows and columns: no label and no upright side is lost, so the
        images may also be turned by any angle.
    reasons:
        By name of the change: what was measured.
    """

    flip_x: bool
    flip_y: bool
    transpose: bool
    reasons: dict[str, str]


def symmetries(thumbnails: Floats, labels: NDArray[Any], *, seed: int = 0) -> Symmetries:
    """Test three mirrorings on small images of labelled cases.

    Parameters
    ----------
    thumbnails:
        ``(n, C, h, w)`` with h = w, 12 to 24 pixels; up to 2000 cases are used.
    labels:
        ``(n,)`` classes, of any type.
    """
    random = np.random.default_rng([seed, 31])
    chosen = np.sort(random.permutation(len(thumbnails))[:2000])
    images = np.asarray(thumbnails, dtype=np.float32)[chosen]
    codes = np.unique(np.asarray(labels)[chosen], return_inverse=True)[1].reshape(-1)
    mirrored = {
        "flip_x": images[..., ::-1],
        "flip_y": images[..., ::-1, :],
        "transpose": images.swapaxes(-1, -2),
    }
    if len(images) < _LEAST:
        why = f"{len(images)} cases are too few to tell; images keep their upright side"
        sides = f"{len(images)} cases are too few to tell; left and right count as alike"
        return Symmetries(True, False, False, {"flip_x": sides, "flip_y": why, "transpose": why})
    allowed: dict[str, bool] = {}
    reasons: dict[str, str] = {}
    plain = _rows(images)
    own = _recognised(plain, plain, codes)
    for name, other in mirrored.items():
        turned = _rows(other)
        # A mirrored image is its own neighbour where it is symmetric, so it is left out here too.
        seen = _recognised(turned, plain, codes)
        chance = 1.0 / max(1, int(codes.max()) + 1)
        error = 2.0 * np.sqrt(0.5 / len(codes))
        lost = own - seen > max(_LOSS * max(own - chance, 0.0), float(error))
        half = random.permutation(len(codes)) < len(codes) // 2
        both = np.where(half[:, None], turned, plain)
        guess = _recognised(both, both, half.astype(np.int64))
        upright = guess > _UPRIGHT
        allowed[name] = not lost and (name == "flip_x" or not upright)
        reasons[name] = (
            f"neighbours recognise {own:.0%} of the images and {seen:.0%} when mirrored, and tell "
            f"mirrored ones from others in {guess:.0%}"
        )
    return Symmetries(
        allowed["flip_x"], allowed["flip_y"], allowed["flip_y"] and allowed["transpose"], reasons
    )


def _rows(images: Floats) -> Floats:
    """Images as rows of mean 0 and length 1."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(1, keepdims=True)
    length = np.sqrt((rows * rows).sum(1, keepdims=True))
    done: Floats = (rows / np.maximum(length, 1e-6)).astype(np.float32)
    return done


def _recognised(asked: Floats, known: Floats, codes: NDArray[np.int64]) -> float:
    """Mean over classes of the share whose nearest neighbours are of its class."""
    near = asked @ known.T
    np.fill_diagonal(near, -np.inf)
    take = min(_NEIGHBOURS, len(codes) - 1)
    order = np.argpartition(-near, take - 1, axis=1)[:, :take]
    votes = np.zeros((len(codes), int(codes.max()) + 1))
    np.add.at(votes, (np.repeat(np.arange(len(codes)), take), codes[order].ravel()), 1.0)
    share = np.bincount(codes) / len(codes)
    right = (votes / share).argmax(1) == codes  # as if all classes were as frequent
    return float(np.mean([right[codes == k].mean() for k in np.unique(codes)]))
