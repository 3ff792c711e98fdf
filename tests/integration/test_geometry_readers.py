"""Geometry and voxels against SimpleITK and dcm2niix, over all real DICOM series."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"

pytestmark = [pytest.mark.shared_data, pytest.mark.integration]


@pytest.fixture(scope="module")
def readers():
    """``benchmarks/readers.py``."""
    if shutil.which("/usr/bin/dcm2niix") is None:
        pytest.skip("dcm2niix is not installed")
    spec = importlib.util.spec_from_file_location("readers", HERE / "readers.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["readers"] = module
    spec.loader.exec_module(module)
    return module


def test_same_place_and_values_or_a_reason(readers, shared_data):
    rows = readers.survey(shared_data("dicom_zoo").parent)
    assert len(rows) > 100
    placed = [row for row in rows if row.placed]
    assert len(placed) > 70
    unexplained = [
        (row.name, reader, found)
        for row, reader, found, why in readers.differences(rows)
        if why is None or found.startswith("place")
    ]
    assert unexplained == []
    assert readers.page(rows) == readers.PAGE.read_text(encoding="utf-8")
