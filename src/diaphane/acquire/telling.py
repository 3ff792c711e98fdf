"""What tells a volume from the others of its series, as facts and as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diaphane.acquire.facts import clean_kernel
from diaphane.acquire.planes import Stack
from diaphane.acquire.splitting import Part
from diaphane.acquire.traits import FACTS

_UNITS = {
    "echo_time": " ms",
    "inversion_time": " ms",
    "b_value": " s/mm2",
    "slice_thickness": " mm",
}


def volume_facts(part: Part, grid: Stack) -> dict[str, Any]:
    """Facts of a volume that come from what its images share, less those of all series."""
    told = {**part.among, **part.told}
    facts: dict[str, Any] = {"volume": told} if told else {}
    for name in FACTS:
        values = {plane.traits.get(name) for plane in part.planes}
        if len(values) == 1 and None not in values:
            facts[name] = values.pop()
    if part.localizer:
        facts["localizer"] = True
    kernel = part.planes[0].traits.get("kernel")
    if kernel and not part.planes[0].header.kernel:
        facts["kernel"] = clean_kernel(kernel)
    if grid.resampling is not None:
        facts["resampled"] = grid.resampling.repairs
    return facts


def told_words(told: Mapping[str, Any]) -> str:
    """What tells a volume apart on one line, such as "echo time 4.92 ms"."""
    return ", ".join(_word(name, value) for name, value in told.items() if name != "kernel")


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"no {name.replace('_', ' ')}"
    if value is None:
        return f"no {name.replace('_', ' ')}"
    if isinstance(value, tuple):
        shown = "/".join(f"{part:.3g}" if isinstance(part, float) else str(part) for part in value)
    else:
        shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name.replace('_', ' ')} {shown}{_UNITS.get(name, '')}"
