"""The model card of a segmentation bundle."""

from __future__ import annotations

from typing import Any, cast

from diaphane.bundle import SegmentationManifest
from diaphane.learn.card import data_and_licence, figures, opening

_SPLITS = {
    "out_of_fold": "out of fold, by single networks that never saw the case's group; the bundle "
    "averages them",
    "calibration": "on the part held back from training; rules and quality were chosen on it",
}
_LIMITS = """\
- The figures hold for cases like those it was trained on: same region, same kind of image, same
  way of outlining.
- Predicted Dice was learnt from single networks; the fused probabilities are a little softer, so
  it leans to the low side.
- Component rules were chosen on the cases that the figures are of, among nine."""
_UNITS = {"mm": "mm, mm³", "px": "voxels"}


def model_card(manifest: SegmentationManifest) -> str:
    """Markdown card: what it is for, made of, worth, and where it ends."""
    m = manifest
    lines = [
        *opening(m),
        "## What it outlines",
        "",
        *(f"- {label.name} (value {label.value}){_rule(label)}" for label in m.labels),
        _input(m),
        _network(m),
        "",
        *data_and_licence(m),
        "",
        *figures(m, _measured(m)),
        "",
        "## Predicted Dice",
        "",
        *_quality(m),
        "",
        "## Limits",
        "",
        _LIMITS,
        "",
    ]
    return "\n".join(lines)


def _input(m: SegmentationManifest) -> str:
    size = " x ".join(str(n) for n in m.patch.size)
    text = (
        f"- Input: {m.patch.channels} channel(s), patches of {size} voxels that overlap by "
        f"{m.patch.overlap:.0%}"
    )
    return text + (f", mirrored along {', '.join(m.patch.mirror)}." if m.patch.mirror else ".")


def _network(m: SegmentationManifest) -> str:
    network: Any = m.model.get("network") or {}
    steps = ", ".join(str(n) for n in cast("list[int]", m.model.get("steps") or []))
    return (
        f"- Network: {m.model.get('members')} {network.get('kind', '')} whose logits are averaged, "
        f"{m.model.get('parameters')} parameters together, trained for {steps} steps."
    )


def _rule(label: Any) -> str:
    parts = []
    if label.keep == "largest":
        parts.append("its largest component stays")
    if label.least:
        parts.append(f"components under {label.least} voxels are dropped")
    return f": {', '.join(parts)}" if parts else ""


def _measured(m: SegmentationManifest) -> str:
    about = m.metrics_about
    split = str(about.get("split"))
    where = _SPLITS.get(split, f"on the {split} part, which took no part in training")
    unit = _UNITS.get(str(about.get("unit")), about.get("unit"))
    return (
        f"Measured {where}: n = {about.get('n')}, {about.get('groups')} groups, seed "
        f"{about.get('seed')}, 95 % bootstrap intervals by group ({about.get('rounds')} rounds). "
        f"Distances and volumes in {unit}."
    )


def _quality(m: SegmentationManifest) -> list[str]:
    about: Any = m.metrics_about.get("quality") or {}
    lines = []
    for name, row in about.items():
        if not row.get("fitted"):
            lines.append(f"- {name}: too few cases to learn it ({row.get('n')}); the expected Dice "
                         "of the probabilities is shown as it is.")  # fmt: skip
            continue
        pearson, spearman = row.get("pearson"), row.get("spearman")
        said = "no correlation could be measured"
        if pearson is not None:
            said = (
                f"correlation with the true Dice {pearson:.2f} (Pearson), {spearman:.2f} (Spearman)"
            )
        lines.append(
            f"- {name}: {said}, mean absolute error {row.get('mean_absolute_error'):.3f}, "
            f"n = {row.get('n')}, cross-fitted by fold."
        )
    return lines or ["Not learnt."]
