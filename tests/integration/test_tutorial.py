"""The tutorial's second half, run word for word; training takes one thread, as tests run side by side."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commands import diaphane

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")


@pytest.mark.learn
def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    lesson = TEXT.split("## Train on a folder")[1]
    (program,) = re.findall(r"```python\n(.+?)```", lesson, re.DOTALL)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    commands = re.findall(r"^\$ diaphane (.+)$", lesson, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        threads = ["--threads", 1] if command.startswith("train ") else []
        done = diaphane(*shlex.split(command), *threads, cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    figures = json.loads((tmp_path / "tested" / "metrics.json").read_text())
    assert figures["split"] == "test"
    assert figures["seen"] == 0
    # Spikes are plain to see: a trainer that works is far above chance.
    assert figures["metrics"]["auc"]["value"] > 0.8
    assert (tmp_path / "one" / "report.html").exists()
