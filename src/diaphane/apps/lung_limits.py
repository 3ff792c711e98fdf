"""What ``lung-ct`` was measured to find, and what it says that it cannot do."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from diaphane.anatomy import Lungs
from diaphane.apps.nodule_stack import stack_recipe

Note = tuple[str, dict[str, Any]]

CUT_LUNG_MM2 = 1500.0  # section of lung on the first or last slice that tells of a cut lung


def lungs_cut(lungs: Lungs) -> bool:
    """Whether much lung lies on the first or last slice of the scan."""
    _, dy, dx = lungs.geometry.spacing_mm
    ends = [int(np.count_nonzero(lungs.mask[z])) for z in (0, -1)]
    return max(ends) * dy * dx > CUT_LUNG_MM2


@cache
def measured_sensitivity() -> tuple[dict[str, Any], ...]:
    """Rows of ``data/lung_ct_performance.yaml``: what the search was measured to find."""
    text = (files(__package__) / "data" / "lung_ct_performance.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["figures"])


def stated_limits(largest_mm: float) -> tuple[Note, ...]:
    """What every report of the app says it cannot do."""
    low, high = (float(getattr(stack_recipe().steps[-1], name)) for name in ("in_low", "in_high"))
    return (
        ("not_a_device", {}),
        ("not_normal", {}),
        ("solid_only", {}),
        ("labels_are_opinions", {}),
        ("one_reader_outline", {}),
        ("unknown_hu", {"low": low, "high": high}),
        ("largest", {"value": largest_mm}),
        ("given_context", {}),
    )
