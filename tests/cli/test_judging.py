"""The verbs ``calibrate`` and ``compare``, and ``evaluate --predictions``, as typed."""

import csv
import json

import pytest
from typer.testing import CliRunner

from diaphane.cli import app
from diaphane.core.decision import Calibration


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 30)


@pytest.fixture(scope="module")
def bundle(toys, tmp_path_factory):
    made = toys.eight_bit_manifest(calibration=Calibration("binary", (4.0,), (1.0,)))
    return toys.write_toy(tmp_path_factory.mktemp("b") / "toy", manifest=made)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "other.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("case", "probability"))
        writer.writerows((f"s{i:02d}", 0.3 + 0.4 * (i % 2) - 0.01 * i) for i in range(30))
    return path


def test_calibrate_evaluate_compare(bundle, stacks, table, tmp_path):
    made = run("calibrate", bundle, stacks, "--out", tmp_path / "site", "--seed", 1)
    assert made.exit_code == 0, made.output
    for word in ("30 cases of 15 groups", "15 benign, 15 malignant", "log loss", "held out"):
        assert word in made.output
    assert (tmp_path / "site.html").is_file()
    assert "with fewer than 50" in made.output
    judged = run(
        "evaluate", "--predictions", table, stacks, "--split", "all", "--out", tmp_path / "e"
    )
    assert judged.exit_code == 0, judged.output
    assert "guessed: 'malignant'" in judged.output
    assert "all: 30 cases of 15 groups" in judged.output
    own = run("evaluate", bundle, stacks, "--split", "all", "--out", tmp_path / "f")
    assert own.exit_code == 0, own.output
    both = run("compare", tmp_path / "e", tmp_path / "f", "--out", tmp_path / "c")
    assert both.exit_code == 0, both.output
    assert "30 cases of 15 groups scored by both" in both.output
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"compare.json", "report.html"}
    said = run("compare", table, tmp_path / "f", "--dataset", stacks, "--json")
    data = json.loads(said.stdout)
    assert (data["n"], data["a"], data["b"]) == (30, "predictions", "toy")


def test_json_of_calibrate(bundle, stacks, tmp_path):
    made = run("calibrate", bundle, stacks, "--out", tmp_path / "b", "--json", "--name", "mine")
    data = json.loads(made.stdout)
    assert (data["n"], data["cases"]) == (30, {"benign": 15, "malignant": 15})
    assert set(data["changes"]["brier"]) >= {"model", "baseline", "difference", "p"}
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["name"] == "mine"


def test_missing_cases_end_with_a_code(stacks, table, tmp_path):
    short = tmp_path / "short.csv"
    short.write_text("".join(table.read_text().splitlines(keepends=True)[:-2]))
    base = ("evaluate", "--predictions", short, stacks, "--split", "all")
    stopped = run(*base, "--out", tmp_path / "a")
    assert stopped.exit_code == 3
    assert "--missing wrong" in stopped.output
    skipped = run(*base, "--out", tmp_path / "b", "--missing", "skip")
    assert skipped.exit_code == 1
    assert "2 refused" in skipped.output
    counted = run(*base, "--out", tmp_path / "c", "--missing", "wrong")
    assert counted.exit_code == 0
    assert "2 cases without a usable prediction count as failures" in counted.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "SET", "--split", "all", "--out", "o"), "bundle and a data set"),
        (("evaluate", "BUNDLE", "SET", "--predictions", "T", "--split", "all", "--out", "o"),
         "without a bundle"),
        (("evaluate", "BUNDLE", "SET", "--positive", "x", "--split", "all", "--out", "o"),
         "for --predictions"),
        (("evaluate", "SET", "--predictions", "T", "--split", "all", "--out", "o",
          "--include-seen"), "nobody knows"),
        (("evaluate", "SET", "--predictions", "T", "--split", "all", "--out", "o",
          "--positive", "cat"), "not a class"),
        (("compare", "T", "T"), "--dataset"),
        (("compare", "T", "T", "--split", "all"), "--dataset"),
        (("calibrate", "BUNDLE", "SET", "--out", "o", "--split", "dev"), "train, val, test"),
    ],
)  # fmt: skip
def test_wrong_usage(bundle, stacks, table, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    known = {"SET": stacks, "BUNDLE": bundle, "T": table}
    found = run(*(known.get(word, word) for word in words))
    assert found.exit_code == 2, found.output
    assert said in found.output
    assert "Traceback" not in found.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(bundle, stacks, tmp_path):
    found = run("calibrate", bundle, stacks, "--out", stacks)
    assert found.exit_code == 3
    assert "exists" in found.output
