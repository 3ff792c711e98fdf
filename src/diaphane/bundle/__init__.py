"""The artefact that ships: load, verify, run it on a case. ONNX Runtime, no torch."""

from diaphane.bundle.artefact import Bundle, Prediction
from diaphane.bundle.manifest import ConceptCurve, InputSpec, Manifest, Seen, Source
from diaphane.bundle.prepare import PreparedCase, case_hash, prepare_case
from diaphane.bundle.run import OnnxRunner, Output, run_cases
from diaphane.bundle.segmentation import (
    LabelSpec,
    PatchSpec,
    QualityModel,
    SegmentationManifest,
    read_manifest,
)
from diaphane.bundle.segmented import keep_components, quality_features
from diaphane.bundle.segmenter import Segmentation, Segmenter
from diaphane.bundle.store import (
    AnyBundle,
    Installed,
    export_bundle,
    find_bundle,
    import_bundle,
    installed,
    load_bundle,
    load_classifier,
    load_segmenter,
    verify,
    write_bundle,
    write_segmenter,
)

__all__ = [
    "AnyBundle",
    "Bundle",
    "ConceptCurve",
    "InputSpec",
    "Installed",
    "LabelSpec",
    "Manifest",
    "OnnxRunner",
    "Output",
    "PatchSpec",
    "Prediction",
    "PreparedCase",
    "QualityModel",
    "Seen",
    "Segmentation",
    "SegmentationManifest",
    "Segmenter",
    "Source",
    "case_hash",
    "export_bundle",
    "find_bundle",
    "import_bundle",
    "installed",
    "keep_components",
    "load_bundle",
    "load_classifier",
    "load_segmenter",
    "prepare_case",
    "quality_features",
    "read_manifest",
    "run_cases",
    "verify",
    "write_bundle",
    "write_segmenter",
]
