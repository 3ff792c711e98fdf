"""The verb ``analyze``: what a person sees, and exit codes."""

import json
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from commands import Command
from diaphane.cli import app
from diaphane.cli.analyze import parse_point
from diaphane.core.errors import UsageError


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    place = tmp_path_factory.mktemp("b") / "toy"
    return str(toys.write_toy(place, manifest=toys.eight_bit_manifest()))


@pytest.fixture
def stack(tmp_path):
    folder = tmp_path / "stack"
    folder.mkdir()
    for z in range(3):
        plane = np.zeros((20, 20), np.uint8)
        plane[5:14, 4:12] = 120
        Image.fromarray(plane).save(folder / f"{z}.png")
    return folder


def run(*args):
    return CliRunner().invoke(app, ["analyze", *map(str, args)])


def test_done(stack, bundle, tmp_path):
    done = run(stack, "--with", bundle, "--out", tmp_path / "out", "--threads", 1)
    assert done.exit_code == 0, done.output
    assert "Findings: 1" in done.output
    assert str(tmp_path / "out" / "report.html") in done.output
    assert (tmp_path / "out" / "report.html").exists()


def test_json_and_quiet(stack, bundle, tmp_path):
    done = run(stack, "--with", bundle, "--out", tmp_path / "out", "--json")
    said = json.loads(done.stdout)
    assert said["findings"][0]["probability"].keys() == {"benign", "malignant"}
    assert said["report"] == str(tmp_path / "out" / "report.html")
    quiet = run(stack, "--with", bundle, "--out", tmp_path / "out", "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_chinese(stack, bundle, tmp_path):
    done = run(stack, "--with", bundle, "--out", tmp_path / "out", "--lang", "zh")
    assert done.exit_code == 0, done.output
    assert "malignant" in done.output  # the terminal speaks English, and names the class
    assert 'lang="zh' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (["--at", "1,2"], 2),
        (["--at", "-1.5,-2,-3"], 2),
        (["--lang", "xx"], 2),
        (["--identity", "maybe"], 2),
        (["--as", "pile"], 2),
        (["--as", "images"], 3),
        (["--series", "4"], 2),
        (["--threads", "0"], 2),
    ],
)
def test_wrong_usage(stack, bundle, tmp_path, extra, code):
    done = run(stack, "--with", bundle, "--out", tmp_path / "out", *extra)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_an_unknown_name_lists_what_is_installed(stack, tmp_path):
    done = run(stack, "--with", "hand-xray", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 3
    said = json.loads(done.stdout)
    assert said["error"] == "BundleNotFound"
    assert "lung-nodule" in said["remedy"]
    assert "lung-ct" in said["remedy"]


def test_points():
    assert parse_point("-32,40.5, 1e2") == (-32.0, 40.5, 100.0)
    for text in ("", "1,2", "1,2,3,4", "a,b,c"):
        with pytest.raises(UsageError):
            parse_point(text)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT of a child is POSIX")
def test_ctrl_c_leaves_nothing(tmp_path):
    from diaphane.acquire.phantom import chest_phantom, write_dicom_series

    phantom = chest_phantom(4, (2.5, 2.8, 2.8), (128, 132, 132), nodules=())
    write_dicom_series(phantom, tmp_path / "scan")
    command = Command("analyze", tmp_path / "scan", "--with", "lung-ct", "--out", tmp_path / "out")
    time.sleep(0.5)
    command.send(signal.SIGINT)
    done = command.done()
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert {entry.name for entry in tmp_path.iterdir()} == {"scan"}
