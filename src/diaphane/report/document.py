"""findings.json: codes and numbers, no sentences; the schema stands in ``schema/``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from diaphane.core.finding import (
    Analysis,
    Assessment,
    BundleRef,
    Diameter,
    Evidence,
    Finding,
    Location,
    RuleResult,
    SeriesChoice,
)

SCHEMA_VERSION = 1


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every findings.json fulfils."""
    home = files("diaphane.report") / "schema" / "findings.schema.json"
    loaded: dict[str, Any] = json.loads(home.read_text(encoding="utf-8"))
    return loaded


def findings_document(analysis: Analysis) -> dict[str, Any]:
    """The content of findings.json, in a fixed order of keys and free of NaN.

    It holds pseudonyms only, whatever the report shows.
    """
    geometry = analysis.volume.geometry
    return {
        "schema_version": SCHEMA_VERSION,
        "app": {"name": analysis.app, "version": analysis.app_version},
        "patient": {"pseudonym": analysis.pseudonym},
        "image": {
            "modality": analysis.volume.modality,
            "unit": analysis.volume.unit,
            "channels": analysis.volume.channels,
            "shape": list(geometry.shape),
            "spacing_mm": [_number(step) for step in geometry.spacing],
            "direction": None
            if geometry.direction is None
            else [_numbers(row) for row in geometry.direction],
            "origin_mm": None if geometry.origin is None else _numbers(geometry.origin),
        },
        "series": [_series(choice) for choice in analysis.series],
        "structures": [
            {"label": int(label), "code": code} for label, code in analysis.structures.items()
        ],
        "findings": [_finding(finding, "finding") for finding in analysis.findings],
        "candidates": [_finding(finding, "candidate") for finding in analysis.candidates],
        "bundles": [_bundle(bundle) for bundle in analysis.bundles],
        "recipe": plain(analysis.recipe),
        "notes": [{"code": code, "parameters": plain(values)} for code, values in analysis.notes],
        "limits": [{"code": code, "parameters": plain(values)} for code, values in analysis.limits],
        "timings": [
            {"stage": stage, "seconds": _number(seconds, 3)}
            for stage, seconds in analysis.timings.items()
        ],
        "versions": {name: str(version) for name, version in analysis.versions.items()},
    }


def findings_text(analysis: Analysis) -> str:
    """findings.json as text: indented, with every list of plain values on one line."""
    return _laid_out(findings_document(analysis)) + "\n"


def _laid_out(value: Any, depth: int = 0) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    nested = (dict, list)
    if isinstance(value, dict) and value:
        rows = [f"{inner}{_json(k)}: {_laid_out(v, depth + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(part, nested) for part in value):
        rows = [f"{inner}{_laid_out(part, depth + 1)}" for part in value]
        return "[\n" + ",\n".join(rows) + f"\n{outer}]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Any parameters as JSON values: numpy unpacked, tuples as lists, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _number(float(value))
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (Sequence, set, frozenset)):
        return [plain(part) for part in value]
    return str(value)


def _number(value: float | None, digits: int = 6) -> float | None:
    """Rounded; ``None`` for none and for values that are not finite."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits) + 0.0


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _series(choice: SeriesChoice) -> dict[str, Any]:
    return {
        "key": choice.key,
        "number": choice.number,
        "modality": choice.modality,
        "slices": int(choice.slices),
        "spacing_mm": [_number(step) for step in choice.spacing],
        "kernel": choice.kernel,
        "taken": bool(choice.taken),
        "reasons": list(choice.reasons),
    }


def _bundle(bundle: BundleRef) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "version": bundle.version,
        "sha256": bundle.sha256,
        "title": bundle.title,
    }


def _finding(finding: Finding, status: str) -> dict[str, Any]:
    return {
        "id": finding.id,
        "status": status,
        "code": finding.code,
        "origin": finding.origin,
        "rank": _number(finding.rank),
        "mask_label": None if finding.mask_label is None else int(finding.mask_label),
        "location": _location(finding.location),
        "measurements": [
            {"code": m.code, "value": _number(m.value), "unit": m.unit}
            for m in finding.measurements
        ],
        "long_axis": _diameter(finding.long_axis),
        "short_axis": _diameter(finding.short_axis),
        "assessment": _assessment(finding.assessment),
        "evidence": None if finding.evidence is None else _evidence(finding.evidence),
        "rules": [_rule(rule) for rule in finding.rules],
        "notes": list(finding.notes),
    }


def _location(location: Location) -> dict[str, Any]:
    return {
        "box": {
            "start": [int(v) for v in location.box[:3]],
            "stop": [int(v) for v in location.box[3:]],
        },
        "centre_index": _numbers(location.centre_index),
        "centre_mm": None if location.centre_mm is None else _numbers(location.centre_mm),
        "key_slice": int(location.key_slice),
        "instance_number": None
        if location.instance_number is None
        else int(location.instance_number),
        "anatomy": {str(kind): str(code) for kind, code in location.anatomy.items()},
    }


def _diameter(diameter: Diameter | None) -> dict[str, Any] | None:
    if diameter is None:
        return None
    return {
        "start": _numbers(diameter.start),
        "end": _numbers(diameter.end),
        "length": _number(diameter.length),
        "unit": diameter.unit,
    }


def _assessment(assessment: Assessment) -> dict[str, Any]:
    probability = assessment.probability
    return {
        "probability": None
        if probability is None
        else {name: _number(float(p)) for name, p in probability.items()},
        "reasons": list(assessment.reasons),
        "prediction_set": list(assessment.prediction_set),
        "set_level": _number(assessment.set_level),
        "unlike_training": bool(assessment.unlike_training),
        "distance": _number(assessment.distance),
        "positive": assessment.positive,
        "meaning": assessment.meaning,
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    maps = np.asarray(evidence.maps, dtype=np.float64)
    peaks = []
    for sign, at in (("raises", maps.argmax()), ("lowers", maps.argmin())):
        t, row, column = (int(v) for v in np.unravel_index(int(at), maps.shape))
        value = float(maps[t, row, column])
        if (value > 0) == (sign == "raises") and value != 0:
            peak = {"sign": sign, "slice": t, "row": row, "column": column, "value": _number(value)}
            peaks.append(peak)
    return {
        "target": evidence.target,
        "logit": _number(evidence.logit),
        "bias": _number(evidence.bias),
        "image": _number(evidence.image_contribution),
        "concepts": [
            {
                "name": concept.name,
                "value": _number(concept.value),
                "contribution": _number(concept.contribution),
                "given": bool(concept.given),
            }
            for concept in evidence.concepts
        ],
        "attention": _numbers(np.asarray(evidence.attention, dtype=np.float64).tolist()),
        "image_by_slice": _numbers(maps.sum(axis=(1, 2)).tolist()),
        "grid": [int(n) for n in maps.shape],
        "peaks": peaks,
        "receptive_field_px": None
        if evidence.receptive_field is None
        else int(evidence.receptive_field),
        "pixel_mm": _number(evidence.pixel_mm),
    }


def _rule(rule: RuleResult) -> dict[str, Any]:
    return {
        "rule": rule.rule,
        "source": rule.source,
        "version": rule.version,
        "inputs": plain(rule.inputs),
        "outcome": rule.outcome,
        "unknown": list(rule.unknown),
        "agrees": rule.agrees,
    }
