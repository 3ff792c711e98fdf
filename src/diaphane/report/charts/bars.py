"""Bar charts whose text keeps its size at any width: positions across are percentages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diaphane.report.charts import svg
from diaphane.report.charts.svg import Number, plain_number


@dataclass(frozen=True)
class Step:
    """One step of a waterfall: what it is, its value in words, and what it adds."""

    label: str
    detail: str
    amount: float


def waterfall(
    steps: Sequence[Step],
    *,
    total: Step,
    title: str,
    description: str,
    number: Number = plain_number,
) -> str:
    """Steps that add up to a total, each bar beginning where the one before ended.

    Parameters
    ----------
    steps:
        In the order in which they are added; the first begins at zero.
    total:
        Its ``amount`` is drawn from zero, as the sum.
    """
    ends = [0.0]
    for step in steps:
        ends.append(ends[-1] + step.amount)
    low, high = min(*ends, total.amount, 0.0), max(*ends, total.amount, 0.0)
    span = (high - low) or 1.0
    # The plot takes the middle: labels stand left of it, amounts right.
    left, right, row = 42.0, 88.0, 32.0

    def across(value: float) -> float:
        return left + 1.0 + (value - low) / span * (right - left - 2.0)

    height = row * (len(steps) + 1) + 14
    zero = f"{svg.number(across(0.0))}%"
    body = [
        svg.tag("line", x1=zero, x2=zero, y1=2, y2=height - 4, style=f"stroke:{svg.GRID}"),
    ]
    for place, step in enumerate([*steps, total]):
        last = place == len(steps)
        y = row * place + (8 if last else 2)
        begin = 0.0 if last else ends[place]
        end = total.amount if last else ends[place + 1]
        a, b = sorted((across(begin), across(end)))
        colour = svg.INK if last else (svg.RAISES if step.amount >= 0 else svg.LOWERS)
        if last:
            style = f"stroke:{svg.MUTED}"
            body.append(svg.tag("line", x1="0%", x2="100%", y1=y - 4, y2=y - 4, style=style))
        weight = "font-weight:600;" if last else ""
        body.append(_label(step, y + 13, left, weight))
        body.append(
            svg.tag(
                "rect",
                x=f"{svg.number(a)}%",
                width=f"{svg.number(max(b - a, 0.25))}%",
                y=y + 5,
                height=16,
                rx=2,
                style=f"fill:{colour}",
            )
        )
        if not last:
            x = f"{svg.number(across(end))}%"
            style = f"stroke:{svg.MUTED};stroke-width:1;stroke-dasharray:2 2"
            body.append(svg.tag("line", x1=x, x2=x, y1=y + 21, y2=y + row + 5, style=style))
        sign = "+" if step.amount >= 0 and not last else ""
        body.append(
            svg.words(
                "100%",
                y + 18,
                sign + number(step.amount, 2),
                anchor="end",
                style=f"fill:{svg.INK};font-variant-numeric:tabular-nums;{weight}",
                size=12.5,
            )
        )
    return svg.figure(
        "".join(body), title=title, description=description, width=600, height=height, fluid=True
    )


def _label(step: Step, y: float, left: float, weight: str) -> str:
    x = f"{left - 1.5}%"
    look = f"fill:{svg.INK};{weight}"
    if not step.detail:
        return svg.words(x, y + 5, step.label, anchor="end", style=look, size=12.5)
    return svg.words(x, y, step.label, anchor="end", style=look, size=12.5) + svg.words(
        x, y + 13, step.detail, anchor="end", size=11
    )


def bars(
    rows: Sequence[tuple[str, float, str]],
    *,
    title: str,
    description: str,
    highest: float | None = None,
    strong: int | None = 0,
) -> str:
    """Horizontal bars from zero: label, value, value in words.

    Parameters
    ----------
    highest:
        Value at the full width; the largest one when ``None``.
    strong:
        Row drawn in the accent colour; the others are muted. ``None``: all in the accent.
    """
    top = highest or max((value for _, value, _ in rows), default=1.0) or 1.0
    row, left, right = 26.0, 34.0, 88.0
    body = []
    for place, (label, value, words) in enumerate(rows):
        y = row * place
        colour = svg.ACCENT if strong is None or place == strong else svg.MUTED
        share = min(max(value / top, 0.0), 1.0)
        body.append(
            svg.words(
                f"{left - 1.5}%", y + 17, label, anchor="end", style=f"fill:{svg.INK}", size=12.5
            )
        )
        common: dict[str, float | str] = {"x": f"{left}%", "y": y + 6, "height": 14, "rx": 2}
        body.append(svg.tag("rect", width=f"{right - left}%", style=f"fill:{svg.GRID}", **common))
        body.append(
            svg.tag(
                "rect",
                width=f"{svg.number(share * (right - left))}%",
                style=f"fill:{colour}",
                **common,
            )
        )
        body.append(
            svg.words("100%", y + 17, words, anchor="end", style=f"fill:{svg.INK}", size=12.5)
        )
    return svg.figure(
        "".join(body),
        title=title,
        description=description,
        width=600,
        height=row * len(rows) + 2,
        fluid=True,
    )


def gauge(
    probability: float, *, title: str, description: str, ends: tuple[str, str] = ("0 %", "100 %")
) -> str:
    """A probability from 0 to 1 on a track, with quarter marks."""
    at = min(max(probability, 0.0), 1.0) * 100
    body = svg.tag(
        "rect", x=0, y=6, width="100%", height=10, rx=5, style=f"fill:{svg.GRID}"
    ) + svg.tag(
        "rect", x=0, y=6, width=f"{svg.number(at)}%", height=10, rx=5, style=f"fill:{svg.ACCENT}"
    )
    for quarter in (25, 50, 75):
        style = "stroke:var(--card,#fff);stroke-width:1.5"
        x = f"{quarter}%"
        body += svg.tag("line", x1=x, x2=x, y1=6, y2=16, style=style)
    look = f"fill:var(--card,#fff);stroke:{svg.ACCENT};stroke-width:3"
    body += svg.tag("circle", cx=f"{svg.number(min(max(at, 1.5), 98.5))}%", cy=11, r=7, style=look)
    body += svg.words(0, 34, ends[0], size=11)
    body += svg.words("100%", 34, ends[1], anchor="end", size=11)
    return svg.figure(body, title=title, description=description, width=300, height=38, fluid=True)


def attention(weights: Sequence[float], *, title: str, description: str) -> str:
    """Slice weights as a row of thin bars; the strongest in the accent colour."""
    top = max(weights, default=1.0) or 1.0
    width = 100.0 / max(1, len(weights))
    strongest = max(range(len(weights)), key=lambda i: weights[i], default=0)
    body = ""
    for place, weight in enumerate(weights):
        tall = max(1.0, 34.0 * weight / top)
        colour = svg.ACCENT if place == strongest else svg.MUTED
        body += svg.tag(
            "rect",
            x=f"{svg.number(place * width + width * 0.15)}%",
            width=f"{svg.number(width * 0.7)}%",
            y=36 - tall,
            height=tall,
            rx=1,
            style=f"fill:{colour}",
        )
    return svg.figure(body, title=title, description=description, width=300, height=38, fluid=True)
