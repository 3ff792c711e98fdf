"""The wheel carries everything: built, installed in a clean environment, and used there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diaphane.cli.demo import PLANTED

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "VIRTUAL"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=480,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a clean environment that holds the wheel and no checkout."""
    place = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT),
        cwd=place,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = place.glob("*.whl")
    made = run(sys.executable, "-m", "venv", place / "env", cwd=place)
    assert made.returncode == 0, made.stderr
    programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    added = run(
        *(programs / "python", "-m", "pip", "install", "--quiet", "--no-compile"),
        *("--constraint", ROOT / "constraints.txt", wheel),
        cwd=place,
    )
    assert added.returncode == 0, added.stderr
    return programs


def test_demo_info_and_analyze_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    packages = run(installed / "python", "-m", "pip", "list", "--format=json", cwd=tmp_path)
    names = {row["name"].lower() for row in json.loads(packages.stdout)}
    assert not names & {"torch", "monai", "pylibjpeg-libjpeg"}

    demo = run(
        *(installed / "diaphane", "demo", "--out", "demo", "--json"),
        cwd=tmp_path, DIAPHANE_HOME=home,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    said = json.loads(demo.stdout)
    assert said["planted"] == said["found"] == len(PLANTED)
    for name in ("findings.json", "report.html", "report.txt", "masks.nii.gz", "seg.dcm", "sr.dcm"):
        assert (tmp_path / "demo" / "result" / name).stat().st_size > 0

    series = tmp_path / "demo" / "scan"
    info = run(
        *(installed / "diaphane", "info", series, "--json"), cwd=tmp_path, DIAPHANE_HOME=home
    )
    assert info.returncode == 0, info.stderr
    assert json.loads(info.stdout)

    listed = run(*(installed / "diaphane", "bundles", "--json"), cwd=tmp_path, DIAPHANE_HOME=home)
    assert listed.returncode == 0, listed.stderr
    assert "lung-nodule" in listed.stdout

    slices = sorted(series.glob("*.dcm"))
    assert len(slices) > 100
    for path in slices[4:]:
        path.unlink()
    analysed = run(
        *(installed / "python", "-m", "diaphane", "analyze", series),
        *("--with", "lung-nodule", "--out", "result", "--lang", "zh"),
        cwd=tmp_path,
        DIAPHANE_HOME=home,
    )
    assert analysed.returncode == 0, analysed.stdout + analysed.stderr
    assert 'lang="zh' in (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
