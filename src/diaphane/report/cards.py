"""One finding, as the template shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.finding import Analysis, Assessment, Finding, RuleResult
from diaphane.report import charts, pictures
from diaphane.report.evidence_view import (
    Layer,
    contribution_chart,
    reach,
    shape_curves,
    slices_of,
    unit_name,
)
from diaphane.report.language import Language
from diaphane.report.sheets import Sheet, cut, planes

WHOLE_IMAGE_PIXELS = 640
ZOOM_PIXELS = 340
EXPECTED = "outline_expected"
"""How codes of notes begin that say what a predicted Dice means."""
LIDC_MEANINGS = ("lidc_suspicion", "lidc_suspicious")


def place_words(finding: Finding, lang: Language) -> str:
    """Where it lies: side, third, and what it touches, in words."""
    details = detail_words(finding, lang)
    return lang.pause.join([*filter(None, [side_words(finding, lang)]), *details])


def title_words(finding: Finding, lang: Language) -> str:
    """What it is; an outlined label by the data set's own name."""
    return finding.location.anatomy.get("label") or lang.say("finding", finding.code)


def side_words(finding: Finding, lang: Language) -> str:
    """Side and third only."""
    anatomy = finding.location.anatomy
    parts = [lang.say(kind, anatomy[kind]) for kind in ("side", "third") if anatomy.get(kind)]
    return lang.separator.join(parts)


def detail_words(finding: Finding, lang: Language) -> list[str]:
    """What else is known of its place, such as what it touches."""
    anatomy = finding.location.anatomy
    kinds = sorted(set(anatomy) - {"organ", "side", "third", "label"})
    return [lang.say(kind, anatomy[kind]) for kind in kinds if anatomy[kind]]


def is_whole_image(finding: Finding, analysis: Analysis) -> bool:
    """Whether it is a judgement of the image as a whole, not of a place in it."""
    if finding.origin == "whole_image":
        return True
    return finding.mask_label is None and finding.location.box == (0, 0, 0, *analysis.volume.shape)


def size_words(finding: Finding, lang: Language) -> str:
    """Long x short axis in whole units, or an empty string."""
    long, short = finding.measure("long_axis"), finding.measure("short_axis")
    if long is None:
        return ""
    unit = unit_name(long.unit)
    if short is None:
        return f"{lang.number(long.value)} {unit}"
    return f"{lang.number(long.value)} × {lang.number(short.value)} {unit}"


def measured_words(finding: Finding, code: str, lang: Language) -> str:
    """A measurement in whole units, or an empty string."""
    measurement = finding.measure(code)
    if measurement is None:
        return ""
    return f"{lang.number(measurement.value)} {unit_name(measurement.unit)}".strip()


def image_words(finding: Finding, analysis: Analysis, lang: Language) -> str:
    """Series and image number of the largest section."""
    number = finding.location.instance_number
    taken = next((s.number for s in analysis.series if s.taken), None)
    if number is None:
        slices = analysis.volume.shape[0]
        if slices == 1:
            return ""
        key = finding.location.key_slice + 1
        return lang.text("slice %(key)s of %(slices)s", key=key, slices=slices)
    if taken is None:
        return lang.text("image %(image)s", image=number)
    return lang.text("series %(series)s, image %(image)s", series=taken, image=number)


def class_words(name: str, meaning: str | None, lang: Language) -> str:
    """A class in words; the data set's own name where the table has none."""
    code = f"{meaning}.{name}"
    return lang.say("class", code) if lang.knows("class", code) else name


Limits = Sequence[tuple[str, Mapping[str, Any]]]


def reason_words(code: str, limits: Limits, lang: Language) -> str:
    """Why there is no probability, with the size that the app states as its limit."""
    stated = dict(limits).get("largest")
    if code == "larger_than_training" and stated:
        return lang.say("reason", f"{code}_of", stated)
    return lang.say("reason", code)


def verdict(assessment: Assessment, lang: Language, limits: Limits = ()) -> dict[str, Any]:
    """The probability in numbers and words, or why there is none.

    ``limits`` are those of the analysis; they tell sizes that a reason speaks of.
    """
    probability, positive = assessment.probability, assessment.positive
    meaning = assessment.meaning
    shown: dict[str, Any] = dict.fromkeys(("bars", "gauge", "set", "caution"), "")
    shown |= {"probability": None, "reasons": []}
    if not probability:
        known = [r for r in assessment.reasons if r not in ("no_classifier", "outline_only")]
        shown["headline"] = (
            lang.text("Outside what this model has seen") if known else lang.text("No probability")
        )
        if "outline_only" in assessment.reasons:
            shown["headline"] = lang.text("Outlined, not rated")
        shown["outside"] = bool(known)
        shown["reasons"] = [reason_words(code, limits, lang) for code in assessment.reasons]
        return shown
    names = {name: class_words(name, meaning, lang) for name in probability}
    if positive is not None and positive in probability and len(probability) <= 2:
        named, p = positive, float(probability[positive])
        words = names[positive]
        if meaning and lang.knows("meaning", meaning):
            words = lang.say("meaning", meaning)
        shown["headline"] = words
        shown["gauge"] = charts.gauge(
            p,
            title=words,
            description=lang.percent(p),
            ends=(lang.percent(0.0), lang.percent(1.0)),
        )
    else:
        named = max(probability, key=lambda name: float(probability[name]))
        p = float(probability[named])
        shown["headline"] = names[named]
    if len(probability) > 2 or positive not in probability:
        rows = sorted(probability.items(), key=lambda item: -float(item[1]))[:12]
        shown["bars"] = charts.bars(
            [(names[n], float(v), lang.percent(float(v), 1)) for n, v in rows],
            title=lang.text("Probability by class"),
            description="; ".join(f"{names[n]} {lang.percent(float(v), 1)}" for n, v in rows),
            highest=1.0,
        )
    shown["probability"] = lang.percent(p)
    shown["short"] = names[named]
    shown["share"] = round(p * 100, 1)
    if assessment.prediction_set:
        members = [names.get(n, n) for n in assessment.prediction_set]
        level = lang.percent(assessment.set_level) if assessment.set_level else ""
        shown["set_label"] = lang.text("Prediction set (%(level)s)", level=level)
        shown["set"] = members
        shown["undecided"] = len(members) > 1
    if meaning in LIDC_MEANINGS:
        shown["caution"] = lang.text(
            "How often radiologists rate nodules like this one 4 or 5: not a probability of cancer."
        )
    if assessment.unlike_training:
        shown["caution"] = lang.text("Unlike the training set: trust this number less.")
    return shown


def expected_words(finding: Finding, lang: Language) -> dict[str, str]:
    """Predicted Dice of an outline and what it means; empty strings where there is none."""
    guess = finding.measure("predicted_dice")
    notes = [lang.say("note", code) for code in finding.notes if code.startswith(EXPECTED)]
    return {
        "quality": "" if guess is None else lang.number(guess.value, 2),
        "expected": " ".join(notes),
    }


def rule_view(rule: RuleResult, lang: Language) -> dict[str, Any]:
    """A rule's box: what it is given, what it says, what it cannot know."""
    inputs, advice = [], []
    for name, value in rule.inputs.items():
        label = lang.say("input", name)
        if isinstance(value, str) and lang.knows("advice", value):
            advice.append((label, lang.say("advice", value)))
        else:
            words = lang.say("value", value) if isinstance(value, str) else lang.significant(value)
            inputs.append((label, words))
    if len({words for _, words in advice}) == 1 and len(advice) > 1:
        advice = [("", advice[0][1])]
    return {
        "name": lang.say("rule", rule.rule),
        "source": rule.source,
        "version": rule.version,
        "inputs": inputs,
        "outcome": lang.say("outcome", rule.outcome),
        "advice": advice,
        "unknown": [lang.say("unknown", code) for code in rule.unknown],
        "agrees": rule.agrees,
    }


def card(
    finding: Finding, place: int, analysis: Analysis, values: NDArray[Any], lang: Language
) -> dict[str, Any]:
    """Everything that the template shows of one finding.

    Parameters
    ----------
    place:
        Its number in the report, from 1.
    values:
        Voxels ``(z, y, x)`` of the study.
    """
    geometry = analysis.volume.geometry
    ranges = pictures.levels(analysis.volume, values)
    mask = None
    if finding.mask_label is not None and analysis.labels is not None:
        mask = analysis.labels == finding.mask_label
    layer = None if finding.evidence is None else Layer.of(finding.evidence)
    unsure = Unsure(analysis.uncertainty)
    centre = [float(finding.location.key_slice), *finding.location.centre_index[1:]]
    names = planes(geometry)
    box = pictures.body_box(analysis.volume, values)
    key = cut(geometry, names[0], centre, box=box, pixels=WHOLE_IMAGE_PIXELS)
    extent = _extent(finding, geometry.spacing)
    # A place that fills most of the picture needs no zoom; nor does an image without a place.
    sides = key.pixel * key.size[0], key.pixel * key.size[1]
    zoomed = (len(names) > 1 or extent < 0.8 * max(sides)) and not (
        finding.mask_label is None and is_whole_image(finding, analysis)
    )
    zooms = []
    if zoomed:
        for name in names:
            sheet = cut(geometry, name, centre, extent=extent, pixels=ZOOM_PIXELS)
            coarse = cut(geometry, name, centre, extent=extent, pixels=ZOOM_PIXELS // 2)
            colours = unsure.over(coarse) if layer is None else layer.over(coarse)
            zooms.append(pictures.paint(sheet, values, ranges, mask=mask, evidence=colours))
    frame = None
    if zoomed:
        x, y = key.place(centre)
        wide = extent / (key.size[1] * key.pixel)
        tall = extent / (key.size[0] * key.pixel)
        if max(wide, tall) < 1:  # a zoom that shows all of an axis would mark a stray line
            frame = (100 * (x - wide / 2), 100 * (y - tall / 2), 100 * wide, 100 * tall)
    colours = ""
    if not zooms:
        half = cut(geometry, names[0], centre, box=box, pixels=WHOLE_IMAGE_PIXELS // 2)
        colours = unsure.over(half) if layer is None else layer.over(half)
    evidence = (
        None
        if finding.evidence is None or layer is None
        else _evidence_view(finding, layer, analysis, lang)
    )
    return {
        "number": place,
        "id": f"finding-{place}",
        "title": title_words(finding, lang),
        "place": place_words(finding, lang),
        "origin": lang.say("origin", "reader") if finding.origin == "reader" else "",
        "size": size_words(finding, lang),
        "facts": _facts(finding, analysis, lang),
        "verdict": verdict(finding.assessment, lang, analysis.limits)
        | expected_words(finding, lang),
        "notes": [
            lang.say("note", code)
            for code in finding.notes
            if code != "rule_disagrees" and not code.startswith(EXPECTED)
        ],
        "picture": pictures.paint(key, values, ranges, mask=mask, frame=frame, evidence=colours),
        "zooms": zooms,
        "windows": list(ranges),
        "evidence": evidence,
        "unsure": layer is None and analysis.uncertainty is not None,
        "rules": [rule_view(rule, lang) for rule in finding.rules],
        "image": image_words(finding, analysis, lang),
    }


@dataclass(frozen=True, eq=False)
class Unsure:
    """How unsure the model was, drawn over pictures; ``values`` ``(z, y, x)`` or ``None``."""

    values: NDArray[Any] | None

    def over(self, sheet: Sheet) -> str:
        """A transparent layer for a sheet, empty where nothing is known."""
        if self.values is None:
            return ""
        # Below a fifth it is the haze of every outline's rim, and would hide the image.
        seen = np.clip(sheet.sample(self.values) - 0.2, 0, None)
        return pictures.heat(seen, 0.8)


def _extent(finding: Finding, spacing: tuple[float | None, ...]) -> float:
    """Side of the zooms: about 2.4 times the finding, at least 45 mm (64 pixels)."""
    known = spacing[1] is not None and spacing[2] is not None
    box = finding.location.box
    sides = [
        (box[i + 3] - box[i]) * ((spacing[i] or 1.0) if known else 1.0)
        for i in range(1 if known else 0, 3)
    ]
    return float(np.clip(2.4 * max(sides), 45.0 if known else 64.0, 260.0 if known else 4096.0))


def _facts(finding: Finding, analysis: Analysis, lang: Language) -> list[tuple[str, str]]:
    shown = []
    size = size_words(finding, lang)
    if size:
        shown.append((lang.text("Long × short axis"), size))
    taken = {"long_axis", "short_axis", "std_density"}
    first = ("mean_diameter", "volume", "mean_density", "mean_hu", "mean")
    for code in (*first, *(m.code for m in finding.measurements)):
        measurement = finding.measure(code)
        if measurement is None or code in taken:
            continue
        taken.add(code)
        pure = measurement.unit in ("1", "")
        words = lang.number(measurement.value, 2) if pure else measured_words(finding, code, lang)
        if code == "uncertain_share":
            words = lang.percent(measurement.value)
        shown.append((lang.say("measurement", code), words))
    place = image_words(finding, analysis, lang)
    if place:
        shown.append((lang.text("Largest section"), place))
    return shown


def _evidence_view(
    finding: Finding, layer: Layer, analysis: Analysis, lang: Language
) -> dict[str, Any]:
    evidence = finding.evidence
    assert evidence is not None
    curves: Mapping[str, Any] = {}
    for bundle in analysis.bundles:
        curves = bundle.facts.get("curves") or curves
    strip = slices_of(evidence, layer, lang)
    area = evidence.pixel_mm**2 if evidence.pixel_mm else 1.0
    top = lang.significant(layer.top / area, 2)
    assessment = finding.assessment
    return {
        "target": class_words(evidence.target, assessment.meaning, lang),
        "strip": strip,
        "sequence": evidence.maps.shape[0] > 1,
        "hidden": lang.count(
            "%(n)s slice of less weight is not shown.",
            "%(n)s slices of less weight are not shown.",
            evidence.maps.shape[0] - len(strip),
        )
        if evidence.maps.shape[0] > len(strip)
        else "",
        "waterfall": contribution_chart(evidence, lang),
        "curves": shape_curves(evidence, curves, lang),
        "reach": reach(evidence, lang),
        "placed": evidence.placement is not None,
        "low": f"−{top}",
        "high": f"+{top}",
        "unit": lang.text("logit per mm²") if evidence.pixel_mm else lang.text("logit per pixel"),
    }
