"""Saying which series there are, when one must be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diaphane.core.errors import AmbiguousInput, EmptyInput

if TYPE_CHECKING:
    from diaphane.acquire.series import SeriesHeader


def series_line(series: SeriesHeader) -> str:
    """One series on one line, without identity."""
    z, y, x = series.shape
    spacing = " x ".join("?" if s is None else f"{s:.3g}" for s in series.spacing)
    number = "-" if series.number is None else str(series.number)
    extra = [str(series.facts.get("orientation", "")), str(series.facts.get("kernel", ""))]
    if series.facts.get("localizer"):
        extra.append("localizer")
    words = ", ".join(part for part in extra if part)
    return f"{number}: {series.modality} {z} x {y} x {x}, {spacing} mm, {words} [{series.key}]"


def ambiguous(found: Sequence[SeriesHeader], path: str | Path | None = None) -> AmbiguousInput:
    """Several fit; lists them."""
    lines = "".join(f"\n  {series_line(series)}" for series in found)
    return AmbiguousInput(
        f"There are {len(found)} series:{lines}\n",
        path=path,
        remedy="Name one by its number, key or UID with --series.",
    )


def none_of(known: Sequence[SeriesHeader], wanted: str) -> EmptyInput:
    """None fits; lists what there is."""
    lines = "".join(f"\n  {series_line(series)}" for series in known)
    return EmptyInput(f"There is no series '{wanted}'. There are:{lines}")
