"""The artefact that ships: load, verify, run it on a case. ONNX Runtime, no torch."""

from diaphane.bundle.artefact import Bundle, Prediction
from diaphane.bundle.manifest import ConceptCurve, InputSpec, Manifest, Seen, Source
from diaphane.bundle.prepare import PreparedCase, case_hash, prepare_case
from diaphane.bundle.run import OnnxRunner, Output, run_cases
from diaphane.bundle.store import (
    Installed,
    export_bundle,
    find_bundle,
    import_bundle,
    installed,
    load_bundle,
    verify,
    write_bundle,
)

__all__ = [
    "Bundle",
    "ConceptCurve",
    "InputSpec",
    "Installed",
    "Manifest",
    "OnnxRunner",
    "Output",
    "Prediction",
    "PreparedCase",
    "Seen",
    "Source",
    "case_hash",
    "export_bundle",
    "find_bundle",
    "import_bundle",
    "installed",
    "load_bundle",
    "prepare_case",
    "run_cases",
    "verify",
    "write_bundle",
]
