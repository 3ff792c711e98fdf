"""From outputs to findings: measurements, calibrated decision, abstention, expert rules."""

from diaphane.diagnose.assess import assess, evidence_of, withheld
from diaphane.diagnose.measured import (
    Region,
    diameters,
    location,
    mask_box,
    measurements,
    point_location,
)
from diaphane.diagnose.rules import RuleTable, apply_rule, load_rule

__all__ = [
    "Region",
    "RuleTable",
    "apply_rule",
    "assess",
    "diameters",
    "evidence_of",
    "load_rule",
    "location",
    "mask_box",
    "measurements",
    "point_location",
    "withheld",
]
