"""How a run came about, as its report shows it: decisions, families, budget, right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diaphane.report.language import Language
from diaphane.report.methods_data import step_words
from diaphane.report.methods_network import annealed_early, duration
from diaphane.report.run_facts import Confusion, Family, Planning, RunFacts
from diaphane.report.study import interval_words

_LONG = 160  # letters of a chosen value that a table can bear
_NUMBERED = 6  # above so many classes the columns of a table bear numbers


def planning_view(plan: Mapping[str, Any], facts: RunFacts, lang: Language) -> dict[str, Any]:
    """Decisions with their reasons, the table of families, warnings, refusals and time."""
    planning = facts.planning
    said = [_sentence(line) for line in planning.said]
    return {
        "decisions": [
            {
                "key": str(key).replace("_", " "),
                "choice": choice(plan.get(key), lang),
                "reason": reason,
            }
            for key, reason in planning.reasons.items()
            if key != "families"
        ],
        "why_family": planning.reasons.get("families", ""),
        "families": [_family(row, lang) for row in _ranked(planning.families)],
        "metric": lang.say("metric", planning.family_metric),
        "warnings": [text for serious, text in said if serious],
        "said": [text for serious, text in said if not serious],
        "refused": [
            (lang.say("error", code), lang.number(n)) for code, n in facts.material.refused.items()
        ],
        "time": _time(planning, lang),
    }


def choice(value: Any, lang: Language) -> str:
    """A chosen value in a line; nested parts as ``name value``."""
    if isinstance(value, Mapping) and isinstance(value.get("steps"), (list, tuple)):
        words = "; ".join(step_words(step, lang) for step in value["steps"])
    elif isinstance(value, Mapping):
        parts = [
            f"{str(k).replace('_', ' ')} {choice(v, lang)}"
            for k, v in value.items()
            if v is not None and v not in ((), [], {}, "")
        ]
        words = "; ".join(parts)
    elif isinstance(value, (list, tuple)):
        words = lang.text(", ").join(choice(v, lang) for v in value)
    elif value is None:
        words = "–"
    else:
        words = lang.value(value)
    return words if len(words) <= _LONG else words[: _LONG - 1].rstrip() + "…"


def _sentence(line: str) -> tuple[bool, str]:
    """Whether the planner warned, and its words without the prefix."""
    head, colon, rest = line.partition(": ")
    known = head.lower() in ("warning", "note")
    text = rest if colon and known else line
    return known and head.lower() == "warning", text[:1].upper() + text[1:]


def _ranked(families: Sequence[Family]) -> list[Family]:
    return sorted(families, key=lambda f: -(f.value.value if f.value.value is not None else -1.0))


def _family(row: Family, lang: Language) -> dict[str, Any]:
    return {
        "name": lang.say("family", row.name),
        "value": interval_words(row.value, lang) or "–",
        "folds": lang.number(row.folds) if row.folds else "–",
        "cases": lang.number(row.cases) if row.cases else "–",
        "seconds": duration(row.seconds, lang) if row.seconds else "–",
        "chosen": row.chosen,
    }


def _time(planning: Planning, lang: Language) -> list[str]:
    said = []
    if planning.budget:
        said.append(
            lang.text(
                "The time allowed was %(time)s; it fixed the number of steps before the first one.",
                time=duration(planning.budget, lang),
            )
        )
    if planning.seconds:
        said.append(lang.text("The run took %(time)s.", time=duration(planning.seconds, lang)))
    if planning.annealed_early_at is not None:
        said.append(annealed_early(planning.annealed_early_at, lang))
    elif planning.budget:
        said.append(lang.text("The schedule ran to its planned end."))
    return said


def confusion_view(table: Confusion, lang: Language) -> dict[str, Any]:
    """A table whose cells are shaded by their share of the row."""
    rows = []
    numbered = len(table.classes) > _NUMBERED
    for k, name in enumerate(table.classes):
        counts = [int(v) for v in table.counts[k]]
        total = sum(counts)
        rows.append(
            {
                "name": f"{k + 1} {name}" if numbered else name,
                "total": lang.number(total),
                "cells": [
                    {
                        "n": lang.number(n),
                        "share": round(n / total, 3) if total else 0.0,
                        "words": lang.percent(n / total) if total else "–",
                        "right": j == k,
                    }
                    for j, n in enumerate(counts)
                ],
            }
        )
    title = lang.say("point", table.point) if table.point else ""
    notes = []
    if table.threshold is not None:
        notes.append(
            lang.text(
                "Positive from a probability of %(threshold)s.",
                threshold=lang.significant(table.threshold),
            )
        )
    if table.sensitivity is not None and table.specificity is not None:
        notes.append(
            lang.text(
                "Where it was chosen, cross-fitted: sensitivity %(sensitivity)s, specificity "
                "%(specificity)s.",
                sensitivity=lang.percent(table.sensitivity, 1),
                specificity=lang.percent(table.specificity, 1),
            )
        )
    if table.same_cases:
        notes.append(lang.text("The threshold was chosen on these same cases."))
    return {
        "title": table.label or title,
        "heads": [str(k + 1) if numbered else name for k, name in enumerate(table.classes)],
        "rows": rows,
        "notes": notes,
    }
