"""Reports of evaluations and of training runs."""

from __future__ import annotations

import re

import pytest

from diaphane.core.evaluation import Evaluation, Interval
from diaphane.report import write_evaluation, write_run_report


@pytest.fixture
def evaluation() -> Evaluation:
    square = {"x": [0.0, 0.2, 1.0], "y": [0.0, 0.8, 1.0]}
    band = {"x": [0.1, 0.9], "y": [0.2, 0.8], "low": [0.1, 0.7], "high": [0.3, 0.9]}
    return Evaluation(
        "binary", "test", 300, 150, 4,
        {"auc": Interval(0.9051, 0.88, 0.93), "ece": Interval(0.031, 0.02, 0.05),
         "calibration_slope": Interval(1.02, 0.9, 1.2), "dice:1": Interval(None, None, None)},
        {"sex": {"F": {"n": 150, "metrics": {"auc": Interval(0.91, 0.86, 0.95)}},
                 "<b>": {"n": 2, "metrics": {}}}},
        {"roc": {"malignant": square}, "precision_recall": {"malignant": square},
         "reliability": {"malignant": band}},
        {"seed": 7, "rounds": 2000, "level": 0.95, "ece_perfect_95": 0.05,
         "undefined": {"dice:1": "no mask"}},
    )  # fmt: skip


def test_an_evaluation_shows_its_figures(evaluation, tmp_path, make_study) -> None:
    worst = [{"case": "n/<i>12", "label": "malignant", "probability": 0.031}]
    path = write_evaluation(
        evaluation, tmp_path / "report.html", bundle=make_study().bundles[0], worst=worst
    )
    text = path.read_text(encoding="utf-8")
    for words in (
        "0.905", "0.880 to 0.930", "4 cases were seen in training", "up to 0.050", "no mask",
        "By sex", "&lt;b&gt;", "n/&lt;i&gt;12", "3.1%", "Seed", "3f" * 32,
    ):  # fmt: skip
        assert words in text
    assert text.count("<svg") == 3
    assert not re.search(r'(?:src|href)="https?:', text)


def test_an_evaluation_without_unseen_cases_says_so(tmp_path) -> None:
    nothing = Evaluation("binary", "test", 0, 0, 12, {"auc": Interval(None, None, None)})
    text = write_evaluation(nothing, tmp_path / "r.html", lang="zh").read_text(encoding="utf-8")
    assert "12 例曾用于训练" in text
    assert "ROC 曲线下面积" in text


def epochs(members: int, folds: int) -> list[dict[str, object]]:
    return [
        {"member": m, "fold": m % folds, "epoch": e, "loss": 1 / e, "stop_loss": 1.1 / e,
         "stop_metric": None if e == 1 else 1 - 0.3 / e}
        for m in range(members) for e in range(1, 6)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "folds", "legend"),
    [(1, 1, None), (5, 5, "fold 5"), (10, 5, "range of 10 networks")],
)
def test_a_run_shows_how_it_learned(tmp_path, members, folds, legend) -> None:
    path = write_run_report(
        tmp_path / "report.html", plan={"task": "binary"}, epochs=epochs(members, folds)
    )
    text = path.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert legend is None or legend in text


def test_a_run_shows_plan_split_and_figures(evaluation, tmp_path, make_study) -> None:
    path = write_run_report(
        tmp_path / "report.html",
        plan={"task": "binary", "positive": "<u>", "network": {"rnn": "gru", "width": 48}},
        epochs=[],
        split={"train": {"cases": 500, "groups": 300}, "test": {"cases": 90}},
        evaluation=evaluation,
        bundle=make_study().bundles[0],
        calibration={"slope": [1.02], "ece": 0.031},
        faithfulness={"deletion": Interval(0.1, 0.05, 0.2)},
        notes=["stopped by the user <b>"],
    )
    text = path.read_text(encoding="utf-8")
    for words in (
        "&lt;u&gt;", "gru", "500", "0.031", "0.100 (0.050 to 0.200)",
        "took no part in training (test)", "stopped by the user &lt;b&gt;",
    ):  # fmt: skip
        assert words in text
