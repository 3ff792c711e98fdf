"""The verb ``predict``: what a person sees, and exit codes."""

import csv
import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from diaphane.cli import app


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    place = tmp_path_factory.mktemp("b") / "toy"
    return str(toys.write_toy(place, manifest=toys.eight_bit_manifest()))


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 4)


def run(*args):
    return CliRunner().invoke(app, ["predict", *map(str, args)])


def test_done(bundle, stacks, tmp_path):
    out = tmp_path / "p.csv"
    found = run(bundle, stacks, "--out", out, "--contributions", "--threads", 1)
    assert found.exit_code == 0, found.output
    assert "4 cases" in found.output
    with out.open(newline="") as stream:
        assert "contribution:image" in next(csv.reader(stream))


def test_quiet_says_nothing(bundle, stacks, tmp_path):
    found = run(bundle, stacks, "--out", tmp_path / "p.csv", "--quiet")
    assert (found.exit_code, found.output) == (0, "")


def test_some_refused(bundle, stacks, tmp_path):
    found = run(bundle, stacks, tmp_path / "absent.png", "--out", tmp_path / "p.csv", "--json")
    assert found.exit_code == 1
    data = json.loads(found.stdout)
    assert data["done"] == 4
    assert data["refused"][0]["file"] == str(tmp_path / "absent.png")
    assert (tmp_path / "rejected.csv").exists()


def test_nothing_done(bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    found = run(bundle, tmp_path / "empty", "--out", tmp_path / "p.csv")
    assert found.exit_code == 3
    assert "Traceback" not in found.output
    assert not (tmp_path / "p.csv").exists()
    assert (tmp_path / "rejected.csv").exists()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("nothing-of-that-name", "{data}", "--out", "{out}/p.csv"), 3),
        (("{bundle}", "{data}"), 2),
        (("{bundle}", "--out", "{out}/p.csv"), 2),
        (("{bundle}", "{data}", "--out", "{out}"), 2),
        (("{bundle}", "{data}", "--out", "{out}/p.csv", "--as", "heap"), 2),
        (("{bundle}", "{data}", "--out", "{out}/p.csv", "--threads", "0"), 2),
    ],
)
def test_wrong_usage(bundle, stacks, tmp_path, args, code):
    found = run(*(a.format(bundle=bundle, data=stacks, out=tmp_path) for a in args))
    assert found.exit_code == code, found.output
    assert "Traceback" not in found.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_an_earlier_table_is_replaced(bundle, stacks, tmp_path):
    labels = stacks / "labels.csv"
    before = labels.read_bytes()
    found = run(bundle, stacks, "--out", labels)
    assert found.exit_code == 2
    assert "another file" in found.output
    assert labels.read_bytes() == before
    table = tmp_path / "p.csv"
    assert run(bundle, stacks, "--out", table).exit_code == 0
    assert run(bundle, stacks, "--out", table).exit_code == 0


def test_as_images(bundle, stacks, tmp_path):
    folder = stacks / "images/s03"
    found = run(bundle, folder, "--out", tmp_path / "p.csv", "--as", "images", "--json")
    assert json.loads(found.stdout)["done"] == 4


def test_help_names_the_columns():
    found = run("--help")
    assert found.exit_code == 0
    assert "probability:CLASS" in found.output
    assert "rejected.csv" in found.output


def test_ctrl_c_leaves_nothing(bundle, stacks, tmp_path):
    """A person stops it in the middle: exit code 130 and no file."""
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background job
        "from diaphane import cli\n"
        "from diaphane.batch import predicting\n"
        "answers = predicting.answers\n"
        "def slowly(*args):\n"
        "    for answer in answers(*args):\n"
        "        yield answer\n"
        "        print('one', flush=True)\n"
        "        sys.stdin.readline()\n"
        "predicting.answers = slowly\n"
        "cli.main()\n"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", script, "predict", bundle, str(stacks), "--out", "p.csv"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert job.stdout.readline() == "one\n"
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
