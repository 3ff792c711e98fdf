"""What a study shows, where, how big, how likely, and because of what.

Everything here is codes and numbers; ``report`` turns codes into sentences of a language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.core.case import SourceRef
from diaphane.core.volume import Volume

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Measurement:
    """One measured quantity: code ("long_axis", "volume", ...), value, UCUM unit ("mm", "mm3")."""

    code: str
    value: float
    unit: str


@dataclass(frozen=True)
class Diameter:
    """End points of a drawn diameter on one slice: indices ``(z, y, x)``, length, unit."""

    start: Point
    end: Point
    length: float
    unit: str


@dataclass(frozen=True)
class Location:
    """Where a finding lies.

    Attributes
    ----------
    box:
        Voxel box ``(z0, y0, x0, z1, y1, x1)``, half open, on the native grid.
    centre_index:
        ``(z, y, x)``.
    centre_mm:
        LPS ``(x, y, z)`` mm, or ``None`` when the image has no place in the patient.
    key_slice:
        Index z of the largest section; ``instance_number`` is its DICOM image number.
    anatomy:
        Codes by kind, for example ``{"organ": "lung", "side": "right", "third": "upper"}``.
    """

    box: tuple[int, int, int, int, int, int]
    centre_index: Point
    centre_mm: Point | None
    key_slice: int
    instance_number: int | None = None
    anatomy: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConceptEvidence:
    """One concept's value, its contribution to the logit, and whether it was given."""

    name: str
    value: float | None
    contribution: float
    given: bool = True


@dataclass(frozen=True, eq=False)
class Evidence:
    """Why the model scored as it did; the parts add up to ``logit``.

    ``logit = bias + image + sum of concept contributions``, where ``image`` is the sum of
    ``maps`` over slices and locations, given attention and context.

    Attributes
    ----------
    target:
        Class that the logit is for.
    maps:
        ``(t, h, w)`` contributions on the feature grid.
    attention:
        ``(t,)`` slice weights; they sum to 1.
    image:
        ``(t, H, W)`` prepared slices as the network saw them.
    mask:
        ``(t, H, W)`` prepared mask, 0 to 1.
    receptive_field:
        Side length of what one feature sees, in prepared pixels; ``pixel_mm`` their size.
    placement:
        4x4 matrix from prepared index ``(t, y, x, 1)`` to native index ``(z, y, x, 1)``;
        ``None`` where the prepared slices are no affine picture of the native grid. With it
        the report draws the contributions on the native image.
    """

    target: str
    logit: float
    bias: float
    image_contribution: float
    concepts: tuple[ConceptEvidence, ...]
    maps: NDArray[np.float32]
    attention: NDArray[np.float32]
    image: NDArray[np.float32]
    mask: NDArray[np.float32]
    receptive_field: int | None = None
    pixel_mm: float | None = None
    placement: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Assessment:
    """How likely: calibrated, or null with coded reasons.

    Attributes
    ----------
    probability:
        Calibrated probability by class, or ``None``.
    reasons:
        Codes why it is ``None``: "larger_than_training", "cut_by_frame",
        "unlike_training", "no_classifier", ...
    prediction_set:
        Classes that cannot be excluded at the bundle's level (``set_level``, e.g. 0.9).
    unlike_training, distance:
        Whether the input is unlike the training set, and how far (1 = the limit).
    positive, meaning:
        The positive class, and a message code for what it means.
    """

    probability: Mapping[str, float] | None
    reasons: tuple[str, ...] = ()
    prediction_set: tuple[str, ...] = ()
    set_level: float | None = None
    unlike_training: bool = False
    distance: float | None = None
    positive: str | None = None
    meaning: str | None = None


@dataclass(frozen=True)
class RuleResult:
    """What an expert rule says, beside the model and never mixed into its score.

    ``outcome`` is a message code; ``unknown`` lists codes of what the image cannot tell;
    ``agrees`` is ``None`` where rule and model cannot be compared.
    """

    rule: str
    source: str
    version: str
    inputs: Mapping[str, float | str]
    outcome: str
    unknown: tuple[str, ...] = ()
    agrees: bool | None = None


@dataclass(frozen=True, eq=False)
class Finding:
    """One finding. ``mask_label`` is its value in ``masks.nii.gz`` (``None``: whole image)."""

    id: str
    code: str
    location: Location
    measurements: tuple[Measurement, ...]
    assessment: Assessment
    evidence: Evidence | None = None
    rules: tuple[RuleResult, ...] = ()
    long_axis: Diameter | None = None
    short_axis: Diameter | None = None
    mask_label: int | None = None
    origin: str = "proposed"
    """"proposed" by the app, or "reader" for a point given by a person."""
    rank: float = 0.0
    notes: tuple[str, ...] = ()
    """Message codes of warnings, e.g. "thick_slices"."""

    def measure(self, code: str) -> Measurement | None:
        """The measurement of that code, if any."""
        return next((m for m in self.measurements if m.code == code), None)


@dataclass(frozen=True)
class SeriesChoice:
    """One series of the input and why it was taken or left (message codes)."""

    key: str
    number: int | None
    modality: str
    slices: int
    spacing: tuple[float | None, float | None, float | None]
    kernel: str | None
    taken: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class BundleRef:
    """Which bundle spoke: name, version, sha256 of its contents, and what its card states."""

    name: str
    version: str
    sha256: str
    title: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Figures for the report: metrics with intervals, set coverage, faithfulness, curves."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything that an app found in one study; ``report`` writes it down.

    Attributes
    ----------
    findings:
        Shown, best ranked first; ``candidates`` are the rest.
    labels:
        ``(z, y, x)`` uint16 on the native grid: structures and findings by value.
    structures:
        Label value -> code, e.g. ``{1: "right_lung", 2: "left_lung"}``.
    pseudonym:
        Keyed pseudonym of the patient that heads the report.
    notes, limits:
        Message codes with parameters: ``(code, {parameter: value})``.
    timings:
        Seconds by stage, in order.
    uncertainty:
        ``(z, y, x)`` from 0 (certain) to 1, on the native grid, where a model outlined; else
        ``None``.
    """

    app: str
    app_version: str
    pseudonym: str
    volume: Volume
    findings: tuple[Finding, ...]
    candidates: tuple[Finding, ...] = ()
    labels: NDArray[np.uint16] | None = None
    structures: Mapping[int, str] = field(default_factory=dict)
    series: tuple[SeriesChoice, ...] = ()
    bundles: tuple[BundleRef, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    limits: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    source: SourceRef | None = field(default=None, repr=False)
    instance_numbers: tuple[int | None, ...] = ()
    uncertainty: NDArray[np.float16] | None = None
