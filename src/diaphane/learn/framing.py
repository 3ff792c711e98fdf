"""What of a case the network sees: recipe, frame, mask, concepts; from the fingerprint alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from diaphane.learn import settings
from diaphane.learn.facts import Fingerprint

_MARKED = 96
"""Largest side of a frame around what is marked; larger things are made smaller."""
_ROUND = 1.05
"""Images whose height to width differs by less are brought to one size."""


@dataclass(frozen=True)
class Framing:
    """``InputSpec`` values, steps of the recipe, and reasons."""

    spec: dict[str, Any]
    steps: list[dict[str, Any]]
    why: dict[str, str]


def frame(facts: Fingerprint, *, most: int) -> Framing:
    """Decide the frame and the recipe.

    Parameters
    ----------
    most:
        Largest side of a frame, in prepared pixels.
    """
    kind = "image" if facts.slices["high"] == 1 else "sequence"
    mask = "given" if facts.masks else "foreground" if facts.outlined else "none"
    channels = facts.channels if facts.coloured else 1
    steps, about = _intensity(facts, channels)
    pixel: float | None = None
    if mask == "none":
        size, resize, text = _whole(facts, most)
        steps += resize
        why = f"no masks: the whole image is judged, {text}"
    else:
        size, resize, pixel, text = _marked(facts, mask, most)
        steps += resize
        why = {
            "given": "cases have masks: cropped to the mask, which is what is judged",
            "foreground": "images are black outside an outline, so that is what is judged",
        }[mask] + text
    if kind == "sequence":
        why += (
            f"; {facts.slices['low']:.0f} to {facts.slices['high']:.0f} slices a case, "
            f"evenly thinned to {_slices(facts, kind)} at most"
        )
    spec = {
        "kind": kind,
        "channels": channels,
        "size": list(size),
        "max_slices": _slices(facts, kind),
        "mask": mask,
        "concepts": list(settings.CONCEPTS) if mask != "none" and channels == 1 else [],
        "pixel_mm": pixel,
    }
    return Framing(spec, steps, {"recipe": about, "input": why})


def _slices(facts: Fingerprint, kind: str) -> int:
    if kind == "image":
        return 1
    least = 8 if facts.masks or facts.outlined else 1
    wanted = max(least, facts.slices["median"] * (2 if least > 1 else 1))
    return int(min(settings.MOST_SLICES, max(2, math.ceil(wanted))))


def _intensity(facts: Fingerprint, channels: int) -> tuple[list[dict[str, Any]], str]:
    steps: list[dict[str, Any]] = []
    if channels == 1 and facts.unit != "HU":
        steps.append({"grey": {}})  # files saved as colour are read like the others
    if facts.unit == "HU":
        inside = (facts.intensity["inside"] or facts.intensity["all"])[0]
        low = max(-1000.0, 50.0 * math.floor(inside["p0_5"] / 50.0))
        high = min(2000.0, max(low + 200.0, 50.0 * math.ceil(inside["p99_5"] / 50.0)))
        steps.append({"window": {"level": (low + high) / 2, "width": high - low}})
        return steps, f"CT in HU: a window over what is judged, {low:.0f} to {high:.0f} HU"
    if facts.eight_bit:
        steps.append({"rescale_intensity": {"in_low": 0.0, "in_high": 255.0}})
        return steps, "8-bit values to 0..1"
    steps.append({"percentile": {"low": 1.0, "high": 99.0}})
    return steps, "arbitrary units: each image from its 1st to 99th percentile"


def _whole(facts: Fingerprint, most: int) -> tuple[tuple[int, int], list[dict[str, Any]], str]:
    """Frame, resizing and reason for whole images."""
    height, width, aspect = facts.height, facts.width, facts.aspect
    longest = max(height["median"], width["median"])
    same = height["low"] == height["high"] and width["low"] == width["high"]
    if same and settings.SIDES[0] <= longest <= most:
        size = _padded(int(height["median"]), int(width["median"]))
        return size, [], "as it is"
    side = max((s for s in settings.SIDES if s <= min(most, longest)), default=settings.SIDES[0])
    if aspect["high"] <= _ROUND * aspect["low"]:
        ratio = aspect["median"]
        tall = side if ratio >= 1 else max(1, round(side * ratio))
        wide = side if ratio <= 1 else max(1, round(side / ratio))
        step = {"resize": {"size": [tall, wide]}}
        return _padded(tall, wide), [step], f"brought to {tall} x {wide}"
    tall = side if aspect["high"] >= 1 else math.ceil(side * aspect["high"])
    wide = side if aspect["low"] <= 1 else math.ceil(side / aspect["low"])
    said = f"its longer side brought to {side}, the shape kept"
    return _padded(tall, wide), [{"resize": {"longest": side}}], said


def _marked(
    facts: Fingerprint, mask: str, most: int
) -> tuple[tuple[int, int], list[dict[str, Any]], float | None, str]:
    """Frame, resizing, pixel size and reason for what is marked in an image."""
    assert facts.mask_extent is not None
    steps: list[dict[str, Any]] = []
    extent, pixel, text = float(max(facts.mask_extent)), None, ""
    rows, across = facts.spacings[1], facts.spacings[2]
    if rows is not None and across is not None and facts.mask_extent_mm is not None:
        vary = max(rows["high"], across["high"]) > 1.02 * min(rows["low"], across["low"])
        pixel = float(f"{(rows['median'] * across['median']) ** 0.5:.4g}")
        if vary:
            extent = max(facts.mask_extent_mm) / pixel
            steps.append({"resample": {"spacing": [None, pixel, pixel]}})
            text = f"; pixel sizes differ, so all are brought to {pixel:g} mm"
    extent *= 1.0 if mask == "foreground" else 1.25
    largest = min(_MARKED, most)
    side = next((s for s in settings.SIDES if s >= min(extent, largest)), largest)
    if extent > 1.5 * side:
        longest = max(facts.height["median"], facts.width["median"])
        factor = side / extent
        if pixel is not None:
            coarse = float(f"{pixel / factor:.4g}")
            steps = [{"resample": {"spacing": [None, coarse, coarse]}}]
            text = f"; brought to {coarse:g} mm, so that it fits"
            pixel = coarse
        else:
            steps.append({"resize": {"longest": max(16, round(longest * factor))}})
            text = "; made smaller, so that it fits"
    return _padded(side, side), steps, pixel, text


def _padded(height: int, width: int) -> tuple[int, int]:
    """The frame that holds so much and is a multiple of the network's stride."""
    stride = settings.stride(max(height, width))
    return math.ceil(height / stride) * stride, math.ceil(width / stride) * stride
