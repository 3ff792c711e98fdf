"""Line charts: training curves, ROC, precision and recall, reliability, shapes of concepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from diaphane.report.charts import svg
from diaphane.report.charts.svg import Number, plain_number

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A named line, with dots on it or a band around it where wanted.

    Attributes
    ----------
    points:
        ``(x, y)``, in order of x.
    low, high:
        Lower and upper border of a band, each ``(x, y)``; both or none.
    cloud:
        Dots alone, with no line between them.
    whiskers:
        ``low`` and ``high`` are drawn as a bar at each point and not as a band.
    """

    name: str
    points: Points
    low: Points = ()
    high: Points = ()
    dashed: bool = False
    dots: bool = False
    colour: str | None = None
    cloud: bool = False
    whiskers: bool = False


@dataclass(frozen=True)
class Axes:
    """Ranges and names of both axes; ``None`` takes the range of the data."""

    x: str = ""
    y: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    width: float = 380
    height: float = 300
    number: Number = field(default=plain_number)


def line_chart(
    lines: Sequence[Line], *, title: str, axes: Axes | None = None, note: str = ""
) -> str:
    """Lines over two axes with a light grid and, for several lines, a legend below.

    Values that are not finite are left out. ``note`` joins the description.
    """
    axes = axes or Axes()
    clean = [_clean(line) for line in lines]
    everything = [p for line in clean for p in (*line.points, *line.low, *line.high)]
    x_low, x_high = axes.x_range or _range([x for x, _ in everything])
    y_low, y_high = axes.y_range or _range([y for _, y in everything], room=0.06)
    named = [line for line in clean if line.name]
    left, right, top = 50.0, 12.0, 10.0
    bottom = 40.0
    rows = _legend_rows(named, axes.width - left) if len(named) > 1 else []
    height = axes.height + 18 * len(rows)
    wide, tall = axes.width - left - right, axes.height - top - bottom

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = left + (point[0] - x_low) / (x_high - x_low) * wide
        return x, top + (y_high - point[1]) / (y_high - y_low) * tall

    body = []
    values, digits = svg.ticks(y_low, y_high)
    for value in values:
        y = at((x_low, value))[1]
        body.append(
            svg.tag("line", x1=left, x2=left + wide, y1=y, y2=y, style=f"stroke:{svg.GRID}")
        )
        body.append(svg.words(left - 7, y + 4, axes.number(value, digits), anchor="end", size=11))
    values, digits = svg.ticks(x_low, x_high)
    for value in values:
        x = at((value, y_low))[0]
        body.append(
            svg.words(x, top + tall + 16, axes.number(value, digits), anchor="middle", size=11)
        )
    frame = f"stroke:{svg.MUTED};stroke-width:1"
    body.append(svg.tag("line", x1=left, x2=left + wide, y1=top + tall, y2=top + tall, style=frame))
    body.append(
        svg.words(
            left + wide / 2, axes.height - 5, axes.x, anchor="middle", style="font-weight:500"
        )
    )
    if axes.y:
        body.append(
            f'<g transform="translate(13 {svg.number(top + tall / 2)}) rotate(-90)">'
            + svg.words(0, 0, axes.y, anchor="middle", style="font-weight:500")
            + "</g>"
        )
    colours = {}
    for place, line in enumerate(clean):
        colour = line.colour or svg.PALETTE[place % len(svg.PALETTE)]
        colours[line.name] = colour
        if line.whiskers:
            for below, above in zip(line.low, line.high, strict=False):
                (x, bottom_y), (_, top_y) = at(below), at(above)
                look = f"stroke:{colour};stroke-width:1.5;opacity:.45"
                body.append(svg.tag("line", x1=x, x2=x, y1=bottom_y, y2=top_y, style=look))
        elif line.low and line.high:
            band = [at(p) for p in line.low] + [at(p) for p in reversed(line.high)]
            body.append(
                svg.tag("path", d=svg.path(band, closed=True), style=f"fill:{colour};opacity:.14")
            )
        if line.points and not line.cloud:
            look = f"fill:none;stroke:{colour};stroke-width:2;stroke-linejoin:round"
            look += ";stroke-dasharray:4 4;stroke-width:1.25" if line.dashed else ""
            body.append(svg.tag("path", d=svg.path([at(p) for p in line.points]), style=look))
        for point in line.points if line.dots or line.cloud else ():
            x, y = at(point)
            look = f"fill:{colour}" + (";opacity:.6" if line.cloud else "")
            body.append(svg.tag("circle", cx=x, cy=y, r=3, style=look))
    for row, entries in enumerate(rows):
        x, y = left, axes.height + 18 * row + 8
        for line, width in entries:
            look = f"stroke:{colours[line.name]};stroke-width:2.5"
            look += ";stroke-dasharray:4 3" if line.dashed else ""
            body.append(svg.tag("line", x1=x, x2=x + 16, y1=y, y2=y, style=look))
            body.append(svg.words(x + 21, y + 4, line.name))
            x += width
    names = ", ".join(line.name for line in named)
    return svg.figure(
        "".join(body),
        title=title,
        description=f"{axes.y} / {axes.x}. {names} {note}".strip(),
        width=axes.width,
        height=height,
    )


def roc(lines: Sequence[Line], *, title: str, x: str, y: str, number: Number = plain_number) -> str:
    """ROC: false positive rate against sensitivity, with the line of chance."""
    chance = Line("", [(0, 0), (1, 1)], dashed=True, colour=svg.MUTED)
    axes = Axes(x, y, (0, 1), (0, 1), 340, 320, number)
    return line_chart([*lines, chance], title=title, axes=axes)


def precision_recall(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    prevalence: float | None = None,
    number: Number = plain_number,
) -> str:
    """Recall against precision, with the line of guessing at the prevalence."""
    extra = []
    if prevalence is not None:
        level = [(0.0, prevalence), (1.0, prevalence)]
        extra = [Line("", level, dashed=True, colour=svg.MUTED)]
    axes = Axes(x, y, (0, 1), (0, 1), 340, 320, number)
    return line_chart([*lines, *extra], title=title, axes=axes)


_FEW_LINES = 2  # whose intervals can still be told apart


def reliability(
    lines: Sequence[Line], *, title: str, x: str, y: str, number: Number = plain_number
) -> str:
    """Predicted probability against observed frequency, with the line of perfection."""
    perfect = Line("", [(0, 0), (1, 1)], dashed=True, colour=svg.MUTED)
    few = len(lines) <= _FEW_LINES
    dotted = [
        replace(line, dots=True, whiskers=True)
        if few
        else replace(line, dots=True, low=(), high=())
        for line in lines
    ]
    axes = Axes(x, y, (0, 1), (0, 1), 340, 320, number)
    return line_chart([*dotted, perfect], title=title, axes=axes)


def scatter(
    points: Points,
    *,
    title: str,
    x: str,
    y: str,
    reach: tuple[float, float] | None = None,
    number: Number = plain_number,
) -> str:
    """Dots of two figures in one unit, with the line on which both are equal.

    Parameters
    ----------
    reach:
        Of both axes. By default up to 1, from a round value below the smallest of both, so that
        good cases do not huddle in a corner.
    """
    clean = _clean(Line("", points)).points
    if reach is None:
        least = min([min(p) for p in clean], default=0.0)
        reach = (max(0.0, math.floor((least - 0.02) * 10) / 10), 1.0)
    equal = Line("", [(reach[0], reach[0]), (reach[1], reach[1])], dashed=True, colour=svg.MUTED)
    axes = Axes(x, y, reach, reach, 340, 320, number)
    return line_chart([Line("", clean, cloud=True), equal], title=title, axes=axes)


def shape_curve(
    points: Points,
    *,
    title: str,
    here: tuple[float, float] | None,
    y_range: tuple[float, float] | None = None,
    words: Callable[[float], str] | None = None,
    number: Number = plain_number,
) -> str:
    """A small curve of what a concept adds at each value, with this case's dot.

    Parameters
    ----------
    points:
        Value of the concept against its contribution.
    here:
        This case's value and contribution, or ``None`` where not given.
    y_range:
        Shared by all curves of a page, so that their heights compare.
    words:
        Writes the ends of the axis, where they are shown in another unit than drawn.
    """
    curve = _clean(Line("", points)).points
    wide, tall, top, bottom = 190.0, 96.0, 8.0, 18.0
    xs = [x for x, _ in curve] + ([here[0]] if here else [])
    ys = [y for _, y in curve] + ([here[1]] if here else []) + [0.0]
    x_low, x_high = _range(xs)
    y_low, y_high = y_range or _range(ys, room=0.1)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = 4 + (point[0] - x_low) / (x_high - x_low) * (wide - 8)
        return x, top + (y_high - point[1]) / (y_high - y_low) * (tall - top - bottom)

    zero = at((x_low, 0.0))[1]
    body = svg.tag(
        "line", x1=4, x2=wide - 4, y1=zero, y2=zero, style=f"stroke:{svg.GRID};stroke-width:1"
    )
    look = f"fill:none;stroke:{svg.MUTED};stroke-width:1.75;stroke-linejoin:round"
    body += svg.tag("path", d=svg.path([at(p) for p in curve]), style=look)
    if here is not None:
        x, y = at(here)
        colour = svg.RAISES if here[1] >= 0 else svg.LOWERS
        body += svg.tag("line", x1=x, x2=x, y1=zero, y2=y, style=f"stroke:{colour};stroke-width:2")
        body += svg.tag("circle", cx=x, cy=y, r=4, style=f"fill:{colour};stroke:var(--card,#fff)")
    _, digits = svg.ticks(x_low, x_high, 3)
    low, high = (words(x) if words else number(x, digits) for x in (x_low, x_high))
    body += svg.words(4, tall - 4, low, size=10.5)
    body += svg.words(wide - 4, tall - 4, high, anchor="end", size=10.5)
    shown = "" if here is None else f"{number(here[0], digits)}: {number(here[1], 2)}"
    return svg.figure(body, title=title, description=shown or title, width=wide, height=tall)


def _clean(line: Line) -> Line:
    def finite(points: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]

    return replace(line, points=finite(line.points), low=finite(line.low), high=finite(line.high))


def _range(values: Sequence[float], room: float = 0.0) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high - low < 1e-12:
        return low - 0.5, high + 0.5
    return low - room * (high - low), high + room * (high - low)


def _legend_rows(lines: Sequence[Line], width: float) -> list[list[tuple[Line, float]]]:
    rows: list[list[tuple[Line, float]]] = [[]]
    used = 0.0
    for line in lines:
        needs = 34 + sum(12.0 if ord(c) > 0x2E7F else 6.6 for c in line.name)
        if rows[-1] and used + needs > width:
            rows.append([])
            used = 0.0
        rows[-1].append((line, needs))
        used += needs
    return rows
