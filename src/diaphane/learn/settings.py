"""What a classification plan starts from, by the kind and number of cases: tables, little else.

Whoever measures a better setting changes it here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Situation:
    """What settings depend on.

    Attributes
    ----------
    kind:
        "image" or "sequence" (slices, or a volume).
    cases:
        That a network learns from.
    size:
        Height and width of the frame in prepared pixels.
    slices:
        Median of a case.
    isotropic:
        Slices are at most twice as far apart as pixels, or nothing is known of it.
    channels:
        Of the network's input.
    outlined:
        Images are black outside an outline, which is what is judged.
    measured:
        Concepts are measured on a mask or outline.
    flip_x, flip_y, transpose:
        Which mirrorings leave images and labels what they are.
    """

    kind: str
    cases: int
    size: tuple[int, int]
    slices: float = 1.0
    isotropic: bool = True
    channels: int = 1
    outlined: bool = False
    measured: bool = False
    flip_x: bool = True
    flip_y: bool = False
    transpose: bool = False


SIDES = (16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 192, 224)
"""Sides of a frame that whole images are brought to."""
LARGEST = {"image": 160, "sequence": 128}
LARGEST_OF_MANY = 128
"""Largest side of more than ``MANY`` cases."""
MANY = 1500
MOST_SLICES = 32
CONCEPT_SETS: dict[str, tuple[str, ...]] = {
    "shape": (
        "log_area", "solidity", "elongation", "median_intensity", "intensity_spread",
        "margin_step",
    ),
    "margin": (
        "log_area", "diameter", "bright_share", "low_intensity", "median_intensity",
        "margin_step", "rim_contrast",
    ),
}  # fmt: skip
"""Measured on masks or outlines of grey images; one set is chosen by cross-validation."""
CONCEPTS = tuple(dict.fromkeys(name for names in CONCEPT_SETS.values() for name in names))

_ENCODERS: tuple[tuple[int, Values], ...] = (
    # Up to which side of the frame, and what reads it.
    # Five of the first fit into 5 MB.
    (32, {"widths": [32, 64, 88], "strides": [2, 2, 1], "stem": 16}),
    (64, {"widths": [24, 48, 96], "strides": [2, 2, 2], "stem": 0}),
    (128, {"widths": [16, 32, 64, 96], "strides": [2, 2, 2, 2], "stem": 0}),
    (10_000, {"widths": [16, 32, 64, 96, 128], "strides": [2, 2, 2, 2, 2], "stem": 0}),
)
_SLICE_ENCODERS: tuple[tuple[int, Values], ...] = (
    # A case is many slices, so each must cost less.
    (32, {"widths": [16, 32, 64], "strides": [2, 2, 1], "stem": 0}),
    (64, {"widths": [16, 32, 64], "strides": [2, 2, 2], "stem": 0}),
    (10_000, {"widths": [16, 24, 48, 64], "strides": [2, 2, 2, 2], "stem": 0}),
)
_DEEP_ENCODERS: tuple[tuple[int, Values], ...] = (
    (32, {"widths": [16, 32, 64], "strides": [2, 2, 1], "depth_strides": [2, 2, 1], "stem": 0}),
    (64, {"widths": [16, 32, 64], "strides": [2, 2, 2], "depth_strides": [2, 2, 2], "stem": 0}),
    (
        10_000,
        {
            "widths": [16, 32, 64, 96],
            "strides": [2, 2, 2, 2],
            "depth_strides": [2, 2, 2, 1],
            "stem": 0,
        },
    ),
)
_OPTIMISER: Values = {
    "learning_rate": 4e-3,
    "weight_decay": 0.05,
    "warmup": 0.1,
    "clip": 2.0,
    "ema": 0.99,
}
CONCEPT_FIT: Values = {"first": True, "freeze": True, "apart": True, "image_share": None}
"""An image part that learned with the concepts at its side learned little (LIDC nodules)."""
_BATCHES = ((3000, 32), (20_000, 64), (10**9, 128))
"""Fewer than so many cases: batch."""
_STEPS = ((1000, 1000), (3000, 2000), (10_000, 4000), (30_000, 6000), (10**9, 10_000))
"""Fewer than so many cases: steps of the optimiser."""
_VERSIONS = 4
"""Turned versions of a case whose concepts are measured anew."""
_WHOLE: Values = {
    "rotation": 15.0, "scale": 0.15, "stretch": 0.1, "shift": 0.08, "thinning": 0.0,
    "brightness": 0.1, "contrast": 0.2, "gamma": 0.2, "noise": 0.03,
}  # fmt: skip
_OUTLINED: Values = {
    "rotation": 30.0, "scale": 0.14, "shift": 0.0, "thinning": 0.2,
    "brightness": 0.06, "contrast": 0.0, "gamma": 0.2, "noise": 0.0,
}  # fmt: skip


def network(case: Situation) -> Values:
    """Values of ``NetworkPlan``: the first family."""
    image = case.kind == "image"
    return {
        **_first(_ENCODERS if image else _SLICE_ENCODERS, max(case.size)),
        "norm": "group" if batch(case) < 8 else "batch",
        "activation": "relu",
        "rnn": "none" if image else "gru",
        "sequence": "slices",
        "hidden": 16,
        "dropout": 0.2,
    }


def families(case: Situation) -> dict[str, Values]:
    """Networks to choose from, as changes to the plan; the first one is the plan's own."""
    if case.kind == "image":
        return {
            "cnn": {},
            "cnn-rnn": {"network": {"rnn": "gru", "sequence": "rows"}},
        }
    if case.slices < 3:
        return {"cnn-rnn": {}, "cnn": {"network": {"rnn": "none"}}}
    deep = dict(_first(_DEEP_ENCODERS, max(case.size)))
    if case.slices < 16 or not case.isotropic:
        deep["depth_strides"] = [1] * len(deep["widths"])
    return {"cnn-rnn": {}, "cnn-3d": {"network": {**deep, "encoder": "3d", "rnn": "none"}}}


def batch(case: Situation) -> int:
    """Cases a step; a quarter of the set where it is tiny."""
    size = next(size for fewer, size in _BATCHES if case.cases < fewer)
    return max(2, min(size, case.cases // 4))


def steps(case: Situation) -> int:
    """Steps of the optimiser, each of :func:`batch` cases."""
    return next(steps for fewer, steps in _STEPS if case.cases < fewer)


def augmentation(case: Situation, time_budget: float | None = None) -> Values:
    """Values of ``Augmentation``.

    Parameters
    ----------
    time_budget:
        Seconds that training may take; making versions of cases takes a tenth of them at most.
    """
    square = case.size[0] == case.size[1]
    free = case.flip_y and case.transpose
    chosen = {
        **(_OUTLINED if case.outlined else _WHOLE),
        "flip_x": case.flip_x,
        "flip_y": case.flip_y,
        "transpose": case.transpose and square,
    }
    if free:
        chosen |= {"rotation": 180.0, "flip_z": case.kind != "image"}
    if case.channels > 1:
        chosen["tint"] = 0.05
    versions = _VERSIONS if case.measured else 0
    if versions and time_budget is not None:
        pixels = max(1.0, math.prod(case.size) / 800) * max(1.0, case.slices)
        each = case.cases * (1e-3 + 2e-4 * pixels)
        versions = min(versions, int(0.1 * time_budget / each))
    return {**chosen, "versions": versions}


def further(case: Situation) -> Values:
    """Other keys of a plan: concepts, optimiser, stopping, views."""
    flips = augmentation(case)
    views = ["as_is"]
    if flips["flip_x"]:
        views.append("flip_x")
    if flips["flip_x"] and flips["flip_y"]:
        views += ["flip_y", "turn"]
    return {
        **({"concept_fit": CONCEPT_FIT} if case.measured else {}),
        "optimiser": _OPTIMISER,
        "smoothing": 0.05,
        "mixup": 0.0,
        "stopping": {"share": 0.0, "patience": 12},
        "views": views,
    }


def stride(side: int) -> int:
    """Total stride of what reads a frame of that side, whichever family it is of."""
    tables = (_ENCODERS, _SLICE_ENCODERS, _DEEP_ENCODERS)
    strides = [_first(rows, side)["strides"] for rows in tables]
    return math.lcm(*(math.prod(each) for each in strides))


def _first(rows: tuple[tuple[int, Values], ...], side: int) -> Values:
    return next(values for most, values in rows if side <= most)
