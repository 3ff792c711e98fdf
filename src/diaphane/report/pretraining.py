"""The report of an encoder that learned without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diaphane.core.files import write_text
from diaphane.report import charts
from diaphane.report.language import Language
from diaphane.report.page import render


def write_encoder_report(
    path: str | Path,
    facts: Mapping[str, Any],
    losses: Sequence[tuple[float, float]],
    *,
    lang: str = "en",
) -> Path:
    """Write ``report.html`` of an encoder's folder.

    Parameters
    ----------
    facts:
        Content of ``encoder.json`` without hashes of cases; nested mappings become sections.
    losses:
        Step and loss, smoothed.
    """
    language = Language(lang)
    axes = charts.Axes(language.text("Step"), number=language.number)
    title = language.text("Loss without labels")
    plain = [(key, value) for key, value in facts.items() if not isinstance(value, Mapping)]
    sections = [("", plain)] + [
        (key, list(value.items())) for key, value in facts.items() if isinstance(value, Mapping)
    ]
    values = {
        "title": str(facts.get("name", "")),
        "curve": charts.line_chart([charts.Line("", list(losses))], title=title, axes=axes),
        "curve_title": title,
        "sections": [
            {
                "name": name.replace("_", " "),
                "rows": [
                    (str(key).replace("_", " "), language.value(value))
                    for key, value in rows
                    if value is not None and not isinstance(value, Mapping)
                ],
            }
            for name, rows in sections
        ],
    }
    write_text(path, render("encoder.html.j2", language, values))
    return Path(path)
