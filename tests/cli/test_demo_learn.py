"""``demo --learn``: made-up pictures, a trained model, its judgement and both reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from diaphane.cli import app

pytest.importorskip("torch")
pytestmark = pytest.mark.learn


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def done(place: Path) -> Any:
    """One short demo."""
    options = ["--time-budget", "15s", "--threads", "1", "--seed", "5"]
    return CliRunner().invoke(app, ["demo", "--learn", "--out", str(place), *options])


def test_it_goes_the_whole_way_and_says_how_to_go_it_alone(done, place) -> None:
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"diaphane train {place / 'dataset'} --out {place / 'run'}" in said
    assert f"diaphane evaluate {place / 'run' / 'bundle'} {place / 'dataset'} --split test" in said
    assert str(place / "run" / "report.html") in said
    assert "area under the ROC curve" in said
    assert len(list((place / "dataset" / "images").glob("*.png"))) == 80
    figures = json.loads((place / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    assert figures["n"] == 20
    assert figures["seen"] == 0


def test_the_run_report_holds_cases_methods_and_no_names(done, place) -> None:
    text = (place / "run" / "report.html").read_text(encoding="utf-8")
    assert text.count('<figure class="case') == 18
    assert "The data set comprised 80 cases of 40 patients" in text
    assert "training 60 cases of 30 patients; test 20 cases of 10 patients" in text
    assert "CLAIM" in text
    for name in ("patient06", "patient 06", str(place)):
        assert name not in text


def test_it_does_not_write_over_anything(done, place) -> None:
    again = CliRunner().invoke(app, ["demo", "--learn", "--out", str(place)])
    assert again.exit_code == 2
    assert "Give another --out folder" in again.output
    assert (place / "run" / "report.html").exists()


def test_a_time_that_is_none_is_refused_before_anything_is_made(tmp_path) -> None:
    out = tmp_path / "out"
    said = CliRunner().invoke(app, ["demo", "--learn", "--out", str(out), "--time-budget", "soon"])
    assert said.exit_code == 2
    assert not out.exists()
