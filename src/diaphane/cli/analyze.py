"""``diaphane analyze``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diaphane.cli.console import (
    JsonFlag,
    Lang,
    QuietFlag,
    ReadAs,
    ReportLang,
    Seg,
    Spacing,
    Threads,
    Tilt,
    Units,
    progress_bar,
    read_options,
    said_reading,
    say,
    say_json,
    stack_of,
    verb,
    warn,
)
from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.core.finding import Analysis, Finding, SeriesChoice


class Shown(StrEnum):
    """Whether the report names the patient."""

    hide = "hide"
    show = "show"


@verb
def analyze(
    study: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder or file of one study.")],
    *,
    with_: Annotated[
        str,
        typer.Option("--with", metavar="NAME", help="App (lung-ct), or a bundle's name or path."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="X,Y,Z", help="A point to look at, patient mm (LPS)."),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option("--series", metavar="UID|NUMBER", help="DICOM series to take."),
    ] = None,
    lang: ReportLang = Lang.en,
    identity: Annotated[
        Shown, typer.Option("--identity", help="Show or hide the patient in the report.")
    ] = Shown.hide,
    seg: Seg = None,
    rtstruct: Annotated[
        bool, typer.Option("--rtstruct", help="Write contours as rtstruct.dcm as well.")
    ] = False,
    layout: ReadAs = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Find, measure and rate what a study shows.

    Writes findings.json, report.html, report.txt, masks.nii.gz and, for DICOM, seg.dcm and
    sr.dcm.

    For research only; not a medical device.
    """
    from diaphane import apps
    from diaphane.apps.running import find_app, reading_of

    points = [parse_point(text) for text in at or ()]
    options = None
    if said_reading(tilt, spacing, units):
        options = read_options(tilt, spacing, units, reading_of(find_app(with_)))
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        found = apps.analyze(
            study,
            with_,
            out,
            points=points,
            series=series,
            lang=lang.value,
            identity=identity.value,
            stack=stack_of(layout),
            seg=seg or "binary",
            rtstruct=rtstruct,
            threads=threads,
            options=options,
            progress=progress,
        )
    if any(code == "not_audited" for code, _ in found.notes):
        warn(
            "diaphane: the audit chain could not be written: this analysis is not recorded there."
            " See: diaphane audit verify"
        )
    if as_json:
        say_json(summary(found, out))
    else:
        for line in summary_lines(found, out):
            say(line, quiet=quiet)


def parse_point(text: str) -> tuple[float, float, float]:
    """Three numbers in mm from ``x,y,z``.

    Raises
    ------
    UsageError
        When they are not three.
    """
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"'{text}' is not a point.",
            remedy="Give --at x,y,z in patient mm, such as --at -32,40.5,-120",
        ) from None
    return x, y, z


def summary(analysis: Analysis, out: Path) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "app": analysis.app,
        "out": str(out),
        "report": str(out / "report.html"),
        "series": [
            {"key": s.key, "number": s.number, "taken": s.taken, "reasons": list(s.reasons)}
            for s in analysis.series
        ],
        "findings": [_row(finding) for finding in analysis.findings],
        "candidates": len(analysis.candidates),
        "notes": [code for code, _ in analysis.notes],
        "timings": {stage: round(seconds, 3) for stage, seconds in analysis.timings.items()},
    }


def _row(finding: Finding) -> dict[str, Any]:
    long_axis = finding.measure("long_axis")
    return {
        "id": finding.id,
        "code": finding.code,
        "anatomy": dict(finding.location.anatomy),
        "measurements": {m.code: {"value": m.value, "unit": m.unit} for m in finding.measurements},
        "image": finding.location.instance_number,
        "long_axis": None if long_axis is None else round(long_axis.value, 2),
        "unit": None if long_axis is None else long_axis.unit,
        "probability": None
        if finding.assessment.probability is None
        else dict(finding.assessment.probability),
        "reasons": list(finding.assessment.reasons),
    }


def summary_lines(analysis: Analysis, out: Path) -> list[str]:
    """What a person is told: the series, what was found, the first finding, the report."""
    from diaphane.report import Language

    language = Language("en")
    dicom = analysis.source is not None
    lines = [_series_line(s, language) for s in analysis.series] if dicom else []
    shown, rest = len(analysis.findings), len(analysis.candidates)
    if shown:
        more = f", {rest} further candidates in findings.json" if rest else ""
        lines.append(f"Findings: {shown}{more}")
        outlined = [f for f in analysis.findings if "label" in f.location.anatomy]
        lines += [f"  {_finding_line(finding, language)}" for finding in outlined[:10]]
        if not outlined:
            lines.append(f"First: {_finding_line(analysis.findings[0], language)}")
    else:
        lines += [
            language.say("study", code, values)
            for code, values in analysis.notes
            if code in ("no_candidate", "nothing_outlined")
        ]
    lines.append(f"Report: {out / 'report.html'}")
    return lines


def _series_line(series: SeriesChoice, language: Any) -> str:
    why = ", ".join(language.say("series", code) for code in series.reasons)
    number = series.key if series.number is None else str(series.number)
    thick = "" if series.spacing[0] is None else f" of {series.spacing[0]:.3g} mm"
    kernel = "" if series.kernel is None else f", kernel {series.kernel}"
    taken = "Taken" if series.taken else "Left"
    return f"{taken}: series {number} ({series.modality}, {series.slices} images{thick}{kernel}): {why}"


def _finding_line(finding: Finding, language: Any) -> str:
    place = finding.location.anatomy
    label = place.get("label")
    parts = [label or language.say("finding", finding.code)]
    parts += [language.say(kind, place[kind]) for kind in ("side", "third") if kind in place]
    if finding.location.instance_number is not None:
        parts.append(f"image {finding.location.instance_number}")
    long_axis, short_axis = finding.measure("long_axis"), finding.measure("short_axis")
    if long_axis is not None and short_axis is not None:
        parts.append(f"{long_axis.value:.0f} x {short_axis.value:.0f} {long_axis.unit}")
    amount = finding.measure("volume") or finding.measure("area")
    if label is not None and amount is not None:
        parts.append(f"{amount.value:.0f} {amount.unit}")
    guess = finding.measure("predicted_dice")
    if guess is not None:
        parts.append(f"predicted Dice {guess.value:.2f}")
    said = finding.assessment
    if label is not None:
        return ", ".join(parts)
    if said.probability is not None:
        known = said.probability
        name = said.positive or max(known, key=lambda c: known[c])
        own = said.positive and said.meaning and said.meaning != "class_of_bundle"
        meaning = language.say("meaning", said.meaning) if own else name
        parts.append(f"{meaning}: {100 * said.probability[name]:.0f} %")
    else:
        why = " ".join(language.say("reason", code) for code in said.reasons)
        parts.append(f"no probability: {why}")
    return ", ".join(parts)
