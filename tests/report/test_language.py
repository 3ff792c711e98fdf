"""Catalogues are whole, compiled and in step; numbers follow the locale."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from diaphane.core.errors import UsageError
from diaphane.evaluate import fit_operating_points
from diaphane.report import LANGUAGES, Language
from diaphane.report.evaluation import metric_words
from diaphane.report.messages import MESSAGES

HOME = Path(str(files("diaphane.report")))
CALLS = {"mark": None, "text": None, "gettext": None, "_": None, "count": (1, 2)}
OTHERS = [locale for code, locale in LANGUAGES.items() if code != "en"]


def catalogue(locale: str, kind: str):
    path = HOME / "locale" / locale / "LC_MESSAGES" / f"diaphane.{kind}"
    with path.open("rb") as file:
        return (read_po if kind == "po" else read_mo)(file)


def asked_for() -> set[str]:
    found = extract_from_dir(
        str(HOME), [("**.py", "python"), ("**.html.j2", "jinja2")], keywords=CALLS
    )
    return {m if isinstance(m, str) else m[0] for _, _, m, _, _ in found}


@pytest.mark.parametrize("locale", OTHERS)
def test_every_message_is_translated(locale) -> None:
    known = {m.id if isinstance(m.id, str) else m.id[0]: m for m in catalogue(locale, "po") if m.id}
    assert asked_for() == set(known)
    for message in known.values():
        assert not message.fuzzy
        assert all(message.string if isinstance(message.string, tuple) else (message.string,))


@pytest.mark.parametrize("locale", OTHERS)
def test_parameters_survive_translation(locale) -> None:
    for message in catalogue(locale, "po"):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if ids[0]:
            wanted = set(re.findall(r"%\(\w+\)s", ids[-1]))
            assert all(set(re.findall(r"%\(\w+\)s", s)) == wanted for s in strings), ids


@pytest.mark.parametrize("locale", OTHERS)
def test_the_compiled_catalogue_is_in_step(locale) -> None:
    def strings(kind: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for message in catalogue(locale, kind):
            name = message.id if isinstance(message.id, str) else message.id[0]
            text = message.string
            found[name] = (text,) if isinstance(text, str) else tuple(text)
        found.pop("", None)
        return found

    assert strings("mo") == strings("po")


def test_codes_have_one_kind_each() -> None:
    assert all("." in code for code in MESSAGES)


def test_every_code_of_the_lung_app_has_a_sentence() -> None:
    from diaphane.apps.series import load_series_rule
    from diaphane.diagnose import load_rule

    rule, choice = load_rule("fleischner_2017_solid"), load_series_rule("series_lung_ct")
    said = {f"rule.{rule.rule}"}
    said |= {f"outcome.{row.outcome}" for row in (*rule.rows, *rule.exclusions)}
    said |= {f"advice.{code}" for row in rule.rows for code in row.gives.values()}
    said |= {f"unknown.{code}" for code in (*rule.unknown, "nodule_type")}
    said |= {f"input.{name}" for name in (*rule.inputs, "size", "number", "low_risk", "high_risk")}
    said |= {f"series.{line.code}" for line in (*choice.require, *choice.prefer)}
    said |= {f"series.{code}" for code in ("only", "preferred", "asked_for", "not_requested")}
    said |= {f"finding.{code}" for code in ("nodule", "mass", "point", "image")}
    said |= {f"reason.{code}" for code in (
        "larger_than_training", "cut_by_frame", "unlike_training", "not_segmented",
        "no_classifier",
    )}  # fmt: skip
    said |= {f"note.{code}" for code in (
        "thick_slices", "small", "touches_border", "rule_disagrees", "density_below_solid",
        "pixels",
    )}  # fmt: skip
    said |= {f"study.{code}" for code in (
        "no_candidate", "sensitivity", "sensitivity_unknown", "thick_slices", "assumed_hu",
        "more_candidates", "no_classifier", "incomplete_lungs", "refused_series", "pixels",
    )}  # fmt: skip
    said |= {f"limit.{code}" for code in (
        "not_a_device", "not_normal", "solid_only", "labels_are_opinions", "one_reader_outline",
        "unknown_hu", "largest", "given_context",
    )}  # fmt: skip
    said |= {f"stage.{code}" for code in (
        "choose", "read", "lungs", "candidates", "segment", "measure", "classify", "rules",
    )}  # fmt: skip
    assert said - set(MESSAGES) == set()


def test_verdicts_are_said_in_chinese() -> None:
    from diaphane.report import note_words

    figures = {"change": "+0.012", "low": "-0.003", "high": "+0.027"}
    said = note_words(("unclear", figures), Language("zh"))
    assert all(part in said for part in ("对数损失", *figures.values()))
    assert note_words("as it is", Language("zh")) == "as it is"


def test_every_concept_has_a_name() -> None:
    from diaphane.measure import concept_names

    assert {f"concept.{name}" for name in concept_names()} - set(MESSAGES) == set()


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(UsageError, match="'de'"):
        Language("de")


def test_an_unknown_code_shows_its_words() -> None:
    assert Language().say("note", "odd_shadow", {"size_mm": 3.0}) == "odd shadow (size mm 3)"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(1234.5, 0, "1,234"), (-3.14159, 2, "−3.14"), (-0.001, 2, "0.00"), (float("nan"), 1, "–")],
)
def test_numbers(value, digits, shown) -> None:
    assert Language().number(value, digits) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (0.004, "<1%"), (0.734, "73%"), (0.9999, ">99%"), (1.0, "100%"), (None, "–")],
)
def test_a_share_is_never_rounded_to_certainty(share, shown) -> None:
    assert Language().percent(share) == shown


def test_dates_follow_the_locale() -> None:
    assert Language("zh").date("20240301") == "2024年3月1日"
    assert Language("en").date("unknown") == "unknown"


@pytest.mark.parametrize("code", LANGUAGES)
def test_operating_points_are_named_in_words(code) -> None:
    points = fit_operating_points([0, 0, 1, 1], np.array([0.1, 0.4, 0.6, 0.9]), "abcd")
    language = Language(code)
    for head in ("sensitivity", "specificity"):
        told = {metric_words(f"{head}_at:{point.name}", language) for point in points}
        assert len(told) == len(points) == 3
        assert not any(point.name in words for words in told for point in points)
        assert all(language.say("metric", head) in words for words in told)
