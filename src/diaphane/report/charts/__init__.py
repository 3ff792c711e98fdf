"""Charts as inline SVG: pure functions from numbers to markup.

Text is set by the browser in the page's own font; colours come from the page's CSS variables
with a fallback, so a chart follows light and dark. Each has a title and a description.
"""

from diaphane.report.charts.bars import Step, attention, bars, gauge, waterfall
from diaphane.report.charts.lines import (
    Axes,
    Line,
    line_chart,
    precision_recall,
    reliability,
    roc,
    scatter,
    shape_curve,
)

__all__ = [
    "Axes",
    "Line",
    "Step",
    "attention",
    "bars",
    "gauge",
    "line_chart",
    "precision_recall",
    "reliability",
    "roc",
    "scatter",
    "shape_curve",
    "waterfall",
]
