"""Occlusion: what happens to the score when a patch is really taken away.

Unlike contributions, which take attention and context as they are, this runs the network again.
Source: Zeiler and Fergus, ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import Bundle, PreparedCase
from diaphane.explain.order import Blank, blanked, cell_mass


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Change of a logit by blanking patches.

    Attributes
    ----------
    logit:
        Of the whole case.
    slices:
        Indices t that were tested.
    change:
        ``(len(slices), rows, columns)``: logit with the patch blanked, minus ``logit``;
        NaN where the patch does not touch the mask.
    """

    logit: float
    slices: tuple[int, ...]
    change: NDArray[np.float32]


def occlude(
    bundle: Bundle,
    prepared: PreparedCase,
    *,
    target: int = 0,
    patch: int | None = None,
    slices: Sequence[int] | None = None,
    blank: Blank = "mean",
) -> Occlusion:
    """Blank patches one by one and run again.

    Parameters
    ----------
    target:
        Index of the logit.
    patch:
        Side in prepared pixels, a divisor of the frame; by default two cells of the feature
        grid where that divides it, else one.
    slices:
        Indices t; by default the three with the most attention.
    blank:
        What a patch becomes inside the mask: its mean grey, or background.
    """
    output = bundle.run([prepared])[0]
    height, width = prepared.mask.shape[1:]
    cell = height // output.maps.shape[1]
    if patch is None:
        patch = 2 * cell if height % (2 * cell) == 0 and width % (2 * cell) == 0 else cell
    if height % patch or width % patch:
        raise ValueError(f"a patch of {patch} does not divide a frame of {height} x {width}")
    taken = sorted(np.argsort(-output.attention, kind="stable")[:3] if slices is None else slices)
    grid = (height // patch, width // patch)
    mass = cell_mass(prepared, grid)
    change = np.full((len(taken), *grid), np.nan, dtype=np.float32)
    places = [(i, int(y), int(x)) for i, t in enumerate(taken) for y, x in np.argwhere(mass[t] > 0)]
    variants = []
    for i, y, x in places:
        cells = np.zeros(mass.shape, dtype=np.bool_)
        cells[taken[i], y, x] = True
        variants.append(replace(prepared, image=blanked(bundle, prepared, cells, blank)))
    for place, found in zip(places, bundle.run(variants), strict=True):
        change[place] = found.logit[target] - output.logit[target]
    return Occlusion(float(output.logit[target]), tuple(int(t) for t in taken), change)
