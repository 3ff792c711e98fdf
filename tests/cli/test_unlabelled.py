"""The verbs ``pretrain``, ``select`` and ``anomaly``: what a person sees, and exit codes."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diaphane.cli import app


def run(*args):
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(10):
        image = random.normal(90, 15, (24, 32)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(place / f"p{number}.png")
    return place


def test_pretrain(pictures, tmp_path):
    args = ("pretrain", pictures, "--out", tmp_path / "e", "--threads", 1)
    found = run(*args, "--steps", 2, "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.output)
    assert (said["cases"], said["steps"], said["method"]) == (10, 2, "masked")
    again = run(*args, "--steps", 2)
    assert again.exit_code == 3
    assert "exists already" in again.output
    wrong = run("pretrain", pictures, "--out", tmp_path / "f", "--time-budget", "soon")
    assert wrong.exit_code == 2
    assert "is no time" in wrong.output


def test_select(toys, tmp_path):
    bundle = toys.write_toy(tmp_path / "b" / "toy", manifest=toys.eight_bit_manifest())
    stacks = toys.write_stacks(tmp_path / "set", 5)
    out = tmp_path / "next.csv"
    found = run("select", bundle, stacks, "--n", 2, "--out", out, "--threads", 1)
    assert found.exit_code == 0, found.output
    assert "2 of 5" in found.output
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rank"] for row in rows] == ["1", "2"]
    said = json.loads(run("select", bundle, stacks, "--n", 3, "--json").output)
    assert [case["file"] for case in said["chosen"]][:2] == [row["file"] for row in rows]


def test_anomaly(pictures, tmp_path):
    made = run("anomaly", "fit", pictures, "--out", tmp_path / "m", "--threads", 1)
    assert made.exit_code == 0, made.output
    assert "10 normal cases" in made.output
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    found = run(
        "anomaly", "score", tmp_path / "m", pictures / "p0.png", bad,
        "--out", tmp_path / "s.csv", "--maps", tmp_path / "maps",
    )  # fmt: skip
    assert found.exit_code == 1, found.output
    assert (tmp_path / "maps" / "p0.png").is_file()
    assert run("anomaly", "score", tmp_path / "m", "--out", tmp_path / "t.csv").exit_code == 2
    assert run("anomaly", "fit", pictures, "x", "--out", tmp_path / "t").exit_code == 2
    empty = run("anomaly", "score", pictures, pictures, "--out", tmp_path / "t.csv")
    assert empty.exit_code == 3
    assert "anomaly fit" in empty.output
