"""From a model's output to a decision that a reader may rely on, or a coded refusal.

The probability of a finding is null whenever one of the gates below is shut; measurements
never depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diaphane.core.finding import Assessment, Evidence

if TYPE_CHECKING:
    from diaphane.bundle import Bundle, Prediction

LARGER = "larger_than_training"
CUT = "cut_by_frame"
UNLIKE = "unlike_training"
UNOUTLINED = "not_segmented"
NO_CLASSIFIER = "no_classifier"


def withheld(*reasons: str, meaning: str | None = None) -> Assessment:
    """No probability, for these coded reasons."""
    return Assessment(None, tuple(dict.fromkeys(reasons)), meaning=meaning)


def assess(
    bundle: Bundle,
    prediction: Prediction,
    *,
    reasons: tuple[str, ...] = (),
    meaning: str | None = None,
) -> Assessment:
    """What a bundle's prediction says about a finding.

    Parameters
    ----------
    bundle, prediction:
        Who spoke, and what it said.
    reasons:
        Codes of gates that are already shut; the bundle's own ``unlike_training`` and a mask
        that its frame cut are added.
    meaning:
        Message code of what the positive class means; the bundle's own by default.
    """
    manifest = bundle.manifest
    codes = list(reasons)
    if prediction.prepared.cut and CUT not in codes:
        codes.append(CUT)
    if prediction.unlike_training:
        codes.append(UNLIKE)
    sets = manifest.prediction_sets
    shut = bool(codes)
    return Assessment(
        probability=None if shut else dict(prediction.probability),
        reasons=tuple(codes),
        prediction_set=() if shut else tuple(prediction.prediction_set),
        set_level=sets.level if sets and not shut else None,
        unlike_training=bool(prediction.unlike_training),
        distance=prediction.distance,
        positive=manifest.positive,
        meaning=meaning or manifest.meaning or "class_of_bundle",
    )


def evidence_of(
    bundle: Bundle, prediction: Prediction, assessment: Assessment, pixel_mm: float | None = None
) -> Evidence | None:
    """The parts that add up to the logit; none where the probability is withheld.

    ``pixel_mm`` is the size of a prepared pixel where the case itself does not state it.
    """
    if assessment.probability is None:
        return None
    from dataclasses import replace

    evidence = bundle.evidence(prediction)
    return evidence if pixel_mm is None else replace(evidence, pixel_mm=pixel_mm)
