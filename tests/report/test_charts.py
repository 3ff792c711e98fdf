"""Charts are whole XML, escape their words, and draw what they are given."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest

from diaphane.report import charts
from diaphane.report.charts.svg import ticks

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>\"&'"


def drawn(markup: str) -> ET.Element:
    root = ET.fromstring(markup)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text
    assert "nan" not in markup.lower().replace("tn", "")
    return root


def words(root: ET.Element) -> list[str]:
    return ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]


ALL = [
    charts.roc([charts.Line(EVIL, [(0, 0), (1, 1)])] * 2, title=EVIL, x=EVIL, y=EVIL),
    charts.precision_recall([charts.Line("", [(0, 1), (1, 0.3)])], title="t", x="x", y="y",
                            prevalence=0.3),
    charts.reliability(
        [charts.Line("", [(0.1, 0.2), (0.9, 0.7)], [(0.1, 0.1), (0.9, 0.6)],
                     [(0.1, 0.3), (0.9, 0.8)])],
        title="t", x="x", y="y",
    ),
    charts.line_chart([charts.Line("a", [(1, math.nan), (2, 0.5), (3, math.inf)])], title="t"),
    charts.line_chart([], title="t"),
    charts.waterfall([charts.Step(EVIL, EVIL, -0.5), charts.Step("b", "", 1.5)],
                     total=charts.Step("sum", "", 1.0), title=EVIL, description=EVIL),
    charts.bars([(EVIL, 0.5, EVIL), ("b", 0.2, "20%")], title="t", description="d"),
    charts.gauge(0.73, title=EVIL, description="73%"),
    charts.shape_curve([(0, -1), (1, 1)], title=EVIL, here=(0.5, 0.1)),
    charts.shape_curve([], title="t", here=None),
    charts.attention([0.2, 0.5, 0.3], title="t", description="d"),
]  # fmt: skip


@pytest.mark.parametrize("markup", ALL)
def test_every_chart_is_whole_and_escaped(markup) -> None:
    drawn(markup)
    assert "<script" not in markup


def test_a_waterfall_begins_each_bar_where_the_last_ended() -> None:
    steps = [charts.Step("a", "", 2.0), charts.Step("b", "", -3.0), charts.Step("c", "", 0.5)]
    root = drawn(
        charts.waterfall(steps, total=charts.Step("sum", "", -0.5), title="t", description="d")
    )
    bars = [
        (float(r.get("x")[:-1]), float(r.get("x")[:-1]) + float(r.get("width")[:-1]))
        for r in root.iter(f"{SVG}rect")
    ]
    unit = (bars[0][1] - bars[0][0]) / 2
    assert bars[1][1] == pytest.approx(bars[0][1], abs=0.02)
    assert bars[2][0] == pytest.approx(bars[1][0], abs=0.02)
    assert bars[3][1] - bars[3][0] == pytest.approx(0.5 * unit, abs=0.05)
    assert {"+2.00", "−3.00", "+0.50", "−0.50"} <= set(words(root))


def test_a_roc_spans_the_unit_square() -> None:
    root = drawn(charts.roc([charts.Line("", [(0, 0), (0, 1), (1, 1)])], title="t", x="x", y="y"))
    assert words(root).count("0.0") == 2
    assert words(root).count("1.0") == 2


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3.2, 17.9), (0.0001, 0.0009), (5, 5), (-1e6, 1e6)]
)
def test_ticks_are_round_and_within(low, high) -> None:
    values, digits = ticks(low, high)
    assert all(low - 1e-9 <= v <= high + 1e-9 for v in values)
    assert 1 <= len(values) <= 12
    assert len({f"{v:.{digits}f}" for v in values}) == len(values)
