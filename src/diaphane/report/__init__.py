"""Findings, evaluations and runs -> HTML, text, JSON, NIfTI and DICOM (SEG, SR, RTSTRUCT).

``write_analysis`` for a study, ``write_evaluation`` for a bundle's figures on a data set,
``write_run_report`` and ``write_segmentation_run`` for a training run, told with the plain data
of :mod:`diaphane.report.run_facts`. ``findings_document`` and ``schema`` give the content of
findings.json and its JSON Schema.
"""

from diaphane.report.analysis import write_analysis
from diaphane.report.comparison import Comparison, Note, Row, note_words, write_comparison
from diaphane.report.dicom import DicomForms
from diaphane.report.document import findings_document, schema
from diaphane.report.evaluation import write_evaluation
from diaphane.report.language import LANGUAGES, Language
from diaphane.report.pretraining import write_encoder_report
from diaphane.report.run_facts import (
    Confusion,
    Engine,
    Example,
    Family,
    Material,
    Planning,
    RunFacts,
    SegmentedExample,
)
from diaphane.report.training import write_run_report, write_segmentation_run

__all__ = [
    "LANGUAGES",
    "Comparison",
    "Confusion",
    "DicomForms",
    "Engine",
    "Example",
    "Family",
    "Language",
    "Material",
    "Note",
    "Planning",
    "Row",
    "RunFacts",
    "SegmentedExample",
    "findings_document",
    "note_words",
    "schema",
    "write_analysis",
    "write_comparison",
    "write_encoder_report",
    "write_evaluation",
    "write_run_report",
    "write_segmentation_run",
]
