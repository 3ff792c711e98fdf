"""ONNX Runtime keeps and sends nothing of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import diaphane

PROGRAM = """
from diaphane.bundle import load_bundle
from diaphane.privacy.pixels import finder
load_bundle("breastmnist-28", threads=1)
finder._session()
"""


def test_a_bundle_leaves_no_telemetry(tmp_path):
    for name in ("home", "cwd"):
        (tmp_path / name).mkdir()
    places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "cwd")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env=kept | places, cwd=tmp_path / "cwd", check=True
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_one_door_imports_it():
    root = Path(diaphane.__file__).parent
    found = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == ["core/runtime.py"]
