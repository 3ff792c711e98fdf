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

from diaphane.anatomy import Candidate, Lungs, locate, propose_candidates, segment_lungs
from diaphane.anatomy import segment_nodule as outline_at
from diaphane.anatomy.candidates import SHOWN as WORTH_SHOWING
from diaphane.apps.lung_limits import lungs_cut, measured_sensitivity, stated_limits
from diaphane.apps.nodule_stack import NoduleStack, nodule_stack, stack_recipe
from diaphane.apps.series import load_series_rule
from diaphane.apps.stages import Stages
from diaphane.apps.study import Study, as_hounsfield, read_study
from diaphane.apps.versions import used_versions
from diaphane.core.case import Identified
from diaphane.core.errors import BundleNotFound, NotApplicable, UsageError
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
    from diaphane.bundle import Bundle, Prediction

Index = tuple[float, float, float]
Note = tuple[str, dict[str, Any]]

MIN_DIAMETER_MM = 4.0
LARGEST_MM = 30.0  # no training nodule exceeds it; beyond it a lesion is called a mass
THICK_MM = 3.0
SMALL_MM = 6.0
SHOWN = 10
SOLID_HU = -300.0
SAME = 0.3  # overlap, as share of the smaller outline, from which two are one
STRUCTURES = {1: "right_lung", 2: "left_lung", 3: "airways"}
FIRST_LABEL = 11
MEANING = "lidc_suspicion"
ATTACHMENTS = {
    "free": "free",
    "pleural": "juxtapleural",
    "mediastinal": "juxtamediastinal",
    "vascular": "vessel",
}


@dataclass(frozen=True, eq=False)
class Spot:
    """A place that may become a finding: a proposal of the search, or a reader's point.

    ``stack``, ``prediction`` and ``positive`` (the class that it is about) are there once the
    classifier has seen it.
    """

    index: Index
    origin: str
    score: float
    region: Region | None = None
    attachment: str = ""
    stack: NoduleStack | None = None
    prediction: Prediction | None = None
    positive: str = ""

    @property
    def long_axis(self) -> float:
        """Longest diameter in mm; 0 where nothing could be outlined."""
        return 0.0 if self.region is None else self.region.measures.long_axis

    @property
    def is_mass(self) -> bool:
        """Whether it is larger than any nodule of the training set."""
        return self.long_axis > LARGEST_MM


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
        points = [_index_of(point, volume) for point in request.points]  # before any long work

        with stages("lungs", 0.08):
            lungs = segment_lungs(volume)
        spots: list[Spot] = []
        with stages("segment", 0.4):
            for point in points:
                _add(spots, _outlined(point, None, volume, lungs))
        with stages("candidates", 0.45):
            found = propose_candidates(volume, lungs, MIN_DIAMETER_MM)
            proposed = [c for c in found if c.score >= WORTH_SHOWING]
        for number, candidate in enumerate(proposed):
            with stages("segment", 0.75 + 0.1 * number / len(proposed)):
                if not _taken(spots, candidate):
                    _add(spots, _outlined(candidate.index, candidate, volume, lungs))

        bundle = self._classifier(request.threads)
        with stages("classify", 0.87):
            spots = _rated(spots, volume, bundle)
        spots.sort(key=_rank, reverse=True)
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


def _index_of(point: Sequence[float], volume: Volume) -> Index:
    """Native index ``(z, y, x)`` of a reader's point ``(x, y, z)`` in LPS mm."""
    at = np.asarray(point, dtype=np.float64)
    if at.shape != (3,) or not np.isfinite(at).all():
        raise UsageError("A point is three finite numbers x,y,z in mm.")
    index = volume.geometry.to_index(at)
    if not volume.geometry.contains(index):
        corners = volume.geometry.to_patient([(0, 0, 0), tuple(n - 1 for n in volume.shape)])
        low, high = corners.min(axis=0), corners.max(axis=0)
        reach = ", ".join(
            f"{axis} {a:.0f} to {b:.0f}" for axis, a, b in zip("xyz", low, high, strict=True)
        )
        raise UsageError(
            f"The point {','.join(f'{v:g}' for v in at)} is outside the scan.",
            remedy=f"In patient mm (LPS) the scan reaches over {reach}.",
        )
    return float(index[0]), float(index[1]), float(index[2])


def _outlined(index: Index, found: Candidate | None, volume: Volume, lungs: Lungs) -> Spot:
    """A spot with its outline, if there is something to outline."""
    radius = None if found is None else found.radius_mm
    mask = outline_at(volume, index, lungs, radius)
    region = Region.of(mask, volume) if mask.any() else None
    return Spot(
        index=index,
        origin="reader" if found is None else "proposed",
        score=1.0 if found is None else found.score,
        region=region,
        attachment="" if found is None else ATTACHMENTS.get(found.attachment, ""),
    )


def _taken(spots: list[Spot], found: Candidate) -> bool:
    """Whether a proposal lies in an outline that is already there; it lends its attachment."""
    for i, other in enumerate(spots):
        if other.region is not None and other.region.covers(np.asarray(found.index)):
            if not other.attachment:
                spots[i] = replace(other, attachment=ATTACHMENTS.get(found.attachment, ""))
            return True
    return False


def _add(spots: list[Spot], spot: Spot) -> None:
    """Take a spot in, unless it is nothing, too small, or another one already there."""
    region = spot.region
    if region is None or round(region.measures.mean_diameter) < MIN_DIAMETER_MM:
        # Sizes are told in whole mm. What a reader points at is kept whatever its size.
        if spot.origin == "reader":
            spots.append(spot)
        return
    for i, other in enumerate(spots):
        if other.region is not None and region.overlap(other.region) >= SAME:
            if not other.attachment:
                spots[i] = replace(other, attachment=spot.attachment)
            return
    spots.append(spot)


def _rated(spots: Sequence[Spot], volume: Volume, bundle: Bundle | None) -> list[Spot]:
    """Spots with what the classifier says of those that are no larger than its training set."""
    if bundle is None:
        return list(spots)
    rated = list(spots)
    waiting = []
    for i, spot in enumerate(spots):
        if spot.region is None or spot.is_mass:
            continue
        stack = nodule_stack(volume, spot.region)
        try:
            prepared = bundle.prepare(stack.case(f"spot-{i}"))
        except NotApplicable:  # thinner than a pixel of the training set
            continue
        rated[i] = replace(spot, stack=stack)
        waiting.append((i, prepared))
    answers = bundle.predict_prepared([prepared for _, prepared in waiting])
    for (i, _), answer in zip(waiting, answers, strict=True):
        rated[i] = replace(rated[i], prediction=answer, positive=bundle.manifest.targets[0])
    return rated


def _rank(spot: Spot) -> float:
    """What is shown first: reader's points, then nodule-like and suspicious ones.

    The score of the search times 1/2 to 1 by the model's probability; a mass counts as
    suspicious, a spot without probability as half. It orders and is no probability.
    """
    first = 1.0 if spot.origin == "reader" else 0.0
    suspicion = 1.0 if spot.is_mass else 0.5
    said = spot.prediction
    if said is not None and not said.unlike_training:
        suspicion = said.probability[spot.positive]
    return first + spot.score * (0.5 + 0.5 * suspicion)


def _finding(spot: Spot, number: int, study: Study, lungs: Lungs, bundle: Bundle | None) -> Finding:
    """A spot as a finding: place, size, rating, reasons and warnings."""
    volume, numbers = study.volume, study.instance_numbers
    ident = f"F{number + 1}" if number < SHOWN else f"C{number + 1 - SHOWN}"
    rank = round(_rank(spot), 4)
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
