"""A sanity check: maps of a network with shuffled weights must look different.

Source: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diaphane.bundle import Bundle, OnnxRunner, PreparedCase
from diaphane.core.errors import MissingExtra
from diaphane.core.protocols import Runner
from diaphane.explain.order import cell_mass


def shuffled_runner(bundle: Bundle, seed: int) -> Runner:
    """The bundle's graph with the entries of every weight tensor in random order.

    Raises
    ------
    MissingExtra
        The package ``onnx`` is not installed.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingExtra("The check with randomised weights", "onnx", "learn") from error
    rng = np.random.default_rng(seed)
    model = onnx.load_from_string(bundle.model)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    return OnnxRunner(model.SerializeToString(), bundle.threads)


def map_agreement(
    bundle: Bundle, prepared: Sequence[PreparedCase], runner: Runner, *, target: int = 0
) -> list[float]:
    """Rank correlation, case by case, of the bundle's maps with those of ``runner``.

    Of the contribution per masked pixel, over cells that the mask covers by a quarter or more:
    the mask's own outline, which both networks are given, shall not make them alike. Cases
    with fewer than three such cells, or with a flat map, count as 0.
    """
    own = bundle.run(prepared)
    other = bundle.run(prepared, runner=runner)
    found = []
    for case, a, b in zip(prepared, own, other, strict=True):
        _, h, w, _ = a.maps.shape
        mass = cell_mass(case, (h, w))
        inside = mass >= 0.25 * case.mask[0].size / (h * w)
        density = [out.maps[..., target][inside] / mass[inside] for out in (a, b)]
        found.append(_spearman(density[0], density[1]))
    return found


def _spearman(
    a: np.ndarray[tuple[int], np.dtype[np.float32]], b: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> float:
    from scipy.stats import rankdata

    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
