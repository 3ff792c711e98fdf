"""Figures against scikit-learn's, and what intervals and gaps mean."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from diaphane.evaluate import (
    Bootstrap,
    evaluate_classification,
    group_folds,
    group_numbers,
    paired_bootstrap,
)

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with [learn]")

# Twelve cases worked out by hand below; ties are meant.
Y = np.array([0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1])
P = np.array([0.1, 0.4, 0.35, 0.8, 0.4, 0.9, 0.2, 0.4, 0.7, 0.6, 0.05, 0.5])


def two(p):
    return np.stack([1 - p, p], axis=1)


def cohort(n=300, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(1.5 * (2 * y - 1) + rng.normal(0, 2, n))))
    groups = [f"P-{g}" for g in rng.integers(0, n // 2, n)]
    return y, np.round(p, 2) if ties else p, groups


def value(figures, name):
    return figures.metrics[name].value


def test_golden_values_worked_out_by_hand():
    found = evaluate_classification(Y, two(P), rounds=0)
    pairs = [(a > b) + 0.5 * (a == b) for a in P[Y == 1] for b in P[Y == 0]]
    assert value(found, "auc") == pytest.approx(sum(pairs) / 36)
    assert value(found, "sensitivity") == pytest.approx(4 / 6)
    assert value(found, "specificity") == pytest.approx(5 / 6)
    assert value(found, "accuracy") == pytest.approx(9 / 12)
    assert value(found, "f1") == pytest.approx(8 / 11)
    assert found.metrics["auc"].low is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [True, False])
def test_binary_figures_equal_scikit_learn(seed, ties):
    y, p, _ = cohort(seed=seed, ties=ties)
    found = evaluate_classification(y, two(p), rounds=0, threshold=0.3)
    called = p >= 0.3
    expected = {
        "auc": sklearn.roc_auc_score(y, p),
        "average_precision": sklearn.average_precision_score(y, p),
        "accuracy": sklearn.accuracy_score(y, called),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, called),
        "sensitivity": sklearn.recall_score(y, called),
        "specificity": sklearn.recall_score(1 - y, ~called),
        "f1": sklearn.f1_score(y, called),
        "brier": sklearn.brier_score_loss(y, p),
        "log_loss": sklearn.log_loss(y, p),
    }
    for name, right in expected.items():
        assert value(found, name) == pytest.approx(right, abs=1e-12), name
    assert found.settings["threshold"] == 0.3


@pytest.mark.parametrize("seed", range(3))
def test_multiclass_figures_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, 200)
    p = rng.dirichlet(np.ones(4), 200) * 0.6 + 0.4 * np.eye(4)[rng.integers(0, 4, 200)]
    answer = p.argmax(axis=1)
    names = ["a", "b", "c", "d"]
    found = evaluate_classification(y, p, classes=names, rounds=0)
    whole = np.eye(4)[y]
    assert found.task == "multiclass"
    for name, right in {
        "auc": sklearn.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "average_precision": sklearn.average_precision_score(whole, p, average="macro"),
        "accuracy": sklearn.accuracy_score(y, answer),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, answer),
        "f1": sklearn.f1_score(y, answer, average="macro"),
        "brier": sklearn.brier_score_loss(y, p, labels=range(4), scale_by_half=False),
        "log_loss": sklearn.log_loss(y, p),
        "auc:c": sklearn.roc_auc_score(y == 2, p[:, 2]),
        "sensitivity:b": sklearn.recall_score(y == 1, answer == 1),
    }.items():
        assert value(found, name) == pytest.approx(right, abs=1e-9), name


def test_multilabel_is_each_label_and_their_mean():
    y, p, groups = cohort()
    labels, chances = np.stack([y, 1 - y, y], 1), np.stack([p, 1 - p, 0.5 * p], 1)
    found = evaluate_classification(labels, chances, groups, classes=["x", "y", "z"], rounds=50)
    alone = evaluate_classification(y, two(p), groups, rounds=50)
    assert found.task == "multilabel"
    assert found.metrics["auc:x"] == alone.metrics["auc"]
    assert value(found, "auc:x") == pytest.approx(value(found, "auc:y"))
    mean = np.mean([value(found, f"brier:{k}") for k in "xyz"])
    assert value(found, "brier") == pytest.approx(mean)
    assert set(found.curves["roc"]) == {"x", "y", "z"}


def test_calibration_error_is_that_of_ten_equal_bins():
    y, p, _ = cohort(200, ties=False)
    order = np.argsort(p)
    bins = np.split(order, 10)
    right = np.mean([abs(p[b].mean() - y[b].mean()) for b in bins])
    assert value(evaluate_classification(y, two(p), rounds=0), "ece") == pytest.approx(right)


def test_calibration_slope_equals_an_unpenalised_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    y, p, _ = cohort(ties=False)
    logit = np.log(p / (1 - p))[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LogisticRegression(C=1e12, tol=1e-10).fit(logit, y).coef_.item()
    found = value(evaluate_classification(y, two(p), rounds=0), "calibration_slope")
    assert found == pytest.approx(theirs, rel=1e-4)


def test_weights_are_what_repeating_cases_would_give():
    y, p, groups = cohort(600)
    numbers = group_numbers(groups, 600)
    weights = next(Bootstrap(rounds=5, seed=4).weights(numbers))
    from diaphane.evaluate.metrics import binary_metrics

    fast = binary_metrics(y, p, weights)
    for k, row in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(600), row)
        slow = binary_metrics(y[again], p[again], np.ones((1, len(again))))
        for name in fast:
            # Equal chances may fall into other bins when cases are spelled out.
            tolerance = 0.02 if name == "ece" else 1e-9
            assert fast[name][k] == pytest.approx(slow[name][0], abs=tolerance), name


def test_groups_are_drawn_whole_and_widen_intervals():
    y, p, _ = cohort(100)
    ten = np.repeat(np.arange(100), 10)
    many = evaluate_classification(y[ten], two(p[ten]), ten, rounds=400)
    once = evaluate_classification(y, two(p), rounds=400)
    naive = evaluate_classification(y[ten], two(p[ten]), rounds=400)

    def width(found):
        return found.metrics["auc"].high - found.metrics["auc"].low

    assert width(many) == pytest.approx(width(once), rel=1e-6)
    assert width(naive) < 0.5 * width(many)
    assert (many.n, many.groups) == (1000, 100)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = (rng.random(150) < 0.3).astype(int)
        found = evaluate_classification(y, two(np.full(150, 0.3)), rounds=300, seed=seed)
        low, high = found.metrics["brier"].low, found.metrics["brier"].high
        inside += low <= 0.21 <= high
    assert 50 <= inside <= 60


@pytest.mark.parametrize("n", [40, 80, 600])
def test_the_interval_of_the_calibration_error_holds_it(n):
    """Draws of it are too large by chance upon chance; plain percentiles lay above the figure."""
    rng = np.random.default_rng(n)
    p = rng.uniform(0.02, 0.98, n)
    y = (rng.random(n) < p).astype(int)
    for found in (
        evaluate_classification(y, two(p), rounds=300).metrics["ece"],
        paired_bootstrap(y, two(p), two(p**2), rounds=300, metrics=("ece",))["ece"].model_interval,
    ):
        assert 0 <= found.low < found.value < found.high


def test_the_seed_decides_everything():
    y, p, groups = cohort()
    one, two_, three = (
        evaluate_classification(y, two(p), groups, rounds=100, seed=s).metrics for s in (1, 1, 2)
    )
    assert one == two_
    assert one != three


def test_large_sets_are_drawn_in_parts():
    parts = list(Bootstrap(rounds=1500).weights(np.arange(3000)))
    assert len(parts) > 1
    assert sum(len(part) for part in parts) == 1500
    assert all((part.sum(axis=1) == 3000).all() for part in parts)


def test_undefined_figures_are_none_with_a_reason():
    found = evaluate_classification([1, 1, 1], two(np.array([0.2, 0.7, 0.9])), rounds=20)
    for name in ("auc", "specificity", "balanced_accuracy", "calibration_slope"):
        assert value(found, name) is None
        assert found.undefined[name] == "only one class is present"
    assert value(found, "accuracy") == pytest.approx(2 / 3)
    assert found.curves["roc"]["1"] is None
    separable = evaluate_classification([0, 0, 1, 1], two(np.array([0.1, 0.2, 0.8, 0.9])))
    assert "separable" in separable.undefined["calibration_slope"]
    json.dumps(separable.evaluation("test").to_dict(), allow_nan=False)
    absent = evaluate_classification([0, 1, 0, 1], np.full((4, 3), 1 / 3), rounds=0)
    assert value(absent, "auc") == pytest.approx(0.5)
    assert value(absent, "auc:2") is None
    assert "not present" in absent.undefined["auc:2"]
    nothing = evaluate_classification([0, 0], two(np.array([0.1, 0.2])), rounds=0)
    assert nothing.undefined["f1"] == "only one class is present"


def test_subgroups_are_judged_alone():
    y, p, groups = cohort()
    sex = ["f" if i % 3 else "m" for i in range(299)] + [""]
    found = evaluate_classification(y, two(p), groups, subgroups={"sex": sex}, rounds=50)
    women = np.array([s == "f" for s in sex])
    alone = evaluate_classification(y[women], two(p[women]), rounds=0)
    assert found.subgroups["sex"]["f"]["n"] == women.sum()
    assert value(alone, "auc") == found.subgroups["sex"]["f"]["metrics"]["auc"].value
    assert set(found.subgroups["sex"]) == {"f", "m"}


def test_curves_have_points_that_scikit_learn_has():
    y, p, _ = cohort(ties=False)
    curves = evaluate_classification(y, two(p), classes=["no", "yes"], rounds=0).curves
    x, t, _ = sklearn.roc_curve(y, p, drop_intermediate=False)
    roc = curves["roc"]["yes"]
    assert np.allclose(roc["x"], x)
    assert np.allclose(roc["y"], t)
    precision, recall, _ = sklearn.precision_recall_curve(y, p)
    curve = curves["precision_recall"]["yes"]
    assert np.allclose(curve["y"][1:], precision[::-1][1:])
    assert np.allclose(curve["x"], recall[::-1])
    bins = curves["reliability"]["yes"]
    assert sum(bins["count"]) == len(y)
    assert all(a <= b <= c for a, b, c in zip(bins["low"], bins["y"], bins["high"], strict=True))


def test_long_curves_are_thinned():
    y, p, _ = cohort(3000, ties=False)
    roc = evaluate_classification(y, two(p), rounds=0).curves["roc"]["1"]
    assert len(roc["x"]) <= 400
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)


def test_a_paired_comparison_sees_what_two_intervals_hide():
    y, p, groups = cohort(400, ties=False)
    rng = np.random.default_rng(1)
    worse = np.clip(p + rng.normal(0, 0.4, 400), 0.001, 0.999)
    found = paired_bootstrap(y, two(p), two(worse), groups, metrics=["auc", "brier"], rounds=500)
    auc = found["auc"]
    assert auc.difference.value == pytest.approx(auc.model - auc.baseline)
    assert auc.difference.low > 0
    assert auc.p < 0.05
    apart = [
        evaluate_classification(y, two(q), groups, rounds=500).metrics["auc"] for q in (p, worse)
    ]
    assert apart[0].low < apart[1].high
    same = paired_bootstrap(y, two(p), two(p), groups, rounds=100)["auc"]
    assert (same.difference.value, same.p) == (0, 1)
    one = paired_bootstrap(np.ones(4, int), two(P[:4]), two(P[:4]), rounds=10)["auc"]
    assert (one.model, one.difference.value, one.p) == (None, None, None)
    json.dumps(auc.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([], np.empty((0, 2))),
        ([0, 1], np.full((3, 2), 0.5)),
        ([0, 2], np.full((2, 2), 0.5)),
        ([0, 0.5], np.full((2, 2), 0.5)),
        ([0, 1], np.full((2, 2), np.nan)),
        ([0, 1], np.full((2, 2), 1.5)),
        ([[0, 1]], np.full((1, 3), 0.5)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(y, p):
    with pytest.raises(ValueError):
        evaluate_classification(y, p)


def test_wrong_names_and_groups_are_refused():
    with pytest.raises(ValueError):
        evaluate_classification(Y, two(P), classes=["a"])
    with pytest.raises(ValueError):
        evaluate_classification(Y, two(P), [1, 2])


def test_folds_keep_groups_whole_and_even():
    groups = np.random.default_rng(0).integers(0, 60, 300)
    folds = group_folds(groups, 300, 5, seed=1)
    for group in range(60):
        assert len(set(folds[groups == group])) <= 1
    assert np.ptp(np.bincount(folds)) <= 10
    assert np.array_equal(folds, group_folds(groups, 300, 5, seed=1))
    assert not np.array_equal(folds, group_folds(groups, 300, 5, seed=2))
    assert group_folds(["a", "a"], 2, 5).tolist() == [0, 0]


def test_grades_are_judged_by_how_far_they_miss():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(3)
    y = rng.integers(0, 5, 300)
    p = rng.dirichlet(np.ones(5), 300) + 2 * np.eye(5)[np.clip(y + rng.integers(-1, 2, 300), 0, 4)]
    p /= p.sum(axis=1, keepdims=True)
    found = evaluate_classification(y, p, task="multiclass", ordinal=True, rounds=200)
    kappa = found.metrics["kappa_quadratic"]
    answer = p.argmax(axis=1)
    assert kappa.value == pytest.approx(cohen_kappa_score(y, answer, weights="quadratic"))
    assert kappa.low < kappa.value < kappa.high
    assert found.metrics["mean_absolute_error"].value == pytest.approx(np.abs(answer - y).mean())
    plain = evaluate_classification(y, p, task="multiclass", rounds=10)
    assert "kappa_quadratic" not in plain.metrics
    perfect = evaluate_classification(y, np.eye(5)[y], ordinal=True, rounds=10).metrics
    assert perfect["kappa_quadratic"].value == pytest.approx(1)
    alone = evaluate_classification([2, 2], np.eye(5)[[2, 2]], ordinal=True, rounds=10)
    assert alone.metrics["kappa_quadratic"].value is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_order_is_that_of_the_scores_and_all_else_of_the_probabilities(task):
    rng = np.random.default_rng(5)
    width = 2 if task == "binary" else 3
    shape = (60, 3) if task == "multilabel" else 60
    y = rng.integers(0, 2 if task == "multilabel" else width, shape)
    p, scores = (rng.dirichlet(np.ones(width), 60) for _ in range(2))
    both = evaluate_classification(y, p, task=task, order=scores, rounds=50)
    plain = evaluate_classification(y, p, task=task, rounds=50)
    alone = evaluate_classification(y, scores, task=task, rounds=50)
    assert set(both.metrics) == set(plain.metrics)
    for name, figure in both.metrics.items():
        ordered = name.partition(":")[0] in ("auc", "average_precision")
        assert figure == (alone if ordered else plain).metrics[name]
    assert both.curves["roc"] == alone.curves["roc"]
    assert both.curves["reliability"] == plain.curves["reliability"]
