"""Cases of a run on its report: pictures with truth and answer, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from diaphane.core.thumbnail import data_uri
from diaphane.report import charts
from diaphane.report.language import Language
from diaphane.report.pictures import outlines
from diaphane.report.run_facts import Example, SegmentedExample

T = TypeVar("T")
WORST, FURTHER = 12, 6
"""Cases shown because they are the worst, and drawn evenly from the rest."""
_SIDE, _SIDE_OF_MANY, _SIDE_OUTLINED = 160, 96, 256  # largest height or width of a picture
_COARSE = 64
_CLASSES = 3


def example_views(
    examples: Sequence[Example], lang: Language
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The worst cases, and some from the rest, from less to more certain."""
    ordered = sorted(examples, key=lambda e: e.right)
    worst, rest = _parts(ordered)
    return [_example(e, lang) for e in worst], [_example(e, lang) for e in rest]


def segmented_views(
    examples: Sequence[SegmentedExample], labels: Mapping[str, int], lang: Language
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """As :func:`example_views`, by mean Dice."""
    ordered = sorted(examples, key=mean_dice)
    worst, rest = _parts(ordered)
    return [_segmented(e, labels, lang) for e in worst], [_segmented(e, labels, lang) for e in rest]


def mean_dice(example: SegmentedExample) -> float:
    """Mean over the labels that truth or answer has; 1 when neither has any."""
    known = [value for value in example.dice.values() if value is not None]
    return sum(known) / len(known) if known else 1.0


def _parts(ordered: Sequence[T]) -> tuple[list[T], list[T]]:
    worst, rest = list(ordered[:WORST]), list(ordered[WORST:])
    if len(rest) > FURTHER:
        at = np.linspace(0, len(rest) - 1, FURTHER).round().astype(int)
        rest = [rest[i] for i in dict.fromkeys(at.tolist())]
    return worst, rest


def _example(example: Example, lang: Language) -> dict[str, Any]:
    side = _SIDE if len(example.images) == 1 else _SIDE_OF_MANY
    ranked = sorted(example.probability.items(), key=lambda row: -row[1])
    shown = ranked[:_CLASSES]
    if example.truth in example.probability and example.truth not in dict(shown):
        shown[-1] = (example.truth, example.probability[example.truth])
    return {
        "case": example.case,
        "pictures": [_picture(image, side) for image in example.images],
        "truth": example.truth,
        "wrong": example.wrong,
        "classes": [
            {"name": name, "share": lang.percent(p, 0), "width": round(100 * p, 1),
             "truth": name == example.truth}
            for name, p in shown
        ],
    }  # fmt: skip


def _segmented(
    example: SegmentedExample, labels: Mapping[str, int], lang: Language
) -> dict[str, Any]:
    height, width = example.truth.shape[:2]
    lines = [
        {"kind": kind, "path": path}
        for kind, mask in (("truth", example.truth), ("answer", example.predicted))
        for value in labels.values()
        for path in outlines((mask == value).astype(np.float32))
    ]
    rows = [
        {
            "name": name,
            "dice": lang.number(value, 3),
            "predicted": lang.number(example.predicted_dice.get(name), 3)
            if example.predicted_dice.get(name) is not None
            else "",
        }
        for name, value in example.dice.items()
    ]
    place = ""
    if example.place is not None:
        at, of = (lang.number(n) for n in example.place)
        place = lang.text("slice %(key)s of %(slices)s", key=at, slices=of)
    return {
        "case": example.case,
        "picture": _picture(example.image, _SIDE_OUTLINED),
        "width": width,
        "height": height,
        "outlines": lines,
        "rows": rows,
        "place": place,
        "mean": lang.number(mean_dice(example), 3),
    }


def quality_charts(
    quality: Mapping[str, Sequence[tuple[float, float]]], lang: Language
) -> list[dict[str, str]]:
    """Predicted against true Dice, a chart per label, with their correlation."""
    shown = []
    for label, rows in quality.items():
        points = [(float(x), float(y)) for x, y in rows if np.isfinite(x) and np.isfinite(y)]
        if not points:
            continue
        title = lang.text("Quality estimate: %(label)s", label=label)
        markup = charts.scatter(
            points, title=title, x=lang.text("Predicted Dice"), y=lang.text("Dice"),
            number=lang.number,
        )  # fmt: skip
        shown.append({"title": title, "chart": markup, "note": _correlation(points, lang)})
    return shown


def volume_charts(
    volumes: Mapping[str, Sequence[tuple[float, float]]], unit: str, lang: Language
) -> list[dict[str, str]]:
    """Predicted against true volume, a chart per label, with the mean of their difference."""
    shown = []
    for label, rows in volumes.items():
        points = [(float(x), float(y)) for x, y in rows if np.isfinite(x) and np.isfinite(y)]
        most = max((max(p) for p in points), default=0.0)
        if most <= 0:
            continue
        title = lang.text("Volume: %(label)s", label=label)
        words = lang.say("unit", unit)
        markup = charts.scatter(
            points, title=title, x=lang.text("Predicted (%(unit)s)", unit=words),
            y=lang.text("True (%(unit)s)", unit=words), reach=(0.0, 1.05 * most),
            number=lang.number,
        )  # fmt: skip
        gap = np.array([x - y for x, y in points])
        note = lang.text(
            "n = %(n)s; predicted minus true: mean %(mean)s, 95%% of differences within "
            "%(low)s to %(high)s",
            n=lang.number(len(points)), mean=lang.significant(float(gap.mean())),
            low=lang.significant(float(gap.mean() - 1.96 * gap.std())),
            high=lang.significant(float(gap.mean() + 1.96 * gap.std())),
        )  # fmt: skip
        shown.append({"title": title, "chart": markup, "note": note})
    return shown


def _correlation(points: Sequence[tuple[float, float]], lang: Language) -> str:
    x, y = np.array(points).T
    n = lang.number(len(points))
    if len(points) < 3 or np.ptp(x) < 1e-9 or np.ptp(y) < 1e-9:
        return lang.text("n = %(n)s; too few or too alike for a correlation", n=n)
    r = float(np.corrcoef(x, y)[0, 1])
    return lang.text("n = %(n)s; Pearson correlation %(r)s", n=n, r=lang.number(r, 2))


def _picture(image: NDArray[Any], side: int) -> dict[str, Any]:
    """A PNG of at most ``side`` pixels, and whether it is to be shown pixel by pixel."""
    from PIL import Image

    pixels = _eight_bit(np.asarray(image))
    height, width = pixels.shape[:2]
    if max(height, width) > side:
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
        pixels = np.asarray(small)
    return {
        "uri": data_uri(pixels),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "coarse": max(height, width) < _COARSE,
    }


def _eight_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    values = np.nan_to_num(image.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    scale = 255.0 / (high - low) if high - low > 1e-12 else 0.0
    return np.asarray(((values - low) * scale).round(), dtype=np.uint8)
