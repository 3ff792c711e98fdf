"""Findings, evaluations and runs -> HTML, text, JSON, NIfTI and DICOM SEG.

``write_analysis`` for a study, ``write_evaluation`` for a bundle's figures on a data set,
``write_run_report`` for a training run. ``findings_document`` and ``schema`` give the content
of findings.json and its JSON Schema.
"""

from diaphane.report.analysis import write_analysis
from diaphane.report.document import findings_document, schema
from diaphane.report.evaluation import write_evaluation
from diaphane.report.language import LANGUAGES, Language
from diaphane.report.training import write_run_report

__all__ = [
    "LANGUAGES",
    "Language",
    "findings_document",
    "schema",
    "write_analysis",
    "write_evaluation",
    "write_run_report",
]
