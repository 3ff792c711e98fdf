"""Fleischner 2017 for solid nodules, against the guideline's own table."""

import pytest
from pydantic import ValidationError

from diaphane.core.finding import Assessment
from diaphane.diagnose import RuleTable, apply_rule, load_rule

NAME = "fleischner_2017_solid"

# MacMahon et al. 2017, table 1, part A (solid): diameter, number -> low risk, high risk.
TABLE = [
    (5.4, 1, "no_routine_follow_up", "optional_ct_12_months"),
    (5.5, 1, "ct_6_12_then_consider_18_24", "ct_6_12_then_18_24"),
    (8.4, 1, "ct_6_12_then_consider_18_24", "ct_6_12_then_18_24"),
    (8.5, 1, "consider_ct_3_pet_or_tissue", "consider_ct_3_pet_or_tissue"),
    (30.0, 1, "consider_ct_3_pet_or_tissue", "consider_ct_3_pet_or_tissue"),
    (4.0, 2, "no_routine_follow_up", "optional_ct_12_months"),
    (7.0, 5, "ct_3_6_then_consider_18_24", "ct_3_6_then_18_24"),
    (12.0, 3, "ct_3_6_then_consider_18_24", "ct_3_6_then_18_24"),
]


def said(probability: float) -> Assessment:
    return Assessment({"benign": 1 - probability, "malignant": probability}, positive="malignant")


@pytest.mark.parametrize(("diameter", "count", "low", "high"), TABLE)
def test_the_table_of_the_guideline(diameter, count, low, high):
    result = apply_rule(load_rule(NAME), {"mean_diameter_mm": diameter, "nodules": count})
    assert (result.inputs["low_risk"], result.inputs["high_risk"]) == (low, high)
    assert result.version == "2017"
    assert "10.1148/radiol.2017161659" in result.source


def test_what_the_image_cannot_tell_is_listed():
    result = apply_rule(
        load_rule(NAME), {"mean_diameter_mm": 7, "nodules": 1}, unknown=("nodule_type",)
    )
    assert {"nodule_type", "age", "known_cancer", "immune_state", "risk_factors"} <= set(
        result.unknown
    )


@pytest.mark.parametrize(
    ("inputs", "outcome"),
    [
        ({"mean_diameter_mm": 61, "nodules": 1}, "mass"),
        ({"mean_diameter_mm": 15, "nodules": 1, "density_hu": -600}, "not_solid"),
    ],
)
def test_what_the_rule_is_not_for(inputs, outcome):
    result = apply_rule(load_rule(NAME), inputs, said(0.9))
    assert (result.outcome, result.agrees) == (outcome, None)


@pytest.mark.parametrize(
    ("diameter", "assessment", "agrees"),
    [
        (12, said(0.9), True),
        (12, said(0.1), False),
        (4, said(0.9), False),
        (4, said(0.1), True),
        (7, said(0.9), None),
        (12, None, None),
        (12, Assessment(None, ("unlike_training",)), None),
    ],
)
def test_rule_and_model_are_compared(diameter, assessment, agrees):
    result = apply_rule(
        load_rule(NAME), {"mean_diameter_mm": diameter, "nodules": 1}, assessment, threshold=0.5
    )
    assert result.agrees is agrees


def table(**changes):
    data = {
        "rule": "r",
        "version": "1",
        "source": "s",
        "inputs": {"size": {}},
        "bins": {"bin": {"of": "size", "steps": [{"name": "a", "upto": 5}, {"name": "b"}]}},
        "rows": [
            {"when": {"bin": "a"}, "outcome": "x", "concern": "low"},
            {"when": {"bin": "b"}, "outcome": "y", "concern": "high"},
        ],
    }
    return {**data, **changes}


def test_a_table_of_ones_own():
    rule = RuleTable.model_validate(table())
    assert apply_rule(rule, {"size": 5.0}).outcome == "x"
    assert apply_rule(rule, {"size": 5.01}).outcome == "y"


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": [{"when": {"bin": "a"}, "outcome": "x", "concern": "low"}]},
        {"rows": [{"when": {"bin": "c"}, "outcome": "x", "concern": "low"}] * 2},
        {"bins": {"bin": {"of": "age", "steps": [{"name": "a"}]}}},
        {"bins": {"bin": {"of": "size", "steps": [{"name": "a"}, {"name": "b"}]}}},
        {"surprise": 1},
    ],
    ids=["a gap", "no such bin", "undeclared input", "no limit", "unknown key"],
)
def test_a_wrong_table_is_refused(changes):
    with pytest.raises(ValidationError):
        RuleTable.model_validate(table(**changes))
