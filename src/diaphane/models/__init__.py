"""Networks whose score is a sum of evidence; checkpoints and export. Needs torch."""

from diaphane.models.blend import blend
from diaphane.models.checkpoint import load_checkpoint, save_checkpoint
from diaphane.models.config import EvidenceConfig
from diaphane.models.curves import shape_curves
from diaphane.models.device import pick_device
from diaphane.models.ensemble import Ensemble, View
from diaphane.models.evidence import EvidenceNet, EvidenceOutput
from diaphane.models.export import export_onnx

__all__ = [
    "Ensemble",
    "EvidenceConfig",
    "EvidenceNet",
    "EvidenceOutput",
    "View",
    "blend",
    "export_onnx",
    "load_checkpoint",
    "pick_device",
    "save_checkpoint",
    "shape_curves",
]
