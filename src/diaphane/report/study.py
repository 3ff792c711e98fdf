"""The whole study, as the template shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.case import Identity
from diaphane.core.finding import Analysis, BundleRef, Finding
from diaphane.report import pictures
from diaphane.report.cards import (
    card,
    detail_words,
    image_words,
    is_whole_image,
    measured_words,
    place_words,
    side_words,
    size_words,
    verdict,
)
from diaphane.report.cards import title_words as label_words
from diaphane.report.language import Language
from diaphane.report.sheets import cut, planes, sample

SHOWN_FINDINGS = 10
"""Findings with pictures; others are counted, and stand in findings.json."""


def study_view(analysis: Analysis, lang: Language, identity: Identity | None) -> dict[str, Any]:
    """What the report's template is given."""
    values = pictures.flat(analysis.volume)
    shown = analysis.findings[:SHOWN_FINDINGS]
    cards = [card(f, place, analysis, values, lang) for place, f in enumerate(shown, start=1)]
    return {
        "title": title_words(analysis, lang),
        "pseudonym": analysis.pseudonym,
        "identity": None if identity is None else identity_rows(identity, lang),
        "facts": study_facts(analysis, lang),
        "summary": summary_words(analysis, lang),
        "others": others_words(analysis, lang),
        "notes": note_words(analysis, lang, search=not analysis.findings),
        "search": note_words(analysis, lang, search=True) if analysis.findings else [],
        "overview": overview(analysis, values, shown),
        "cards": cards,
        "rows": [row_view(f, place, analysis, lang) for place, f in enumerate(shown, start=1)],
        "outlined": all("label" in f.location.anatomy for f in shown),
        "limits": [lang.say("limit", code, values_) for code, values_ in analysis.limits],
        "bundles": [bundle_view(bundle, lang) for bundle in analysis.bundles],
        "recipe": recipe_view(analysis.recipe, lang),
        "series": [
            {
                "number": "–" if s.number is None else str(s.number),
                "modality": s.modality,
                "slices": lang.number(s.slices),
                "spacing": spacing_words(s.spacing, lang),
                "kernel": s.kernel or "–",
                "taken": s.taken,
                "reasons": [lang.say("series", code) for code in s.reasons],
            }
            for s in analysis.series
        ],
        "timings": timing_rows(analysis.timings, lang),
        "versions": list(analysis.versions.items()),
        "app": f"{analysis.app} {analysis.app_version}",
    }


SAID_ELSEWHERE = frozenset({"no_candidate", "more_candidates", "nothing_outlined"})


def note_words(analysis: Analysis, lang: Language, *, search: bool) -> list[str]:
    """Notes of the study; with ``search`` what the search was measured to find comes too.

    Where something was found, that stands under the limits; where nothing was, beside the
    result.
    """
    about_search = [note for note in analysis.notes if note[0].startswith("sensitivity")]
    others = [
        note
        for note in analysis.notes
        if note not in about_search and note[0] not in SAID_ELSEWHERE
    ]
    chosen = about_search if search and analysis.findings else others
    if search and not analysis.findings:
        chosen = others + about_search
    return [lang.say("study", code, shares(values, lang)) for code, values in chosen]


def shares(values: Mapping[str, Any], lang: Language) -> dict[str, Any]:
    """Parameters with shares as per cent, ranges in words and sets by name."""
    shown = dict(values)
    for name in ("value", "low", "high"):
        if isinstance(shown.get(name), float) and 0 <= shown[name] <= 1:
            shown[name] = lang.percent(shown[name])
    if isinstance(shown.get("size"), (list, tuple)):
        shown["size"] = lang.text("%(low)s to %(high)s", **_ends(shown["size"], lang))
    if isinstance(shown.get("set"), str):
        shown["set"] = lang.say("set", shown["set"])
    return shown


def _ends(size: Any, lang: Language) -> dict[str, str]:
    return {"low": lang.value(size[0]), "high": lang.value(size[-1])}


def title_words(analysis: Analysis, lang: Language) -> str:
    """What was examined."""
    if lang.knows("app", analysis.app):
        return lang.say("app", analysis.app)
    return next((b.title for b in analysis.bundles if b.title), analysis.app)


def identity_rows(identity: Identity, lang: Language) -> list[tuple[str, str]]:
    """Name, ID, birth date, accession and study date, for those who asked to see them."""
    rows = [
        (lang.text("Name"), identity.patient_name.replace("^", " ").strip()),
        (lang.text("Patient ID"), identity.patient_id),
        (lang.text("Born"), lang.date(identity.birth_date)),
        (lang.text("Accession"), identity.accession),
        (lang.text("Study date"), lang.date(identity.study_date)),
    ]
    return [(label, value or "–") for label, value in rows]


def spacing_words(spacing: tuple[float | None, float | None, float | None], lang: Language) -> str:
    """Spacing in plane and between slices."""
    dz, dy, dx = spacing
    if dy is None or dx is None:
        return lang.text("unknown")
    plane = f"{lang.number(dx, 2)} × {lang.number(dy, 2)}"
    return f"{plane} mm" if dz is None else f"{plane} × {lang.number(dz, 2)} mm"


def study_facts(analysis: Analysis, lang: Language) -> list[tuple[str, str]]:
    """Modality, images, voxel size, kernel and series in a few words."""
    geometry = analysis.volume.geometry
    z, y, x = geometry.shape
    size = f"{lang.number(x)} × {lang.number(y)}"
    images = size if z == 1 else f"{lang.number(z)} × ({size})"
    facts = [
        (lang.text("Modality"), lang.say("modality", analysis.volume.modality)),
        (lang.text("Images"), images),
        (lang.text("Voxel"), spacing_words(geometry.spacing, lang)),
    ]
    taken = next((s for s in analysis.series if s.taken), None)
    if taken is not None:
        if taken.number is not None:
            total = len(analysis.series)
            words = str(taken.number)
            if total > 1:
                words = lang.text("%(number)s (of %(total)s)", number=words, total=total)
            facts.append((lang.text("Series"), words))
        if taken.kernel:
            facts.append((lang.text("Kernel"), taken.kernel))
    return facts


def summary_words(analysis: Analysis, lang: Language) -> str:
    """The result in one line."""
    findings = analysis.findings
    if not findings and any(code == "nothing_outlined" for code, _ in analysis.notes):
        return lang.text("Nothing was outlined.")
    if not findings:
        return lang.text("No candidate of 4 mm or more was proposed.")
    if all(is_whole_image(f, analysis) for f in findings):
        shown = verdict(findings[0].assessment, lang)
        chance = shown["probability"]
        return f"{shown['headline']}{lang.colon}{chance}" if chance else str(shown["headline"])
    if all("label" in f.location.anatomy for f in findings):
        sizes = [
            lang.pause.join(filter(None, [label_words(f, lang), _amount(f, lang)]))
            for f in findings[:SHOWN_FINDINGS]
        ]
        return lang.semicolon.join(sizes)
    head = lang.count("%(n)s finding", "%(n)s findings", len(findings))
    largest = max(findings, key=_long_axis)
    parts = [p for p in (place_words(largest, lang), size_words(largest, lang)) if p]
    if not parts:
        return head
    if len(findings) == 1:
        return f"{head}{lang.colon}{lang.pause.join(parts)}"
    named = lang.text("the largest: %(where)s", where=lang.pause.join(parts))
    return f"{head}{lang.semicolon}{named}"


def _amount(finding: Finding, lang: Language) -> str:
    """Volume, or of an image the area."""
    return measured_words(finding, "volume", lang) or measured_words(finding, "area", lang)


def _long_axis(finding: Finding) -> float:
    long = finding.measure("long_axis")
    return 0.0 if long is None else long.value


def others_words(analysis: Analysis, lang: Language) -> str:
    """How many findings and candidates are not drawn."""
    hidden = max(0, len(analysis.findings) - SHOWN_FINDINGS) + len(analysis.candidates)
    if not hidden:
        return ""
    return lang.count(
        "%(n)s further candidate of lower rank is listed in findings.json.",
        "%(n)s further candidates of lower rank are listed in findings.json.",
        hidden,
    )


def row_view(finding: Finding, place: int, analysis: Analysis, lang: Language) -> dict[str, Any]:
    """A finding's row in the table at the top."""
    shown = verdict(finding.assessment, lang)
    return {
        "number": place,
        "id": f"finding-{place}",
        "title": label_words(finding, lang),
        "place": side_words(finding, lang),
        "detail": [
            *detail_words(finding, lang),
            *filter(None, [image_words(finding, analysis, lang)]),
        ],
        "size": size_words(finding, lang),
        "volume": _amount(finding, lang),
        "probability": shown["probability"],
        "share": shown.get("share", 0),
        "quality": quality_words(finding, lang),
        "headline": shown.get("short") or shown["headline"],
    }


def quality_words(finding: Finding, lang: Language) -> str:
    """Expected agreement of an outline with an expert's, where the model states one."""
    guess = finding.measure("predicted_dice")
    if guess is None:
        return ""
    return lang.text("predicted Dice %(dice)s", dice=lang.number(guess.value, 2))


def overview(
    analysis: Analysis, values: NDArray[Any], findings: tuple[Finding, ...]
) -> pictures.Picture | None:
    """The study seen from the front, each finding at its place; CT with several slices only."""
    geometry = analysis.volume.geometry
    names = planes(geometry)
    if analysis.volume.unit != "HU" or "coronal" not in names or names[0] != "axial":
        return None
    centre = [(n - 1) / 2 for n in geometry.shape]
    sheet = cut(geometry, "coronal", centre, pixels=560)
    depth = int(np.argmin(np.abs(sheet.right) + np.abs(sheet.down)))
    front = _along(values, depth)
    stack = np.expand_dims(front, depth)
    at = sheet.coordinates()
    at[depth] = 0
    seen = sample(stack, at, float(front.min()))
    low, high = np.percentile(front, [2, 99.8])
    lines: tuple[str, ...] = ()
    if analysis.labels is not None and analysis.structures:
        paths: list[str] = []
        for label, code in analysis.structures.items():
            if code in ("right_lung", "left_lung"):
                shadow = (analysis.labels == label).any(axis=depth, keepdims=True)
                paths += pictures.outlines(sample(shadow, at))
        lines = tuple(paths)
    dots = []
    for place, finding in enumerate(findings, start=1):
        x, y = sheet.place(finding.location.centre_index)
        dots.append({"number": place, "x": round(100 * x, 2), "y": round(100 * y, 2)})
    scale, share = pictures.scale_bar(sheet)
    return pictures.Picture(
        "overview",
        sheet.size[1],
        sheet.size[0],
        {"image": pictures.jpeg(pictures.grey(seen, float(low), float(high)))},
        outlines=lines,
        marks=sheet.marks,
        scale=scale,
        scale_share=share,
        dots=tuple(dots),
    )


def _along(values: NDArray[Any], depth: int) -> NDArray[np.float32]:
    """Mean along one axis of what attenuates, like a radiograph, in HU above air."""
    total: NDArray[np.float32] | None = None
    for part in np.moveaxis(values, depth, 0):
        row = np.clip(part.astype(np.float32), -1000, 800)
        total = row if total is None else total + row
    assert total is not None
    return np.asarray(total / values.shape[depth], dtype=np.float32)


def bundle_view(bundle: BundleRef, lang: Language) -> dict[str, Any]:
    """A bundle: name, hash, and what it states about itself."""
    metrics = bundle.facts.get("metrics") or {}
    figures = [
        (lang.say("metric", str(name)), interval_words(value, lang))
        for name, value in metrics.items()
    ]
    figures += [
        (lang.say("metric", key), interval_words(bundle.facts.get(key), lang))
        for key in ("coverage", "mean_set_size")
    ]
    faithfulness = bundle.facts.get("faithfulness") or {}
    figures += [
        (lang.say("metric", str(name)), interval_words(value, lang))
        for name, value in faithfulness.items()
        if isinstance(value, (int, float, Mapping))
    ]
    return {
        "title": bundle.title or bundle.name,
        "name": bundle.name,
        "version": bundle.version,
        "sha256": bundle.sha256,
        "figures": [(label, words) for label, words in figures if words],
    }


def interval_words(value: Any, lang: Language) -> str:
    """A figure with its interval; accepts a number, a mapping or an ``Interval``."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        middle, low, high = (value.get(k) for k in ("value", "low", "high"))
        if not isinstance(middle, (int, float)):
            return ""
        shown = lang.number(float(middle), 3)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)):
            shown += lang.text(
                " (%(low)s to %(high)s)", low=lang.number(low, 3), high=lang.number(high, 3)
            )
        return shown
    return lang.number(float(value), 3) if isinstance(value, (int, float)) else ""


def recipe_view(recipe: Mapping[str, Any], lang: Language) -> list[tuple[str, str]]:
    """Steps of the recipe with their parameters."""
    return [_step_words(step, lang) for step in recipe.get("steps", ())]


def _step_words(step: Any, lang: Language) -> tuple[str, str]:
    if not isinstance(step, Mapping):
        return str(step), ""
    fields = dict(step)
    name = next((fields.pop(key) for key in ("step", "name", "op") if key in fields), None)
    if name is None and len(fields) == 1:
        name, inner = next(iter(fields.items()))
        fields = dict(inner) if isinstance(inner, Mapping) else {"": inner}
    words = ", ".join(f"{key} {lang.value(value)}".strip() for key, value in fields.items())
    return str(name).replace("_", " "), words


def timing_rows(timings: Mapping[str, float], lang: Language) -> list[dict[str, Any]]:
    """Stages with their seconds and share of the whole."""
    total = sum(timings.values()) or 1.0
    return [
        {
            "stage": lang.say("stage", stage),
            "seconds": f"{lang.number(seconds, 1 if seconds >= 0.05 else 2)} s",
            "share": round(100 * seconds / total, 1),
        }
        for stage, seconds in timings.items()
    ]
