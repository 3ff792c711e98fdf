"""What the page shows of the evidence: colours, slices, and the sum of contributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.finding import ConceptEvidence, Evidence
from diaphane.core.thumbnail import data_uri
from diaphane.report import charts
from diaphane.report.language import Language
from diaphane.report.pictures import grey, heat, outlines, spread
from diaphane.report.sheets import Sheet, sample

SHOWN_SLICES = 12
SHOWN_CONCEPTS = 9
WEAKEST_FULL = 0.5
"""Contribution of a mask wholly in full colour, at the least, in logit."""
CONCEPT_UNITS: Mapping[str, str] = {
    "diameter": "px",
    "short_axis": "px",
    "equivalent_diameter": "px",
    "drift": "px",
    "area": "px2",
    "volume": "px3",
    "log_area": "px2",
    "log_volume": "px3",
}
"""Units of the concepts of ``measure`` that have one; the others are pure numbers.

Logarithms are shown as what they are the logarithm of.
"""


@dataclass(frozen=True, eq=False)
class Layer:
    """Contributions as a coloured layer over anything.

    Attributes
    ----------
    maps:
        ``(t, H, W)`` on the prepared pixels, each cell's sum preserved.
    top:
        Contribution of a prepared pixel at full colour.
    """

    maps: NDArray[np.float32]
    top: float
    placement: NDArray[np.float64] | None

    @classmethod
    def of(cls, evidence: Evidence) -> Layer:
        """The layer of a finding's evidence."""
        size = (int(evidence.image.shape[-2]), int(evidence.image.shape[-1]))
        maps = spread(np.asarray(evidence.maps, dtype=np.float32), size)
        # Weak evidence must look weak: full colour all over the mask would be WEAKEST_FULL.
        floor = WEAKEST_FULL / max(float(np.sum(evidence.mask)), 1.0)
        top = max(float(np.abs(maps).max(initial=0.0)), floor)
        return cls(maps, top, evidence.placement)

    def over(self, sheet: Sheet) -> str:
        """The layer on a native sheet; empty where the evidence has no place there."""
        if self.placement is None:
            return ""
        inverse = np.linalg.inv(self.placement)
        at = np.tensordot(inverse[:3, :3], sheet.coordinates(), 1) + inverse[:3, 3, None, None]
        return heat(sample(self.maps, at), self.top)

    def over_slice(self, t: int) -> str:
        """The layer on prepared slice ``t``."""
        return heat(self.maps[t], self.top)


def slices_of(evidence: Evidence, layer: Layer, lang: Language) -> list[dict[str, Any]]:
    """Prepared slices with their layer, outline and weight; the heaviest when there are many."""
    weights = np.asarray(evidence.attention, dtype=np.float64)
    image, mask = np.asarray(evidence.image), np.asarray(evidence.mask)
    chosen = sorted(np.argsort(-weights, kind="stable")[:SHOWN_SLICES].tolist())
    low, high = float(np.nanmin(image)), float(np.nanmax(image))
    sums = np.asarray(evidence.maps, dtype=np.float64).sum(axis=(1, 2))
    digits = 2 if np.abs(sums).max(initial=0.0) >= 0.1 else 3
    height, width = image.shape[-2:]
    # A mask over everything says nothing; its outline would be a frame.
    bounded = mask.shape == image.shape and float(mask.mean()) < 0.98
    return [
        {
            "number": lang.number(t + 1),
            "image": data_uri(grey(image[t], low, high)),
            "evidence": layer.over_slice(t),
            "outlines": outlines(mask[t]) if bounded else (),
            "width": width,
            "height": height,
            "weight": lang.percent(float(weights[t])),
            "share": round(float(weights[t] / weights.max()) * 100, 1) if weights.max() > 0 else 0,
            "strongest": bool(t == int(weights.argmax()) and weights[t] > 1.05 * weights.mean()),
            "sum": lang.signed(float(sums[t]), digits),
            "sign": _sign(round(float(sums[t]), digits)),
        }
        for t in chosen
    ]


def _sign(value: float) -> str:
    return "raises" if value > 0 else "lowers" if value < 0 else "neither"


def concept_value(concept: ConceptEvidence, pixel_mm: float | None, lang: Language) -> str:
    """A concept's value with its unit, in millimetres where the pixel's size is known."""
    if concept.value is None or not np.isfinite(concept.value):
        return lang.text("not given")
    return _in_units(float(concept.value), concept.name, pixel_mm, lang)


def _in_units(
    value: float, name: str, pixel_mm: float | None, lang: Language, figures: int = 3
) -> str:
    unit = CONCEPT_UNITS.get(name, "")
    if name.startswith("log_"):
        value = float(np.exp(min(value, 60.0)))
    if pixel_mm and unit in ("px", "px2"):
        value, unit = value * pixel_mm ** (1 if unit == "px" else 2), unit.replace("px", "mm")
    return f"{lang.significant(value, figures)} {unit_name(unit)}".strip()


def unit_name(unit: str) -> str:
    """A UCUM unit as it is printed."""
    names = {
        "1": "",
        "mm2": "mm²",
        "mm3": "mm³",
        "px2": "px²",
        "px3": "px³",
        "[hnsf'U]": "HU",
        "cm3": "cm³",
    }
    return names.get(unit, unit)


def contribution_chart(evidence: Evidence, lang: Language) -> str:
    """The waterfall from the bias over image and concepts to the logit."""
    ordered = sorted(evidence.concepts, key=lambda concept: -abs(concept.contribution))
    shown, rest = ordered[:SHOWN_CONCEPTS], ordered[SHOWN_CONCEPTS:]
    steps = [
        charts.Step(lang.text("Starting point"), lang.text("bias"), evidence.bias),
        charts.Step(lang.text("Image"), lang.text("all slices"), evidence.image_contribution),
    ]
    steps += [
        charts.Step(
            lang.say("concept", concept.name),
            concept_value(concept, evidence.pixel_mm, lang),
            concept.contribution,
        )
        for concept in shown
    ]
    if rest:
        label = lang.count("%(n)s more quantity", "%(n)s more quantities", len(rest))
        steps.append(charts.Step(label, "", sum(concept.contribution for concept in rest)))
    return charts.waterfall(
        steps,
        total=charts.Step(lang.text("Score"), lang.text("logit"), evidence.logit),
        title=lang.text("Contributions that add up to the score"),
        description="; ".join(f"{step.label} {lang.signed(step.amount)}" for step in steps)
        + f"; {lang.text('Score')} {lang.number(evidence.logit, 2)}",
        number=lang.number,
    )


def shape_curves(
    evidence: Evidence, curves: Mapping[str, Any], lang: Language
) -> list[dict[str, str]]:
    """Small curves of the concepts that the bundle gives a shape for, strongest first.

    ``curves`` is concept -> ``{"x": [...], "y": [...]}`` or a list of ``[x, y]``; for several
    classes, the class stands in between.
    """
    found: list[tuple[ConceptEvidence, list[tuple[float, float]]]] = []
    for concept in sorted(evidence.concepts, key=lambda concept: -abs(concept.contribution)):
        points = curve_points(curves.get(concept.name), evidence.target)
        if len(points) > 1:
            found.append((concept, points))
    found = found[:8]
    if not found:
        return []
    ys = [y for _, points in found for _, y in points]
    ys += [concept.contribution for concept, _ in found] + [0.0]
    room = 0.08 * ((max(ys) - min(ys)) or 1.0)
    return [
        {
            "label": lang.say("concept", concept.name),
            "value": concept_value(concept, evidence.pixel_mm, lang),
            "chart": charts.shape_curve(
                points,
                title=lang.say("concept", concept.name),
                here=None
                if concept.value is None
                else (float(concept.value), concept.contribution),
                y_range=(min(ys) - room, max(ys) + room),
                words=_ends(concept.name, evidence.pixel_mm, lang),
            ),
        }
        for concept, points in found
    ]


def _ends(name: str, pixel_mm: float | None, lang: Language) -> Callable[[float], str]:
    def words(value: float) -> str:
        return _in_units(value, name, pixel_mm, lang, figures=2)

    return words


def curve_points(data: Any, target: str = "") -> list[tuple[float, float]]:
    """Points of a curve given as ``{"x", "y"}``, as pairs, or by class."""
    if isinstance(data, Mapping):
        if target in data:
            return curve_points(data[target])
        xs, ys = data.get("x"), data.get("y")
        if xs is None or ys is None:
            return []
        if len(ys) and isinstance(ys[0], (list, tuple)):  # one column a class: the first
            ys = [row[0] for row in ys]
        return [(float(x), float(y)) for x, y in zip(xs, ys, strict=False)]
    if isinstance(data, (list, tuple)):
        return [(float(p[0]), float(p[1])) for p in data if len(p) >= 2]
    return []


def reach(evidence: Evidence, lang: Language) -> str:
    """A sentence on how fine the evidence is: grid and receptive field."""
    t, h, w = (int(n) for n in evidence.maps.shape)
    grid = lang.text("Grid: %(t)s slices of %(h)s × %(w)s cells.", t=t, h=h, w=w)
    if t == 1:
        grid = lang.text("Grid: %(h)s × %(w)s cells.", h=h, w=w)
    cell, seen = evidence.image.shape[-1] / w, evidence.receptive_field
    scale, unit = (evidence.pixel_mm, "mm") if evidence.pixel_mm else (1.0, "px")
    if seen is None:
        wide = f"{lang.significant(cell * scale, 2)} {unit}"
        return grid + lang.gap + lang.text("A cell is %(cell)s wide.", cell=wide)
    return (
        grid
        + lang.gap
        + lang.text(
            "A cell is %(cell)s wide and sees %(seen)s around it.",
            cell=f"{lang.significant(cell * scale, 2)} {unit}",
            seen=f"{lang.significant(seen * scale, 2)} {unit}",
        )
    )
