"""An SR as OHIF reads it: npm's @cornerstonejs/adapters, kept between runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diaphane.core.locks import locked
from diaphane.report.dicom.source import SourceImages

SCRIPTS = Path(__file__).parent / "integration" / "adapters"
PACKAGES = ("@cornerstonejs/adapters@5.14.0", "@babel/runtime@7.26.10")


def reader() -> Path:
    """The script beside its packages; skips where they cannot be had."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    home = Path(tempfile.gettempdir()) / f"diaphane-adapters-{os.getuid()}"
    core = home / "node_modules" / "@cornerstonejs" / "core"
    home.mkdir(mode=0o700, exist_ok=True)
    with locked(home / "lock", 300):
        if not core.exists():
            (home / "package.json").write_text('{"private": true, "type": "module"}')
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                 "--legacy-peer-deps", *PACKAGES],
                cwd=home, capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip
            if done.returncode:
                pytest.skip(f"npm could not install the adapters: {done.stderr[-300:]}")
            core.mkdir()
        about = '{"name": "@cornerstonejs/core", "type": "module", "main": "index.js"}'
        (core / "package.json").write_text(about)
        shutil.copy(SCRIPTS / "core.js", core / "index.js")
        return Path(shutil.copy(SCRIPTS / "read_sr.mjs", home / "read_sr.mjs"))


def read(script: Path, sr: Path, source: SourceImages, folder: Path) -> dict[str, Any]:
    """What the adapters ("told") and OHIF's list ("shown") make of an SR of these images."""
    planes = {}
    geometry = source.geometry
    for z in range(geometry.shape[0]):
        _, uid, frames = source.reference(z)
        direction = np.asarray(geometry.direction)
        planes[f"{uid}:{frames[0] if frames else 1}"] = {
            "position": geometry.to_patient((z, 0, 0)).tolist(),
            "across": direction[:, 2].tolist(),
            "down": direction[:, 1].tolist(),
            "spacing": list(geometry.spacing[1:]),
            "frameOfReferenceUID": source.first.FrameOfReferenceUID,
        }
    (folder / "images.json").write_text(json.dumps(planes))
    done = subprocess.run(
        ["node", script, sr, folder / "images.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
