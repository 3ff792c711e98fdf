"""Everything that an analysis leaves in its folder."""

from __future__ import annotations

from pathlib import Path

from diaphane.core.case import Identity
from diaphane.core.finding import Analysis
from diaphane.report.dicom import DicomForms, write_dicom
from diaphane.report.document import findings_text
from diaphane.report.language import Language
from diaphane.report.masks import write_masks
from diaphane.report.page import render
from diaphane.report.study import study_view
from diaphane.report.summary import summary_text


def write_analysis(
    analysis: Analysis,
    folder: str | Path,
    *,
    lang: str = "en",
    identity: Identity | None = None,
    dicom: DicomForms | None = None,
) -> tuple[Path, ...]:
    """Write findings.json, report.html, report.txt, masks.nii.gz and, for DICOM, seg.dcm and sr.dcm.

    The caller makes it atomic: give the path that ``core.files.replacing`` yields.

    Parameters
    ----------
    analysis:
        What the app found.
    folder:
        Made when absent.
    lang:
        "en" or "zh", for report.html and report.txt.
    identity:
        Shown at the head of report.html and report.txt; ``None`` shows the pseudonym.
        findings.json never holds it.
    dicom:
        Which DICOM results: a binary Segmentation and the SR by default.

    Returns
    -------
    tuple of Path
        The files written, in that order.

    Raises
    ------
    UsageError
        For an unknown language; nothing is written then.
    """
    language = Language(lang)
    room = Path(folder)
    room.mkdir(parents=True, exist_ok=True)
    written = []

    def put(name: str, content: str) -> None:
        (room / name).write_text(content, encoding="utf-8", newline="\n")
        written.append(room / name)

    put("findings.json", findings_text(analysis))
    view = study_view(analysis, language, identity)
    put("report.html", render("analysis.html.j2", language, {"study": view}))
    put("report.txt", summary_text(analysis, language, identity))
    write_masks(analysis, room / "masks.nii.gz")
    written.append(room / "masks.nii.gz")
    return (*written, *write_dicom(analysis, room, dicom))
