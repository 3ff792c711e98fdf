"""From a path to a folder with a report: ``analyze``, for every app."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from diaphane.core.case import Identified
from diaphane.core.errors import OutputError, PrivacyError, UsageError
from diaphane.core.files import replacing
from diaphane.core.finding import Analysis
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import App, Progress, Request, silent
from diaphane.privacy import AuditChain, Event, Pseudonymiser, study_pseudonym

Point = tuple[float, float, float]

RESULT = frozenset(
    {
        "findings.json",
        "report.html",
        "report.txt",
        "masks.nii.gz",
        "seg.dcm",
        "sr.dcm",
        "rtstruct.dcm",
    }
)
"""What an analysis leaves in its folder; a folder with nothing else may be replaced."""


class Examiner(App, Protocol):
    """An app that also says whose study it was."""

    def examine(self, request: Request) -> Identified[Analysis]:
        """As ``analyze``, with the patient's identity."""
        ...


def find_app(name: str | Path, *, threads: int | None = None) -> Examiner:
    """The app called ``name``, or the generic app around the bundle of that name or path.

    Raises
    ------
    BundleNotFound
        Neither an app nor a bundle; the message lists what is installed.
    """
    if str(name) == "lung-ct":
        from diaphane.apps.lung import LungCt

        return LungCt()
    from diaphane.apps.generic import Generic
    from diaphane.apps.outlines import Outlines
    from diaphane.bundle import Segmenter, load_bundle
    from diaphane.core.errors import BundleNotFound

    try:
        loaded = load_bundle(name, threads=threads)
    except BundleNotFound as error:
        remedy = f"{error.remedy or ''} The app for a chest CT is lung-ct.".strip()
        raise BundleNotFound(error.problem, path=error.path, remedy=remedy) from error
    return Outlines(loaded) if isinstance(loaded, Segmenter) else Generic(loaded)


def reading_of(app: Examiner) -> ReadOptions:
    """How an app reads DICOM where nobody says it: a bundle's as its training cases were."""
    said: ReadOptions = getattr(app, "reading", AS_IS)
    return said


def analyze(
    path: str | Path,
    with_: str | Path = "lung-ct",
    out: str | Path | None = None,
    *,
    points: Sequence[Point] = (),
    series: str | int | None = None,
    lang: str = "en",
    identity: str = "hide",
    stack: bool | None = None,
    seg: str = "binary",
    rtstruct: bool = False,
    threads: int | None = None,
    options: ReadOptions | None = None,
    progress: Progress = silent,
) -> Analysis:
    """What an app or a bundle finds in one study.

    Parameters
    ----------
    path:
        File or folder.
    with_:
        App ("lung-ct"), or a bundle's name or path.
    out:
        Folder for findings.json, report.html, report.txt, masks.nii.gz and, for DICOM,
        seg.dcm and sr.dcm; written in one step. ``None`` writes nothing. A folder that is there is
        replaced only when it is empty or holds an earlier result.
    points:
        The reader's own points, LPS ``(x, y, z)`` in mm.
    series:
        UID, number or key of the DICOM series to take.
    lang:
        "en" or "zh", for the report.
    identity:
        "hide": a pseudonym heads the report; "show": name, ID, birth date, accession and
        study date do. findings.json never holds them.
    stack:
        Whether a folder of pictures is one stack; ``None``: as the bundle says.
    seg:
        "binary" or "labelmap": the kind of seg.dcm.
    rtstruct:
        Whether rtstruct.dcm is written as well.
    threads:
        Compute threads; ``None`` for all cores.
    options:
        What may be repaired when the study is read (gantry tilt, uneven spacing), and the
        limits of reading; ``None``: as the bundle says.
    progress:
        Told the stage and the share done.

    Raises
    ------
    UsageError
        A point outside the study, an unknown language or kind of Segmentation, or an ``out``
        that cannot be used.
    InputError
        The study cannot be read, or is not of the kind that the app reads.
    BundleError
        The bundle is missing or damaged.
    OutputError
        The results cannot be written.

    Examples
    --------
    >>> found = analyze("ct_chest/", with_="lung-ct", out="result")  # doctest: +SKIP
    >>> [finding.code for finding in found.findings]  # doctest: +SKIP
    ['nodule']
    """
    from diaphane.report import LANGUAGES, DicomForms

    forms = DicomForms(seg, rtstruct)
    if lang not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise UsageError(f"Reports are not written in '{lang}'.", remedy=f"Use one of: {known}")
    if identity not in ("hide", "show"):
        raise UsageError(f"Identity is 'hide' or 'show', not '{identity}'.")
    place = Path(path)
    if out is not None:
        require_free(Path(out), place)
    app = find_app(with_, threads=threads)
    wanted = None if series is None else str(series)
    options = options or reading_of(app)
    request = Request(place, points, wanted, stack, threads, progress, options)
    examined = recorded(app.examine(request), shown=identity == "show")
    if out is not None:
        from diaphane.report import write_analysis

        progress("report", 0.96)
        shown = examined.identity if identity == "show" else None
        with replacing(out) as beside, warnings.catch_warnings():
            # The DICOM libraries' warnings quote the patient's name.
            warnings.simplefilter("ignore")
            write_analysis(examined.value, beside, lang=lang, identity=shown, dicom=forms)
    progress("report", 1.0)
    return examined.value


def recorded(examined: Identified[Analysis], *, shown: bool = False) -> Identified[Analysis]:
    """The analysis, entered in the audit chain before anybody gets it, with ``shown`` if it shows who.

    A chain that cannot be written to does not keep a reader from a result: the result then
    carries the note ``not_audited``, which the report, findings.json and the command line show.
    """
    found = examined.value
    try:
        study = study_pseudonym(examined.identity, Pseudonymiser.load()) or found.pseudonym
        detail: dict[str, str | int | float] = {"app": found.app, "findings": len(found.findings)}
        detail |= {"identity": "show"} if shown else {}
        detail |= {f"bundle_{k}": b.sha256 for k, b in enumerate(found.bundles, 1)}
        AuditChain().append(Event("analyze", study, detail))
    except (OutputError, PrivacyError):
        notes = (*found.notes, ("not_audited", {}))
        return replace(examined, value=replace(found, notes=notes))
    return examined


def require_free(out: Path, source: Path) -> None:
    """Refuse an output folder that holds anything but an earlier result.

    Raises
    ------
    UsageError
        Naming what is in the way.
    """
    target, given = out.resolve(), source.resolve()
    if target == given or target in given.parents:
        raise UsageError(
            "The results would replace the input.", path=out, remedy="Give another --out folder."
        )
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError("There is a file where the results would go.", path=out)
    names = {entry.name for entry in out.iterdir()}
    if not names or (names <= RESULT and _is_result(out / "findings.json")):
        return
    raise UsageError(
        "The folder holds other things than an earlier result.",
        path=out,
        remedy="Give a new or empty --out folder; nothing is ever overwritten there.",
    )


def _is_result(path: Path) -> bool:
    try:
        return "findings" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
