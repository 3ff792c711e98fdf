"""Elements of SVG as strings, escaped."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from html import escape

Number = Callable[[float, int], str]
"""Writes a number with that many decimals, as the reader's language does."""

INK, MUTED, GRID = "var(--ink, #1b2733)", "var(--muted, #5d6b78)", "var(--line, #dfe4e9)"
ACCENT, RAISES, LOWERS = (
    "var(--accent, #0b6b75)",
    "var(--raises, #c8642a)",
    "var(--lowers, #2f6db5)",
)
PALETTE = (ACCENT, RAISES, LOWERS, "var(--c4, #7a5ca8)", "var(--c5, #5f7f35)", "var(--c6, #a8456a)")


def plain_number(value: float, digits: int) -> str:
    """A :data:`Number` for no language in particular."""
    return f"{value:.{digits}f}".replace("-", "−")


def tag(name: str, inner: str = "", /, **attributes: str | float | None) -> str:
    """One element; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``.

    Numbers are written with at most two decimals; ``None`` leaves an attribute out.
    ``inner`` is markup already; escape text with :func:`words` or ``html.escape``.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        shown = number(value) if isinstance(value, (int, float)) else escape(value, quote=True)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    return f"<{' '.join(parts)}>{inner}</{name}>" if inner else f"<{' '.join(parts)}/>"


def number(value: float) -> str:
    """A coordinate: at most two decimals, never in exponents."""
    return f"{round(value, 2):.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


def words(
    x: float | str,
    y: float | str,
    said: str,
    *,
    anchor: str = "start",
    style: str = "",
    size: float = 12,
) -> str:
    """Text at a place; ``style`` is added to the colour and size."""
    look = f"fill:{MUTED};font-size:{number(size)}px;{style}"
    return tag("text", escape(said), x=x, y=y, text_anchor=anchor, style=look)


def figure(
    body: str, *, title: str, description: str, width: float, height: float, fluid: bool = False
) -> str:
    """The ``<svg>`` around ``body``, with title and description for screen readers.

    ``fluid``: no view box; the body uses percentages across, so text keeps its size at any width.
    """
    key = hashlib.sha256(f"{title}{description}{body}".encode()).hexdigest()[:10]
    head = tag("title", escape(title), id=f"t{key}") + tag(
        "desc", escape(description), id=f"d{key}"
    )
    size: dict[str, str | float | None] = (
        {"width": "100%", "height": height}
        if fluid
        else {"viewBox": f"0 0 {number(width)} {number(height)}", "width": "100%"}
    )
    return tag(
        "svg",
        head + body,
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        role="img",
        aria_labelledby=f"t{key} d{key}",
        style="" if fluid else f"max-width:{number(width)}px",
        **size,
    )


def ticks(low: float, high: float, count: int = 5) -> tuple[list[float], int]:
    """Round values between ``low`` and ``high`` and the decimals that they need."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low], 2
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step / 10.0**-digits % 1) > 1e-6:
        digits += 1
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)], digits


def path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    """The ``d`` of a line through ``points``."""
    joined = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{joined}{'Z' if closed else ''}" if joined else ""
