"""Places of a chest CT that may become findings: outlined, told apart, rated and ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from diaphane.anatomy import Candidate, Lungs
from diaphane.anatomy import segment_nodule as outline_at
from diaphane.apps.nodule_stack import NoduleStack, nodule_stack
from diaphane.core.errors import NotApplicable, UsageError
from diaphane.core.volume import Volume
from diaphane.diagnose import Region

if TYPE_CHECKING:
    from diaphane.bundle import Bundle, Prediction

Index = tuple[float, float, float]

MIN_DIAMETER_MM = 4.0
LARGEST_MM = 30.0  # no training nodule exceeds it; beyond it a lesion is called a mass
SAME = 0.3  # overlap, as share of the smaller outline, from which two are one
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


def index_of(point: Sequence[float], volume: Volume) -> Index:
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


def outline_spot(index: Index, found: Candidate | None, volume: Volume, lungs: Lungs) -> Spot:
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


def is_taken(spots: list[Spot], found: Candidate) -> bool:
    """Whether a proposal lies in an outline that is already there; it lends its attachment."""
    for i, other in enumerate(spots):
        if other.region is not None and other.region.covers(np.asarray(found.index)):
            if not other.attachment:
                spots[i] = replace(other, attachment=ATTACHMENTS.get(found.attachment, ""))
            return True
    return False


def add_spot(spots: list[Spot], spot: Spot) -> None:
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


def rate_spots(spots: Sequence[Spot], volume: Volume, bundle: Bundle | None) -> list[Spot]:
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


def rank_of(spot: Spot) -> float:
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
