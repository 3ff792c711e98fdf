"""The bundle that a site's own cases calibrated anew: same model, other numbers, said so."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane import __version__
from diaphane.bundle import Bundle, Manifest, Seen, write_bundle
from diaphane.bundle.archive import CARD, LICENCE, MANIFEST, MODEL, REFERENCE, SUMS, read_files
from diaphane.core.decision import UnlikeTraining
from diaphane.core.evaluation import Interval
from diaphane.evaluate import Classification, Decisions, Difference

_OURS = {CARD, LICENCE, MANIFEST, MODEL, REFERENCE, SUMS}
_OLD_HEADINGS = re.compile(r"^## (Figures|Calibration)$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Recalibration:
    """What was fitted anew, on how much, and what it changed.

    Attributes
    ----------
    decisions, reference:
        As the new bundle holds them.
    figures:
        Of the new decisions on groups that were held out of their fitting.
    changes:
        Figures before and after on those groups.
    hashes:
        Of the cases, under :func:`salt_of`.
    counts:
        Cases by class.
    verdict:
        Whether it helped, as a sentence.
    """

    decisions: Decisions
    reference: UnlikeTraining | None
    figures: Classification
    changes: Mapping[str, Difference]
    hashes: Sequence[str]
    counts: Mapping[str, int]
    verdict: str
    seed: int
    rounds: int


def salt_of(manifest: Manifest) -> str:
    """Salt of the hashes of cases: the bundle's own, or one made of its name."""
    seen = manifest.seen
    if seen.salt or seen.train or seen.val or seen.calibration or seen.test:
        return seen.salt
    return hashlib.sha256(f"{manifest.name}/{manifest.version}".encode()).hexdigest()[:16]


def write_recalibrated(bundle: Bundle, made: Recalibration, folder: Path, name: str) -> Path:
    """Write the new bundle whole; the model's bytes and all further files stay as they are.

    Raises
    ------
    OutputError
        The disk is full or the place cannot be written.
    """
    files = read_files(bundle.path)
    manifest = new_manifest(bundle, made, name)
    with tempfile.TemporaryDirectory() as room:
        model = Path(room) / MODEL
        model.write_bytes(bundle.model)
        return write_bundle(
            folder,
            manifest,
            model,
            card=new_card(bundle, manifest, made),
            licence=bundle.licence,
            reference=made.reference,
            extras={key: data for key, data in files.items() if key not in _OURS},
        )


def new_manifest(bundle: Bundle, made: Recalibration, name: str) -> Manifest:
    """The old manifest with what was refitted, the old figures kept under "before"."""
    old = bundle.manifest
    figures = made.figures
    about: dict[str, Any] = {
        "split": "recalibrated",
        "cross_fitted": True,
        "n": figures.n,
        "groups": figures.groups,
        "seed": made.seed,
        "rounds": made.rounds,
        "level": 0.95,
        "refitted": _refitted(made),
        "cases": dict(made.counts),
        "verdict": made.verdict,
        "changes": {key: change.to_dict() for key, change in made.changes.items()},
        "before": {
            "bundle": {"name": old.name, "version": old.version, "sha256": bundle.sha256},
            "metrics": {key: figure.to_dict() for key, figure in old.metrics.items()},
            "metrics_about": dict(old.metrics_about),
            "calibration": old.calibration.to_dict(),
            "prediction_sets": None
            if old.prediction_sets is None
            else old.prediction_sets.to_dict(),
            "operating_points": [vars(point) for point in old.operating_points],
            "limit": None if bundle.reference is None else float(bundle.reference.limit),
        },
    }
    if "ece_perfect_95" in figures.settings:
        about["ece_perfect_95"] = float(figures.settings["ece_perfect_95"])
    slope = figures.metrics.get("calibration_slope")
    if slope is not None and slope.value is not None:
        about["calibration_slope"] = slope.value
    seen = old.seen
    added = set(made.hashes)
    fields = old.model_dump()
    fields |= {
        "name": name,
        "version": f"{old.version}+site",
        "calibration": made.decisions.calibration,
        "prediction_sets": made.decisions.sets,
        "operating_points": made.decisions.points,
        "metrics": dict(figures.metrics),
        "metrics_about": about,
        "seen": Seen(
            salt=salt_of(old),
            train=seen.train,
            val=seen.val,
            calibration=tuple(sorted({*seen.calibration, *added})),
            test=tuple(digest for digest in seen.test if digest not in added),
        ),
        "made_by": {**old.made_by, "recalibrated_by": f"diaphane {__version__}"},
    }
    return Manifest.model_validate(fields)


def new_card(bundle: Bundle, manifest: Manifest, made: Recalibration) -> str:
    """The old card, headed by what was refitted; its own figures are marked as those before."""
    old = bundle.manifest
    what = (
        f"This is bundle `{old.name}`, version {old.version}, with the same model. "
        f"{_listed(_refitted(made)).capitalize()} were fitted anew on {made.figures.n} cases of "
        f"{made.figures.groups} groups that it had not seen "
        f"({', '.join(f'{n} {name}' for name, n in made.counts.items())})."
    )
    how = (
        f"Measured on groups held out of the fitting (seed {made.seed}, 95 % bootstrap intervals "
        f"by group, {made.rounds} rounds):"
    )
    lines = [
        "## Recalibrated for a site",
        "",
        what,
        "",
        made.verdict,
        "",
        how,
        "",
        "| figure | before | after | change |",
        "|---|---|---|---|",
    ]
    for name, change in made.changes.items():
        before, after = change.baseline_interval, change.model_interval
        lines.append(
            f"| {name} | {_words(before)} | {_words(after)} | {_words(change.difference)} |"
        )
    lines += [
        "",
        "Figures further down are those of the bundle before, on the cases that it was made from.",
        "",
    ]
    text = _OLD_HEADINGS.sub(r"## \1 before recalibration", bundle.card)
    text = text.replace(
        f"Bundle `{old.name}`, version {old.version}.",
        f"Bundle `{manifest.name}`, version {manifest.version}.",
        1,
    )
    head, heading, rest = text.partition("\n## ")
    return "\n".join([head.rstrip("\n"), "", *lines]) + (f"\n## {rest}" if heading else "")


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([part for part in (", ".join(parts[:-1]), parts[-1]) if part])


def _refitted(made: Recalibration) -> list[str]:
    parts = ["calibration"]
    if made.decisions.sets is not None:
        parts.append("prediction sets")
    if made.decisions.points:
        parts.append("operating points")
    if made.reference is not None:
        parts.append("the limit of unlike training")
    return parts


def _words(figure: Interval) -> str:
    if figure.value is None:
        return "undefined"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
