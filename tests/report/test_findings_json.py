"""findings.json: strict by its schema, codes only, the same bytes for the same analysis."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from diaphane.core.case import Identity
from diaphane.core.finding import Analysis, Assessment, Measurement
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report import findings_document, schema, write_analysis

WHO = Identity("Doe^Jane", "PID-77", "19500102", "F", "ACC1", "20240301")


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


@pytest.fixture(scope="module")
def document(analysis: Analysis, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("out")
    write_analysis(analysis, folder, identity=WHO)
    return json.loads((folder / "findings.json").read_text(encoding="utf-8"))


def test_the_file_fulfils_its_schema(document, checker) -> None:
    checker.validate(document)


def test_the_file_is_the_document(document, analysis) -> None:
    assert document == findings_document(analysis)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(comment="free text"),
        lambda d: d["findings"][0].update(sentence="looks bad"),
        lambda d: d["findings"][0]["assessment"].update(probability={"malignant": 1.2}),
        lambda d: d["findings"][1]["assessment"].update(reasons=[]),
        lambda d: d["bundles"][0].update(sha256="abc"),
        lambda d: d.pop("limits"),
        lambda d: d.update(schema_version=2),
    ],
)
def test_the_schema_is_strict(document, checker, spoil) -> None:
    wrong = json.loads(json.dumps(document))
    spoil(wrong)
    assert not checker.is_valid(wrong)


def test_identity_never_enters(document) -> None:
    text = json.dumps(document)
    for secret in ("Doe", "PID-77", "19500102", "ACC1"):
        assert secret not in text


def test_contributions_add_up_to_the_logit(document) -> None:
    evidence = document["findings"][0]["evidence"]
    parts = [
        evidence["bias"],
        evidence["image"],
        *(c["contribution"] for c in evidence["concepts"]),
    ]
    assert sum(parts) == pytest.approx(evidence["logit"], abs=1e-4)
    assert sum(evidence["image_by_slice"]) == pytest.approx(evidence["image"], abs=1e-4)
    assert sum(evidence["attention"]) == pytest.approx(1, abs=1e-4)
    signs = {peak["sign"]: peak["value"] for peak in evidence["peaks"]}
    assert signs["raises"] > 0 > signs["lowers"]


def test_a_withheld_probability_has_its_reasons(document) -> None:
    said = document["findings"][1]["assessment"]
    assert said["probability"] is None
    assert said["reasons"] == ["larger_than_training", "cut_by_frame"]


def test_candidates_are_told_apart(document) -> None:
    assert {f["status"] for f in document["findings"]} == {"finding"}
    assert {f["status"] for f in document["candidates"]} == {"candidate"}


def test_the_same_analysis_gives_the_same_bytes(make_study, tmp_path) -> None:
    for name in ("a", "b"):
        write_analysis(make_study(), tmp_path / name, lang="en" if name == "a" else "zh")
    assert (tmp_path / "a/findings.json").read_bytes() == (
        tmp_path / "b/findings.json"
    ).read_bytes()


def test_values_that_are_not_finite_become_null(make_study, checker) -> None:
    study = make_study()
    spoiled = replace(
        study.findings[0],
        measurements=(Measurement("volume", float("nan"), "mm3"),),
        assessment=Assessment(None, ("no_classifier",), distance=float("inf")),
    )
    document = findings_document(
        replace(study, findings=(spoiled,), timings={"read": np.float64(1)})
    )
    checker.validate(document)
    assert document["findings"][0]["measurements"][0]["value"] is None
    assert document["findings"][0]["assessment"]["distance"] is None
    json.dumps(document, allow_nan=False)


def test_an_image_without_place_fulfils_the_schema(make_study, checker) -> None:
    picture = Volume(np.zeros((1, 32, 32), np.uint8), Geometry((1, 32, 32)))
    document = findings_document(
        make_study(volume=picture, findings=(), candidates=(), labels=None, series=())
    )
    checker.validate(document)
    assert document["image"]["spacing_mm"] == [None, None, None]
    assert document["image"]["origin_mm"] is None
