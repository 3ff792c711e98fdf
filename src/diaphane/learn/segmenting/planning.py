"""From the facts of masks to a plan of segmentation, each decision with its reason."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from diaphane.core.errors import DatasetError
from diaphane.learn.facts import Fingerprint, SegmentationFacts

_VOXELS = 110_000
"""Voxels of a patch of a volume: about a second of one core a step."""
_MOST_VOXELS = 130_000
"""Of a patch, once its sides are multiples of the strides."""
_WHOLE = 3_000_000
"""Voxels of a whole volume above which it is looked at coarser, where labels are thick enough."""
_FINE = 6.0
"""Voxels that the thinnest label shall keep when an image is made coarser."""


@dataclass(frozen=True)
class _Grid:
    """The recipe's steps, and the median shape ``(z, y, x)`` and relative steps that they leave."""

    steps: list[dict[str, Any]]
    shape: tuple[float, float, float]
    spacing: tuple[float, float, float]
    why: str


def decide_segmentation(facts: Fingerprint, *, name: str) -> tuple[dict[str, Any], list[str]]:
    """Values of a ``SegmentationPlan``, and sentences about guesses; pure.

    Raises
    ------
    DatasetError
        There are no masks, or no label in them.
    """
    seg = facts.segmentation
    if seg is None or not any(seg.cases.values()):
        raise DatasetError(
            "All masks are empty, so there is nothing to learn.",
            remedy="Give masks whose structures have values above 0.",
        )
    flat = seg.shapes[0]["median"] < 4
    measured = [value for value in seg.thickness.values() if math.isfinite(value)]
    thin = min(measured, default=math.inf)
    why: dict[str, str] = {}
    said: list[str] = []
    grid = _image_grid(seg, thin) if flat else _volume_grid(seg, thin)
    scale, pad, why_scale = _intensity(seg)
    why["recipe"] = f"{grid.why} {why_scale}"
    patch, strides, batch = _patch(grid, thin, flat=flat)
    why["patch"] = (
        "small patches, several a step: the structures are thin and need little around them."
        if flat and batch > 2
        else "as much of a median image as a step can afford, in multiples of the total stride."
    )
    why["network"] = (
        "a 2-D residual U-Net" + ("." if seg.shapes[0]["high"] <= 1 else ": few slices.")
        if flat
        else "a 3-D residual U-Net; kernels stay in the plane while slices are far apart. "
        "network.kind cnn_gru (with strides of 1 along z) is its peer."
    )
    sided = any(re.search(r"left|right|\bl\b|\br\b|_l$|_r$", label.lower()) for label in seg.labels)
    mirror = [] if sided else ["x"]
    if flat and facts.coloured and not sided:
        mirror = ["y", "x"]
    why["mirror"] = (
        "labels name sides." if sided
        else "photographs have no canonical side." if len(mirror) > 1
        else "left and right are mirror images; nothing else is assumed."
    )  # fmt: skip
    foreground = sum(seg.share.values())
    groups = facts.groups
    folds = 3 if groups >= 9 and not facts.splits.get("test") else 1
    why["folds"] = f"{groups} group{'' if groups == 1 else 's'}" + (
        "; three networks, each judged on the third it never saw, are averaged." if folds > 1
        else ": one network, and nothing to judge it on." if groups == 1
        else ": one network, judged on what is held back."
    )  # fmt: skip
    if seg.empty:
        said.append(f"note: {seg.empty} cases have an empty mask; they are learned as background.")
    if seg.unmasked:
        said.append(f"note: {seg.unmasked} cases have no mask and are left out.")
    never = [label for label, n in seg.cases.items() if not n]
    if never:
        said.append(f"warning: no case has {', '.join(map(repr, never))}; it cannot be learnt.")
    rare = [label for label, n in seg.cases.items() if 0 < n < 5]
    if rare:
        few = ", ".join(f"'{label}' ({seg.cases[label]})" for label in rare)
        said.append(f"warning: few cases have {few}; figures of it will be uncertain.")
    isotropic = max(grid.spacing) < 2.0 * min(grid.spacing)
    fine = thin < _FINE
    values: dict[str, Any] = {
        "name": name,
        "task": "segmentation",
        "labels": dict(seg.labels),
        "channels": seg.channels,
        "recipe": {"version": 1, "name": "planned", "steps": [*grid.steps, *scale]},
        "network": {
            "kind": "unet2d" if flat else "unet3d",
            "widths": _widths(len(strides) + 1, flat=flat),
            "strides": strides,
            "deep_supervision": 2 if len(strides) > 2 else 1 if len(strides) > 1 else 0,
            "stem": "residual" if flat else "plain",
        },
        "patch": patch,
        "pad": pad,
        "batch": batch,
        "foreground": 0.5 if foreground < 0.05 else 0.33,
        "steps": 2000 if flat else 1500,
        "look_every": 100,
        "optimiser": {"learning_rate": 3e-3, "ema": 0.99, "clip": 5.0, "warmup": 0.03},
        "augmentation": {
            "mirror": mirror,
            "rotation": 30.0 if flat and len(mirror) > 1 else 15.0,
            "tilt": 12.0 if not flat and isotropic else 0.0,
            "scale": 0.2 if flat else 0.15,
            "brightness": 0.15,
            "contrast": 0.2,
            "gamma": 0.3,
            "noise": 0.1,
            # Blur would wash out lines of a pixel or two.
            "blur": 0.0 if fine and flat else 0.6,
            "share": 0.6,
        },
        "overlap": 0.5,
        "mirror": mirror,
        "folds": folds,
        "intended_use": "Research only. Outlines what its training masks outline, on images like "
        "those it was trained on.",
    }
    why["foreground"] = f"labels fill {foreground:.1%} of the images; each label gets its turn."
    values["reasons"] = why
    return values, said


def _image_grid(seg: SegmentationFacts, thin: float) -> _Grid:
    """Pictures stay as they are, unless they are large and what they show is thick."""
    height, width = seg.shapes[1]["median"], seg.shapes[2]["median"]
    longest = max(height, width)
    factor = min(1.0, max(_FINE / max(thin, 1.0), 384.0 / longest))
    if factor > 0.8:
        return _Grid(
            [], (1.0, height, width), (1.0, 1.0, 1.0),
            f"Pixels stay as they are: the thinnest label is about {thin:.1f} wide.",
        )  # fmt: skip
    side = max(32, round(longest * factor))
    return _Grid(
        [{"resize": {"longest": side}}],
        (1.0, height * factor, width * factor),
        (1.0, 1.0, 1.0),
        f"The longer side becomes {side} pixels: the thinnest label is about {thin:.0f} wide and "
        "stays wide enough, and a network sees more around it.",
    )


def _volume_grid(seg: SegmentationFacts, thin: float) -> _Grid:
    """Volumes go to their median spacing, coarser where they are large and labels thick."""
    known = [spread for spread in seg.spacings if spread is not None]
    shape = [seg.shapes[a]["median"] for a in range(3)]
    if len(known) < 3:
        return _Grid(
            [], (shape[0], shape[1], shape[2]), (max(1.0, seg.anisotropy), 1.0, 1.0),
            "Voxels stay as they are: not every case states its spacing.",
        )  # fmt: skip
    spacing = [float(spread["median"]) for spread in known]
    voxels = math.prod(shape)
    factor = 1.0
    if voxels > _WHOLE:
        factor = min((voxels / _WHOLE) ** (1 / 3), max(1.0, thin / _FINE))
    wanted = list(spacing)
    if factor > 1.15:
        # In the plane first; slices that are thicker than the new pixels stay.
        plane = [spacing[1] * factor, spacing[2] * factor]
        wanted = [max(spacing[0], min(spacing[0] * factor, *plane)), *plane]
    wanted = [float(f"{v:.3g}") for v in wanted]
    left = [n * a / b for n, a, b in zip(shape, spacing, wanted, strict=True)]
    text = " x ".join(f"{v:g}" for v in wanted)
    why = f"All cases go to {text} mm (z, y, x), their median spacing"
    why += (
        f" times {factor:.1f}: they are large, and labels thick enough." if factor > 1.15 else "."
    )
    return _Grid(
        [{"orient": {"axes": "LPS"}}, {"resample": {"spacing": wanted}}],
        (left[0], left[1], left[2]),
        (wanted[0], wanted[1], wanted[2]),
        why,
    )


def _intensity(seg: SegmentationFacts) -> tuple[list[dict[str, Any]], float, str]:
    """Steps for the voxel values, what padding is worth after them, and why."""
    inside = seg.intensity.get("inside") or []
    if seg.unit == "HU" and len(inside) == 1 and inside[0].get("std", 0.0) > 1e-6:
        row = inside[0]
        low, high = float(row["p0_5"]), float(row["p99_5"])
        mean, std = float(row["mean"]), float(row["std"])
        if high - low > 1e-6:
            steps = [
                {"clip": {"low": round(low, 1), "high": round(high, 1)}},
                {
                    "rescale_intensity": {
                        "in_low": round(mean, 3), "in_high": round(mean + std, 3),
                        "out_low": 0.0, "out_high": 1.0, "clipped": False,
                    }
                },
            ]  # fmt: skip
            return (
                steps,
                round((low - mean) / std, 4),
                ("HU are clipped to what lies within the masks and scaled by its mean and spread."),
            )
    return (
        [{"zscore": {"within": "image"}}],
        0.0,
        ("Each image goes by its own mean and spread, since its values have no fixed scale."),
    )


def _patch(grid: _Grid, thin: float, *, flat: bool) -> tuple[list[int], list[list[int]], int]:
    """Patch, strides and batch."""
    shape = [max(1.0, n) for n in grid.shape]
    if flat:
        shape[0] = 1.0
        longest = max(shape[1:])
        side, batch = (128.0, 4) if thin < _FINE and longest > 256 else (224.0, 2)
        aim = [1.0, min(side, shape[1]), min(side, shape[2])]
    else:
        batch = 2
        aim = list(shape)
        while math.prod(aim) > _VOXELS:
            # The axis that reaches farthest in mm gives way.
            reach = [n * s for n, s in zip(aim, grid.spacing, strict=True)]
            axis = reach.index(max(reach))
            aim[axis] *= 0.95
    strides = _strides(aim, grid.spacing, 4 if flat else 3, flat=flat)
    total = [math.prod(step[a] for step in strides) for a in range(3)]
    patch = [max(t, _multiple(n, t)) for n, t in zip(aim, total, strict=True)]
    while not flat and math.prod(patch) > _MOST_VOXELS:  # rounding up may go too far
        longest_axis = max(range(3), key=lambda a: patch[a] - total[a])
        patch[longest_axis] -= total[longest_axis]
    return patch, strides, batch


def _multiple(length: float, step: int) -> int:
    """The nearest multiple; small images are padded rather than cut."""
    if length <= 4 * step:
        return math.ceil(length / step - 0.25) * step
    return round(length / step) * step


def _strides(
    size: list[float], spacing: tuple[float, float, float], most: int, *, flat: bool
) -> list[list[int]]:
    """Halve what is not yet coarser than the rest, while four voxels are left."""
    left, steps = list(size), list(spacing)
    strides: list[list[int]] = []
    while len(strides) < most:
        finest = min(steps[a] for a in range(3) if left[a] > 1) if max(left) > 1 else 1.0
        step = [
            2 if left[a] / 2 >= 3.5 and steps[a] < 2.0 * finest and not (flat and a == 0) else 1
            for a in range(3)
        ]
        if max(step) == 1:
            break
        strides.append(step)
        left = [n / s for n, s in zip(left, step, strict=True)]
        steps = [v * s for v, s in zip(steps, step, strict=True)]
    return strides or [[1, 1, 1]]


def _widths(levels: int, *, flat: bool) -> list[int]:
    whole = [16, 32, 64, 96, 128] if flat else [8, 32, 56, 80]
    return whole[:levels]
