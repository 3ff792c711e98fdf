"""report.html and report.txt: self-contained, escaped, and saying what the issue asks."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from diaphane.core.case import Identity
from diaphane.core.errors import UsageError
from diaphane.core.finding import Analysis, Assessment, ConceptEvidence, Evidence, Finding, Location
from diaphane.core.geometry import Geometry
from diaphane.core.volume import Volume
from diaphane.report import write_analysis

WHO = Identity("Doe^Jane", "PID-77", "19500102", "F", "ACC1", "20240301")
VOID = {"meta", "img", "input", "link", "br", "hr"}


class Page(HTMLParser):
    """Tags, addresses and text of a page; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def write(analysis: Analysis, folder, **options) -> tuple[str, Page]:
    write_analysis(analysis, folder, **options)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def english(analysis: Analysis, tmp_path_factory) -> tuple[str, Page]:
    return write(analysis, tmp_path_factory.mktemp("en"))


@pytest.fixture(scope="module")
def chinese(analysis: Analysis, tmp_path_factory) -> tuple[str, Page]:
    return write(analysis, tmp_path_factory.mktemp("zh"), lang="zh")


def test_nothing_comes_from_elsewhere(english) -> None:
    text, page = english
    assert page.addresses
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses)
    assert not re.search(r"@import|url\(", text)
    assert len(text) < 6_000_000


def test_the_policy_allows_this_script_only(english) -> None:
    text, page = english
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert f"sha256-{digest}" in policy.replace("&#39;", "'")
    assert "default-src &#39;none&#39;" in policy
    assert page.tags.count("script") == 1


def test_it_says_what_the_issue_asks(english) -> None:
    said = english[1].text
    for words in (
        "P-3f9a1c02",
        "Not a medical device",
        "73%",
        "rated suspicious by radiologists (LIDC 4 or 5)",
        "not a probability of cancer",
        "Outside what this model has seen",
        "12 × 10 mm",
        "905 mm³",
        "right lung",
        "upper third",
        "series 2, image 15",
        "Slices are thicker than 3 mm",
        "contribution given the rest of the study",
        "Fleischner Society 2017",
        "The image cannot tell: age, known cancer, immune state",
        "Rule and model disagree: a reason to look again.",
        "3f" * 32,
        "1 further candidate",
        "A cell is 5.2 mm wide and sees 15 mm around it.",
        "soft kernel",
    ):
        assert words in said
    assert "normal" not in said.replace("does not mean that the lungs are normal", "")
    assert not re.search(r"\bbecause\b", said)


def test_windows_outlines_marks_and_scales_are_there(english) -> None:
    text, page = english
    assert 'class="window lung"' in text
    assert 'class="window soft"' in text
    assert 'class="layer"' in text
    assert 'class="opacity"' in text
    for letter in "RLAPSI":
        assert re.search(rf'<b class="mark \w+">{letter}</b>', text)
    assert "10&nbsp;mm" in text or "10\u00a0mm" in page.text


def test_it_speaks_chinese(chinese) -> None:
    text, page = chinese
    assert '<html lang="zh-CN">' in text
    for words in ("非医疗器械", "放射科医师评为可疑", "超出本模型的训练范围", "右肺上 1/3"):
        assert words in page.text
    english_words = re.findall(r"\b(?:the|and|rated|Finding|Limits)\b", page.text)
    assert english_words == []


def test_identity_shows_only_when_asked(analysis, english, tmp_path) -> None:
    assert "Doe" not in english[1].text
    _, page = write(analysis, tmp_path, identity=WHO)
    for words in ("Doe Jane", "PID-77", "January 2, 1950", "ACC1", "March 1, 2024"):
        assert words in page.text


def test_whatever_comes_from_data_is_escaped(make_study, tmp_path) -> None:
    evil = '"><script>alert(1)</script>&%(x)s'
    study = make_study()
    finding = study.findings[0]
    spoiled = replace(
        finding,
        code=evil,
        notes=(evil,),
        assessment=replace(
            finding.assessment,
            probability={evil: 0.9, "b": 0.06, "c": 0.04},
            prediction_set=(evil,),
            meaning=evil,
        ),
        evidence=replace(
            finding.evidence, target=evil, concepts=(ConceptEvidence(evil, 1.0, 0.5),)
        ),
        rules=(replace(finding.rules[0], rule=evil, source=evil, inputs={evil: evil}),),
    )
    text, page = write(
        replace(
            study,
            app=evil,
            pseudonym=evil,
            findings=(spoiled,),
            series=(replace(study.series[0], kernel=evil, reasons=(evil,)),),
            bundles=(
                replace(study.bundles[0], title=evil, facts={"curves": {evil: [[0, 1], [2, 3]]}}),
            ),
            notes=((evil, {"x": evil}),),
            limits=((evil, {}),),
            recipe={"steps": [{evil: {evil: evil}}]},
            timings={evil: 1.0},
            versions={evil: evil},
        ),
        tmp_path,
        identity=replace(WHO, patient_name=evil),
    )
    assert "<script>alert" not in text
    assert page.tags.count("script") == 1


def test_nothing_found_is_said_without_calling_it_normal(make_study, tmp_path) -> None:
    study = make_study(
        findings=(),
        candidates=(),
        notes=(
            ("no_candidate", {"min_diameter_mm": 4.0}),
            ("sensitivity", {"set": "phantom", "size": [4, 6], "value": 0.93, "low": 0.9,
                             "high": 0.96, "n": 120, "false_per_scan": 1.2}),
        ),
    )  # fmt: skip
    _, page = write(study, tmp_path)
    assert "No candidate of 4 mm or more was proposed." in page.text
    assert "the search proposes 93% of the nodules (90% to 96%; n = 120)" in page.text
    assert "does not mean that the study is normal" in page.text
    lines = (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert "No candidate of 4 mm or more was proposed" in lines[1]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_text_has_five_lines(analysis, tmp_path, lang) -> None:
    write_analysis(analysis, tmp_path, lang=lang)
    lines = (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert "P-3f9a1c02" in lines[0]
    assert "12 × 10 mm" in lines[2]
    assert "905 mm³" in lines[2]
    assert "73%" in lines[2]
    assert "Fleischner" in lines[3]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_several_classes_goes_through_the_same_page(
    make_study, tmp_path, channels
) -> None:
    rng = np.random.default_rng(0)
    shape = (channels, 1, 60, 80) if channels > 1 else (1, 60, 80)
    picture = Volume(rng.integers(0, 255, shape, np.uint8), Geometry((1, 60, 80)), "US")
    maps = rng.normal(0, 0.1, (1, 4, 4)).astype(np.float32)
    evidence = Evidence(
        "benign", 0.2 + float(maps.sum()), 0.2, float(maps.sum()), (), maps,
        np.ones(1, np.float32), rng.random((1, 32, 32), dtype=np.float32),
        np.ones((1, 32, 32), np.float32),
    )  # fmt: skip
    finding = Finding(
        "image", "whole_image", Location((0, 0, 0, 1, 60, 80), (0.0, 29.5, 39.5), None, 0), (),
        Assessment({"benign": 0.7, "malignant": 0.2, "normal": 0.1}, (), ("benign",), 0.9,
                   positive=None),
        evidence,
    )  # fmt: skip
    text, page = write(
        make_study(
            app="generic", volume=picture, findings=(finding,), candidates=(), labels=None,
            series=(), structures={}, notes=(), instance_numbers=(),
        ),
        tmp_path,
    )  # fmt: skip
    for words in ("benign: 70%", "70.0%", "20.0%", "Grid: 4 × 4 cells.", "20 px"):
        assert words in page.text.replace("\u00a0", " ")
    assert 'class="to-soft"' not in text
    assert '<b class="mark' not in text
    assert (tmp_path / "masks.nii.gz").exists()


def test_a_point_without_outline_still_shows_its_place(make_study, tmp_path) -> None:
    study = make_study()
    point = replace(
        study.findings[0], code="point", origin="reader", mask_label=None, measurements=(),
        long_axis=None, short_axis=None, evidence=None, rules=(), notes=(),
        assessment=Assessment(None, ("not_segmented",), meaning="lidc_suspicion"),
        location=replace(study.findings[0].location, box=(14, 60, 34, 15, 61, 35)),
    )  # fmt: skip
    _, page = write(replace(study, findings=(point,)), tmp_path)
    assert "Point of the reader" in page.text
    assert "at a point given by the reader" in page.text
    assert "Coronal" in page.text
    assert "1 finding: right lung, upper third" in page.text
    assert "Its outline could not be drawn." in page.text


def test_many_findings_make_no_long_text(make_study, tmp_path) -> None:
    study = make_study()
    many = tuple(replace(study.findings[0], id=f"F{i}") for i in range(12))
    _, page = write(replace(study, findings=many), tmp_path)
    lines = (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()
    assert lines[2].endswith("And 9 more.")
    assert page.tags.count("article") == 10
    assert "3 further candidates" in page.text


def test_an_unknown_language_writes_nothing(analysis, tmp_path) -> None:
    with pytest.raises(UsageError, match="'fr'"):
        write_analysis(analysis, tmp_path / "out", lang="fr")
    assert not (tmp_path / "out").exists()


def test_a_lesion_beyond_training_names_the_size_that_the_app_states(make_study, tmp_path) -> None:
    stated = make_study(limits=(("largest", {"value": 24.0}),))
    _, page = write(stated, tmp_path / "stated")
    assert "any nodule that the model was trained on (24 mm)." in page.text
    _, page = write(make_study(limits=()), tmp_path / "unstated")
    assert "any nodule that the model was trained on." in page.text
