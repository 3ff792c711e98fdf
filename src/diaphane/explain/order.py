"""Deletion and insertion: does the image matter where the maps say that it does?

Cells of the feature grid are blanked (deletion) or brought back into a blank image (insertion)
in the order of their contribution, largest first, and in random order. A faithful map makes
the logit fall faster, and rise faster, than chance. Source: Petsiuk, Das and Saenko, RISE,
BMVC 2018; here on logits and against random order, since blanking also moves an image away
from the training set.

Blank is the mean grey inside the case's mask, which stays near what the network knows, or the
background, which cuts holes that it never saw. Both are measured and both are reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import Bundle, PreparedCase

Floats = NDArray[np.float64]
Blank = Literal["background", "mean"]


@dataclass(frozen=True, eq=False)
class OrderCurves:
    """Logit of one case over the share of cells that were changed, ``(s,)`` each.

    ``*_random`` is the mean over random orders.
    """

    share: Floats
    deletion: Floats
    deletion_random: Floats
    insertion: Floats
    insertion_random: Floats

    @property
    def deletion_gain(self) -> float:
        """Area by which deletion in order lies below random order, in logits."""
        return float(np.trapezoid(self.deletion_random - self.deletion, self.share))

    @property
    def insertion_gain(self) -> float:
        """Area by which insertion in order lies above random order, in logits."""
        return float(np.trapezoid(self.insertion - self.insertion_random, self.share))


def order_curves(
    bundle: Bundle,
    prepared: PreparedCase,
    *,
    target: int = 0,
    steps: int = 6,
    repeats: int = 2,
    blank: Blank = "mean",
    rng: np.random.Generator,
) -> OrderCurves:
    """Curves of one case for the logit of index ``target``.

    Only cells that the mask touches take part; mask, length and concepts stay as they are.
    """
    output = bundle.run([prepared])[0]
    maps = output.maps[..., target]
    cells = np.flatnonzero(cell_mass(prepared, (maps.shape[1], maps.shape[2])) > 0)
    ordered = cells[np.argsort(-maps.ravel()[cells], kind="stable")]
    orders = [ordered, *(rng.permutation(cells) for _ in range(repeats))]
    counts = np.unique(np.round(np.linspace(0, len(cells), steps + 1)).astype(int))
    empty = blanked(bundle, prepared, np.ones(maps.shape, dtype=np.bool_), blank)

    def changed(order: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
        chosen = np.zeros(maps.size, dtype=np.bool_)
        chosen[order[:count]] = True
        return _pixels(chosen.reshape(maps.shape), prepared)[:, None]

    def variants() -> Iterator[PreparedCase]:
        yield replace(prepared, image=empty)
        for order in orders:
            for count in counts[1:-1]:
                here = changed(order, count)
                yield replace(prepared, image=np.where(here, empty, prepared.image))
                yield replace(prepared, image=np.where(here, prepared.image, empty))

    found = bundle.run(list(variants()))
    whole, nothing = float(output.logit[target]), float(found[0].logit[target])
    logits = np.array([o.logit[target] for o in found[1:]], dtype=np.float64)
    # All orders begin and end alike: (orders, counts, deletion or insertion).
    curves = np.empty((len(orders), len(counts), 2))
    curves[:, 1:-1] = logits.reshape(len(orders), len(counts) - 2, 2)
    curves[:, 0], curves[:, -1] = (whole, nothing), (nothing, whole)
    return OrderCurves(
        share=counts / len(cells),
        deletion=curves[0, :, 0],
        deletion_random=curves[1:, :, 0].mean(axis=0),
        insertion=curves[0, :, 1],
        insertion_random=curves[1:, :, 1].mean(axis=0),
    )


def cell_mass(prepared: PreparedCase, grid: tuple[int, int]) -> NDArray[np.float32]:
    """Mask summed over each cell of the feature grid ``(T, h, w)``."""
    steps, height, width = prepared.mask.shape
    h, w = grid
    blocks = prepared.mask.reshape(steps, h, height // h, w, width // w)
    return np.asarray(blocks.sum(axis=(2, 4)), dtype=np.float32)


def blanked(
    bundle: Bundle, prepared: PreparedCase, cells: NDArray[np.bool_], blank: Blank
) -> NDArray[np.float32]:
    """Image ``(T, C, H, W)`` with the masked pixels of ``cells`` ``(T, h, w)`` blanked."""
    inside = prepared.mask > 0.5
    here = _pixels(cells, prepared) & inside
    values = np.full(prepared.image.shape[1], bundle.manifest.input.pad, dtype=np.float32)
    if blank == "mean":
        values[:] = [prepared.image[:, c][inside].mean() for c in range(len(values))]
    return np.where(here[:, None], values[:, None, None], prepared.image)


def _pixels(cells: NDArray[np.bool_], prepared: PreparedCase) -> NDArray[np.bool_]:
    _, height, width = prepared.mask.shape
    _, h, w = cells.shape
    return np.repeat(np.repeat(cells, height // h, axis=1), width // w, axis=2)
