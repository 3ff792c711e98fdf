"""Are the explanations true to the model? Plain figures for the report and the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.bundle import Bundle, PreparedCase
from diaphane.core.case import Case
from diaphane.core.errors import MissingExtra
from diaphane.core.protocols import Progress, Runner, silent
from diaphane.explain.maps import upsample
from diaphane.explain.order import Blank, OrderCurves, order_curves
from diaphane.explain.randomise import map_agreement, shuffled_runner

GRID = np.linspace(0.0, 1.0, 9)


def faithfulness(
    bundle: Bundle,
    cases: Sequence[Case | PreparedCase],
    seed: int = 0,
    *,
    target: str | None = None,
    most: int = 32,
    rounds: int = 1000,
    random_runner: Runner | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Test a bundle's contribution maps on cases, preferably unseen ones.

    Parameters
    ----------
    cases:
        Plain or prepared; at most ``most`` are drawn by ``seed``.
    target:
        Class with a logit of its own; by default the first (binary: the positive one).
    rounds:
        Bootstrap rounds of the 95 % intervals; plain cases are drawn by group.
    random_runner:
        The same graph with random weights; by default the bundle's with shuffled ones, three
        times, and without the package ``onnx`` this figure is left out.

    Returns
    -------
    dict
        JSON-able. ``deletion``, ``insertion``: gain in logits over random order (above 0:
        faithful) with interval and ``share`` of cases above 0, deleted places at the mean
        grey; ``deletion_background`` and ``insertion_background`` the same with them at
        background, which a network may never have seen. ``randomised_weights``: rank
        correlation of maps with those of random weights (near 0: maps depend on what was
        learned). ``inside_mask``: share of absolute contribution on pixels inside the mask,
        beside ``mask_share`` of the frame. ``outside_change``: mean absolute change of the
        logit when everything outside the mask is blanked. ``adds_up``: largest gap between
        logit and parts, over ``max(1, sum of absolute parts)``. ``curves``: mean change of
        the logit over the share of cells, for plots. All ``None`` without cases.
    """
    manifest = bundle.manifest
    k = 0 if target is None else manifest.targets.index(target)
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(cases))[:most].tolist())
    prepared, groups = [], []
    for i in chosen:
        case = cases[i]
        prepared.append(bundle.prepare(case) if isinstance(case, Case) else case)
        groups.append((case.group or case.key) if isinstance(case, Case) else str(i))

    curves: dict[Blank, list[OrderCurves]] = {"mean": [], "background": []}
    for done, case in enumerate(prepared):
        for blank, found in curves.items():
            found.append(order_curves(bundle, case, target=k, blank=blank, rng=rng))
        progress("faithfulness", (done + 1) / len(prepared))
    figures: dict[str, Any] = {
        "target": manifest.targets[k],
        "cases": len(prepared),
        "seed": seed,
    }
    for blank, found in curves.items():
        mark = "" if blank == "mean" else f"_{blank}"
        gains = ([c.deletion_gain for c in found], [c.insertion_gain for c in found])
        figures[f"deletion{mark}"] = _gain(gains[0], groups, rounds, rng)
        figures[f"insertion{mark}"] = _gain(gains[1], groups, rounds, rng)
    try:
        others = (
            [random_runner]
            if random_runner
            else [shuffled_runner(bundle, seed + number) for number in range(3)]
        )
    except MissingExtra:
        pass
    else:
        same = [map_agreement(bundle, prepared, other, target=k) for other in others]
        figures["randomised_weights"] = _interval(np.mean(same, axis=0), groups, rounds, rng)
    masses, covered, outside, gaps = _mass(bundle, prepared, k)
    figures["inside_mask"] = _interval(masses, groups, rounds, rng)
    figures["mask_share"] = float(covered.mean()) if prepared else None
    figures["outside_change"] = float(outside.mean()) if prepared else None
    figures["adds_up"] = float(gaps.max()) if prepared else None
    figures["curves"] = _mean_curves(curves["mean"])
    return figures


def _mass(
    bundle: Bundle, prepared: Sequence[PreparedCase], k: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """By case: share inside the mask, share of the frame, change without the outside, gap."""
    outputs = bundle.run(prepared)
    pad = np.float32(bundle.manifest.input.pad)
    alone = [replace(c, image=np.where(c.mask[:, None] > 0.5, c.image, pad)) for c in prepared]
    rows = []
    for case, out, bare in zip(prepared, outputs, bundle.run(alone), strict=True):
        _, height, width = case.mask.shape
        inside = case.mask > 0.5
        size = np.abs(upsample(out.maps[..., k], (height, width), smooth=False))
        total = float(size.sum())
        share = float(size[inside].sum()) / total if total else np.nan
        parts = np.concatenate(
            [out.bias[k : k + 1], out.maps[..., k].ravel(), out.concepts[:, k]]
        ).astype(np.float64)
        gap = abs(float(parts.sum() - out.logit[k])) / max(1.0, float(np.abs(parts).sum()))
        rows.append((share, inside.mean(), abs(float(out.logit[k] - bare.logit[k])), gap))
    columns = np.asarray(rows, dtype=np.float64).reshape(-1, 4).T
    return columns[0], columns[1], columns[2], columns[3]


def _gain(
    values: Sequence[float], groups: Sequence[str], rounds: int, rng: np.random.Generator
) -> dict[str, Any]:
    gains = np.asarray(values, dtype=np.float64)
    share = float((gains > 0).mean()) if gains.size else None
    return {**_interval(gains, groups, rounds, rng), "share": share}


def _interval(
    values: NDArray[Any], groups: Sequence[str], rounds: int, rng: np.random.Generator
) -> dict[str, float | None]:
    """Mean with its 95 % percentile bootstrap interval over groups; NaN left out."""
    keep = np.isfinite(np.asarray(values, dtype=np.float64))
    if not keep.any():
        return {"value": None, "low": None, "high": None}
    names = np.unique(np.asarray(groups)[keep], return_inverse=True)[1]
    total = np.bincount(names, weights=values[keep])
    count = np.bincount(names)
    drawn = rng.integers(len(total), size=(rounds, len(total)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"value": float(values[keep].mean()), "low": float(low), "high": float(high)}


def _mean_curves(curves: Sequence[OrderCurves]) -> dict[str, list[float]]:
    """Mean change of the logit against the whole (deletion) or blank (insertion) image."""
    names = ("deletion", "deletion_random", "insertion", "insertion_random")
    if not curves:
        return {}
    means = {
        name: np.mean(
            [np.interp(GRID, c.share, getattr(c, name) - getattr(c, name)[0]) for c in curves],
            axis=0,
        )
        for name in names
    }
    return {"share": GRID.tolist(), **{name: mean.tolist() for name, mean in means.items()}}
