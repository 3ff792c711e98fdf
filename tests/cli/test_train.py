"""``diaphane train`` and ``plan`` as a stranger would use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import synthetic
from commands import Command, diaphane


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return synthetic.write_balls(tmp_path_factory.mktemp("d") / "balls", 20, per_group=1)


def test_train_prints_and_writes(data, tmp_path):
    for file in (data / "images" / "case004").iterdir():
        original, name = file.read_bytes(), file
        break
    name.write_bytes(b"broken")
    out = tmp_path / "run"
    done = diaphane(
        "train", data, "--out", out, "--epochs", 1, "--threads", 1, "--positive", "suspicious",
        "--folds", 2,
    )  # fmt: skip
    name.write_bytes(original)
    assert done.returncode == 1, done.stderr
    assert "epoch 1/1: loss" in done.stdout
    assert "1 refused" in done.stderr
    assert (out / "report.html").is_file()
    assert "images/case004" in (out / "rejected.csv").read_text()
    again = diaphane("train", data, "--out", out)
    assert again.returncode == 3
    assert "--resume" in again.stderr
    assert "Traceback" not in again.stderr


def test_ctrl_c_leaves_a_run_that_goes_on(data, tmp_path):
    out = tmp_path / "run"
    words = ["train", data, "--out", out, "--threads", 1, "--json"]
    command = Command(*words, "--epochs", 12, "--folds", 2)
    end = time.monotonic() + 120
    while not list(out.glob("checkpoint/current*.safetensors")):
        assert command.running
        assert time.monotonic() < end
        time.sleep(0.02)
    command.send(signal.SIGINT)
    done = command.done()
    assert done.returncode == 130
    assert "--resume" in done.stderr
    assert json.loads(done.stdout)["error"] == "Interrupted"
    done = diaphane(*words, "--resume")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert Path(answer["bundle"]).is_dir()
    assert answer["about"]["split"] == "out_of_fold"


def test_plan_writes_two_files(data, tmp_path):
    done = diaphane("plan", data, "--out", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert "guessed" in done.stdout
    assert {p.name for p in (tmp_path / "p").iterdir()} == {"plan.yaml", "fingerprint.json"}
    said = diaphane("plan", data, "--out", tmp_path / "q", "--json", "--positive", "calm")
    assert json.loads(said.stdout)["fingerprint"]["cases"] == 20


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--plan", "none.yaml"], 3, "plan cannot be read"),
        (["--positive", "purple"], 2, "not a class"),
        (["--folds", "1"], 2, "--folds"),
        (["--folds", "50"], 3, "50 folds need"),
        (["--device", "abacus"], 2, "unknown device"),
        (["--as", "pile"], 2, "'pile' is not one of"),
        (["--resume"], 2, "no run to resume"),
    ],
)
def test_wrong_wishes_end_with_a_line(data, tmp_path, words, code, said):
    done = diaphane("train", data, "--out", tmp_path / "run", "--quiet", *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_without_torch_the_extra_is_named(data, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "diaphane", "train", str(data), "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "diaphane[learn]" in done.stderr
