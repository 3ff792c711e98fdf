"""report.txt: five lines to paste into a radiology information system."""

from __future__ import annotations

from diaphane.core.case import Identity
from diaphane.core.finding import Analysis, Finding, RuleResult
from diaphane.report.cards import (
    image_words,
    measured_words,
    place_words,
    rule_view,
    size_words,
    verdict,
)
from diaphane.report.language import Language
from diaphane.report.study import (
    identity_rows,
    others_words,
    study_facts,
    summary_words,
    title_words,
)

WRITTEN_FINDINGS = 3
"""Findings written out in the text; others are counted."""


def summary_text(analysis: Analysis, lang: Language, identity: Identity | None = None) -> str:
    """Five lines: study, result, findings, rule, and what made it."""
    stop = lang.full_stop
    facts = lang.semicolon.join(f"{label} {value}" for label, value in study_facts(analysis, lang))
    who = analysis.pseudonym
    if identity is not None:
        who = lang.semicolon.join(
            f"{label} {value}" for label, value in identity_rows(identity, lang)
        )
    lines = [f"{title_words(analysis, lang)} ({who}){lang.colon}{facts}"]
    others = others_words(analysis, lang)
    lines.append(stop.join(filter(None, [summary_words(analysis, lang).rstrip(".。"), others])))
    shown = analysis.findings[:WRITTEN_FINDINGS]
    told = [
        f"{place}) {_finding_words(finding, analysis, lang)}{stop.strip()}"
        for place, finding in enumerate(shown, start=1)
    ]
    rest = len(analysis.findings) - len(shown)
    if rest > 0:
        told.append(lang.count("And %(n)s more.", "And %(n)s more.", rest))
    lines.append(" ".join(told) or lang.text("This does not mean that the study is normal."))
    rules = dict.fromkeys(_rule_words(rule, lang) for finding in shown for rule in finding.rules)
    lines.append(lang.semicolon.join(rules) or lang.text("No expert rule applies."))
    made = [f"diaphane {analysis.app} {analysis.app_version}"]
    made += [f"{b.name} {b.version} (sha256 {b.sha256[:12]})" for b in analysis.bundles]
    lines.append(
        f"{', '.join(made)}{stop}"
        + lang.text("Research software, not a medical device; check every finding on the images.")
    )
    return "".join(f"{' '.join(line.split())}\n" for line in lines)


def _rule_words(rule: RuleResult, lang: Language) -> str:
    shown = rule_view(rule, lang)
    advice = lang.semicolon.join(
        f"{label}{lang.colon}{words}" if label else words for label, words in shown["advice"]
    )
    said = f"{shown['name']}{lang.colon}{shown['outcome']}"
    return f"{said} ({advice})" if advice else said


def _finding_words(finding: Finding, analysis: Analysis, lang: Language) -> str:
    mean = measured_words(finding, "mean_diameter", lang)
    parts = [
        finding.location.anatomy.get("label", ""),
        place_words(finding, lang),
        size_words(finding, lang),
        lang.text("mean %(size)s", size=mean) if mean else "",
        measured_words(finding, "volume", lang),
        image_words(finding, analysis, lang),
    ]
    shown = verdict(finding.assessment, lang)
    chance = shown["probability"]
    words = f"{shown['headline']}{lang.colon}{chance}" if chance else str(shown["headline"])
    return lang.semicolon.join([*filter(None, parts), words])
