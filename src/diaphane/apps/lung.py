"""Nodules and masses on a chest CT: the app ``lung-ct``, from top to bottom.

A study goes in; nodules of 4 mm and more are proposed, outlined, measured, put beside the
Fleischner table and, where they look like what the bundle ``lung-nodule`` was trained on,
rated by it. Everything else keeps its measurements and says why it has no probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.anatomy import Lungs, locate, propose_candidates, segment_lungs
from diaphane.anatomy.candidates import SHOWN as WORTH_SHOWING
from diaphane.apps.lung_limits import lungs_cut, measured_sensitivity, stated_limits
from diaphane.apps.lung_spots import (
    LARGEST_MM,
    MIN_DIAMETER_MM,
    Index,
    Spot,
    add_spot,
    index_of,
    is_taken,
    outline_spot,
    rank_of,
    rate_spots,
)
from diaphane.apps.nodule_stack import stack_recipe
from diaphane.apps.series import load_series_rule
from diaphane.apps.stages import Stages
from diaphane.apps.study import Study, as_hounsfield, read_study
from diaphane.apps.versions import used_versions
from diaphane.core.case import Identified
from diaphane.core.errors import BundleNotFound
from diaphane.core.finding import Analysis, Assessment, Evidence, Finding
from diaphane.core.protocols import Request
from diaphane.core.volume import Volume
from diaphane.diagnose import (
    Region,
    apply_rule,
    assess,
    diameters,
    evidence_of,
    load_rule,
    location,
    measurements,
    point_location,
    withheld,
)

if TYPE_CHECKING:
    from diaphane.bundle import Bundle

Note = tuple[str, dict[str, Any]]

THICK_MM = 3.0
SMALL_MM = 6.0
SHOWN = 10
SOLID_HU = -300.0
STRUCTURES = {1: "right_lung", 2: "left_lung", 3: "airways"}
FIRST_LABEL = 11
MEANING = "lidc_suspicion"


@dataclass(frozen=True)
class LungCt:
    """The app ``lung-ct``.

    Attributes
    ----------
    bundle:
        Name or path of the classifier.
    """

    bundle: str = "lung-nodule"
    name: str = "lung-ct"
    version: str = "1"

    def analyze(self, request: Request) -> Analysis:
        """Nodules and masses of the chest CT at ``request.path``.

        Raises
        ------
        NoLungs
            No lungs in the field of view.
        NotApplicable
            Not a CT, or no series that the app reads.
        AmbiguousInput
            Several series or patients, and none preferred.
        UsageError
            A reader's point outside the scan.
        InputError
            The study cannot be read; the class says why.
        """
        return self.examine(request).value

    def examine(self, request: Request) -> Identified[Analysis]:
        """As :meth:`analyze`, with the identity of the patient for whoever files the result."""
        stages = Stages(request.progress)
        study = as_hounsfield(
            read_study(request, load_series_rule("series_lung_ct"), stages), request.path
        )
        volume = study.volume
        points = [index_of(point, volume) for point in request.points]  # before any long work

        with stages("lungs", 0.08):
            lungs = segment_lungs(volume)
        spots: list[Spot] = []
        with stages("segment", 0.4):
            for point in points:
                add_spot(spots, outline_spot(point, None, volume, lungs))
        with stages("candidates", 0.45):
            found = propose_candidates(volume, lungs, MIN_DIAMETER_MM)
            proposed = [c for c in found if c.score >= WORTH_SHOWING]
        for number, candidate in enumerate(proposed):
            with stages("segment", 0.75 + 0.1 * number / len(proposed)):
                if not is_taken(spots, candidate):
                    add_spot(spots, outline_spot(candidate.index, candidate, volume, lungs))

        bundle = self._classifier(request.threads)
        with stages("classify", 0.87):
            spots = rate_spots(spots, volume, bundle)
        spots.sort(key=rank_of, reverse=True)
        with stages("measure", 0.93):
            findings = [
                _finding(spot, number, study, lungs, bundle) for number, spot in enumerate(spots)
            ]
        with stages("rules", 0.95):
            findings = _with_rules(findings, bundle)

        analysis = Analysis(
            app=self.name,
            app_version=self.version,
            pseudonym=study.pseudonym,
            volume=volume,
            findings=tuple(findings[:SHOWN]),
            candidates=tuple(replace(f, evidence=None) for f in findings[SHOWN:]),
            labels=_labels(lungs, spots),
            structures={**STRUCTURES, **{_label(i): f.id for i, f in enumerate(findings)}},
            series=study.series,
            bundles=() if bundle is None else (bundle.ref(),),
            recipe=stack_recipe().to_dict(),
            notes=(*study.notes, *_notes(findings, study, lungs, bundle, self.bundle)),
            limits=stated_limits(LARGEST_MM),
            timings=stages.seconds,
            versions=used_versions(),
            source=study.source,
            instance_numbers=study.instance_numbers,
        )
        return Identified(analysis, study.identity)

    def _classifier(self, threads: int | None) -> Bundle | None:
        """The classifier, or ``None`` where it is not installed."""
        from diaphane.bundle import load_classifier

        try:
            return load_classifier(self.bundle, threads=threads)
        except BundleNotFound:
            return None


def _finding(spot: Spot, number: int, study: Study, lungs: Lungs, bundle: Bundle | None) -> Finding:
    """A spot as a finding: place, size, rating, reasons and warnings."""
    volume, numbers = study.volume, study.instance_numbers
    ident = f"F{number + 1}" if number < SHOWN else f"C{number + 1 - SHOWN}"
    rank = round(rank_of(spot), 4)
    if spot.region is None:
        where = point_location(spot.index, volume, numbers, _anatomy(spot.index, volume, lungs))
        empty = withheld("not_segmented", meaning=MEANING)
        return Finding(ident, "point", where, (), empty, origin=spot.origin, rank=rank)
    region = spot.region
    anatomy = _anatomy(region.measures.centroid, volume, lungs, spot.attachment)
    assessment, evidence = _assessed(spot, volume, bundle)
    long_axis, short_axis = diameters(region)
    return Finding(
        id=ident,
        code="mass" if spot.is_mass else "nodule",
        location=location(region, volume, numbers, anatomy),
        measurements=measurements(region, volume.unit),
        assessment=assessment,
        evidence=evidence,
        long_axis=long_axis,
        short_axis=short_axis,
        mask_label=_label(number),
        origin=spot.origin,
        rank=rank,
        notes=_warnings(region, volume),
    )


def _anatomy(index: Index, volume: Volume, lungs: Lungs, attachment: str = "") -> dict[str, str]:
    side, third = locate(lungs, volume.geometry.to_patient(index))
    found = {"organ": "lung", "side": side, "third": third}
    return {**found, "attachment": attachment} if attachment else found


def _assessed(
    spot: Spot, volume: Volume, bundle: Bundle | None
) -> tuple[Assessment, Evidence | None]:
    """Probability and its reasons, or the coded reasons why there is none."""
    reasons = []
    if spot.is_mass:
        reasons.append("larger_than_training")
    if (spot.region and spot.region.measures.touches_edge) or (spot.stack and spot.stack.cut):
        reasons.append("cut_by_frame")
    if bundle is None:
        return withheld(*reasons, "no_classifier", meaning=MEANING), None
    if spot.prediction is None or spot.stack is None:
        return withheld(*(reasons or ["not_segmented"]), meaning=MEANING), None
    said = assess(bundle, spot.prediction, reasons=tuple(reasons), meaning=MEANING)
    pixel = stack_recipe().steps[1].spacing[2]  # type: ignore[attr-defined]  # a Resample
    evidence = evidence_of(bundle, spot.prediction, said, pixel)
    if evidence is not None and evidence.placement is not None:
        onto = spot.stack.to_native(volume.geometry) @ evidence.placement
        evidence = replace(evidence, placement=onto)
    return said, evidence


def _warnings(region: Region, volume: Volume) -> tuple[str, ...]:
    m = region.measures
    found = {
        "thick_slices": volume.geometry.spacing_mm[0] > THICK_MM,
        "small": m.mean_diameter < SMALL_MM,
        "touches_border": m.touches_edge,
        "density_below_solid": m.density_mean is not None and m.density_mean < SOLID_HU,
    }
    return tuple(code for code, holds in found.items() if holds)


def _with_rules(findings: Sequence[Finding], bundle: Bundle | None) -> list[Finding]:
    """Findings with what Fleischner 2017 says beside the model, and where the two disagree."""
    table = load_rule("fleischner_2017_solid")
    nodules = [f for f in findings[:SHOWN] if f.code == "nodule"]
    points = {} if bundle is None else {p.name: p for p in bundle.manifest.operating_points}
    threshold = points["youden"].threshold if "youden" in points else 0.5
    ruled = []
    for finding in findings:
        diameter = finding.measure("mean_diameter")
        if diameter is None:
            ruled.append(finding)
            continue
        long_axis = finding.measure("long_axis")
        size = long_axis.value if finding.code == "mass" and long_axis else diameter.value
        inputs = {"mean_diameter_mm": size, "nodules": float(max(1, len(nodules)))}
        density = finding.measure("mean_density")
        # Partial volume makes small solid nodules look thin; only larger ones are judged by it.
        if density is not None and diameter.value >= 2 * SMALL_MM:
            inputs["density_hu"] = density.value
        result = apply_rule(
            table, inputs, finding.assessment, threshold=threshold, unknown=("nodule_type",)
        )
        notes = (*finding.notes, "rule_disagrees") if result.agrees is False else finding.notes
        ruled.append(replace(finding, rules=(result,), notes=notes))
    return ruled


def _label(number: int) -> int:
    return FIRST_LABEL + number


def _labels(lungs: Lungs, spots: Sequence[Spot]) -> NDArray[np.uint16]:
    """Lungs, airways and findings on the native grid; the best ranked on top."""
    labels = lungs.mask.astype(np.uint16)
    labels[lungs.airways] = 3
    for number in reversed(range(len(spots))):
        region = spots[number].region
        if region is not None:
            region.paint(labels, _label(number))
    return labels


def _notes(
    findings: Sequence[Finding], study: Study, lungs: Lungs, bundle: Bundle | None, wanted: str
) -> list[Note]:
    notes: list[Note] = []
    slice_mm = study.volume.geometry.spacing_mm[0]
    if not findings:
        notes.append(("no_candidate", {"min_diameter_mm": MIN_DIAMETER_MM}))
    if slice_mm > THICK_MM:
        notes.append(("thick_slices", {"spacing": round(slice_mm, 2)}))
    if len(findings) > SHOWN:
        notes.append(("more_candidates", {"shown": SHOWN, "rest": len(findings) - SHOWN}))
    if bundle is None:
        notes.append(("no_classifier", {"name": wanted}))
    if lungs_cut(lungs):
        notes.append(("incomplete_lungs", {}))
    figures = measured_sensitivity()
    notes += [("sensitivity", dict(row)) for row in figures] or [("sensitivity_unknown", {})]
    return notes
