"""Identity shows itself nowhere by accident."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import diaphane
from diaphane.core.case import Identified, Identity, SourceRef
from diaphane.core.errors import PrivacyError


def test_a_source_shows_nothing_and_does_not_travel() -> None:
    source = SourceRef([Path("Mustermann_Max") / "1.dcm"])
    assert "Mustermann" not in repr(source) + str(source)
    assert source.open_for_dicom_writer() == (Path("Mustermann_Max") / "1.dcm",)
    with pytest.raises(TypeError):
        json.dumps(source)
    with pytest.raises(PrivacyError):
        copy.deepcopy(source)


def test_an_identified_value_prints_no_identity() -> None:
    thing = Identified("study", Identity(patient_name="Mustermann^Max"))
    assert "Mustermann" not in repr(thing)


def test_the_type_checker_stops_an_identified_case_at_the_door(tmp_path: Path) -> None:
    code = tmp_path / "wrong_door.py"
    code.write_text(
        "from diaphane.core.case import Case, Identified\n"
        "def learn_from(case: Case) -> None: ...\n"
        "def wrong(case: Identified[Case]) -> None:\n"
        "    learn_from(case)\n"
        "def right(case: Identified[Case]) -> None:\n"
        "    learn_from(case.value)\n"
    )
    pytest.importorskip("mypy", reason="mypy is not installed")
    # Of this program alone: to check numpy's own types would take half a minute.
    words = ["--config-file=", "--no-site-packages", "--ignore-missing-imports"]
    words += ["--follow-imports=silent", "--cache-dir", str(tmp_path), str(code)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": str(Path(diaphane.__file__).parents[1])},
    )
    assert "wrong_door.py:4: error: Argument 1" in done.stdout
    assert "Found 1 error" in done.stdout
