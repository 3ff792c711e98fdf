"""The verb ``evaluate``: what a person sees, and exit codes."""

import json
import re

import pytest
from typer.testing import CliRunner

from diaphane.acquire import open_dataset
from diaphane.bundle import Seen, case_hash
from diaphane.cli import app


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(
        tmp_path_factory.mktemp("d") / "set", 8, columns={"site": lambda i: "AB"[i // 4]}
    )


@pytest.fixture(scope="module")
def bundle(toys, stacks, tmp_path_factory):
    entries = open_dataset(stacks).entries
    seen = Seen(
        salt="s",
        train=tuple(case_hash(e.load(), "s") for e in entries[:4]),
        test=tuple(case_hash(e.load(), "s") for e in entries[4:]),
    )
    place = tmp_path_factory.mktemp("b") / "toy"
    return str(toys.write_toy(place, manifest=toys.eight_bit_manifest(seen=seen)))


def run(*args):
    return CliRunner().invoke(app, ["evaluate", *map(str, args)])


def test_done(bundle, stacks, tmp_path):
    found = run(bundle, stacks, "--split", "test", "--out", tmp_path / "o", "--subgroup", "site")
    assert found.exit_code == 0, found.output
    assert "test: 4 cases of 2 groups" in found.output
    assert {p.name for p in (tmp_path / "o").iterdir()} == {
        "metrics.json", "predictions.csv", "report.html",
    }  # fmt: skip


def test_seen_cases_are_said(bundle, stacks, tmp_path):
    found = run(bundle, stacks, "--split", "all", "--out", tmp_path / "o")
    assert "4 seen in training left out" in found.output
    found = run(bundle, stacks, "--split", "train", "--out", tmp_path / "o", "--json")
    assert found.exit_code == 0
    data = json.loads(found.stdout)
    assert (data["n"], data["seen"]) == (0, 4)
    found = run(bundle, stacks, "--split", "train", "--include-seen", "--out", tmp_path / "o")
    assert "train: 4 cases" in found.output


def test_one_class_only_says_what_is_undefined(toys, bundle, tmp_path):
    own = toys.write_stacks(tmp_path / "set", 6, seed=4)
    table = (own / "labels.csv").read_text().splitlines()
    (own / "labels.csv").write_text("\n".join(r for r in table if ",benign" not in r) + "\n")
    found = run(bundle, own, "--split", "all", "--out", tmp_path / "o")
    assert found.exit_code == 0, found.output
    assert re.search(r"auc +undefined: only one class is present", found.output)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--split", "dev"), 2, "train, val, test"),
        (("--split", "val"), 3, "--split all"),
        (("--split", "all", "--subgroup", "colour"), 3, "colour"),
        ((), 2, "--split"),
    ],
)
def test_wrong_usage(bundle, stacks, tmp_path, more, code, said):
    found = run(bundle, stacks, *more, "--out", tmp_path / "o")
    assert found.exit_code == code, found.output
    assert said in found.output
    assert "Traceback" not in found.output
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_left_alone(bundle, stacks, tmp_path):
    found = run(bundle, stacks, "--split", "all", "--out", stacks)
    assert found.exit_code == 2
    assert "data set itself" in found.output
    (tmp_path / "report.html").write_text("of a run")
    found = run(bundle, stacks, "--split", "all", "--out", tmp_path)
    assert found.exit_code == 2
    assert (tmp_path / "report.html").read_text() == "of a run"
    out = tmp_path / "own"
    assert run(bundle, stacks, "--split", "all", "--out", out).exit_code == 0
    assert run(bundle, stacks, "--split", "all", "--out", out).exit_code == 0


def test_data_that_is_none(bundle, tmp_path):
    found = run(bundle, tmp_path / "absent", "--split", "all", "--out", tmp_path / "o")
    assert found.exit_code == 3
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    found = run(bundle, tmp_path / "texts", "--split", "all", "--out", tmp_path / "o")
    assert found.exit_code == 3
    assert not (tmp_path / "o").exists()
