"""What a bundle says about itself: the content of ``bundle.json``, checked field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from diaphane.core.decision import Calibration, OperatingPoint, PredictionSets
from diaphane.core.errors import BundleCorrupt, BundleTooNew, UsageError
from diaphane.core.evaluation import Interval
from diaphane.core.options import ReadOptions, Repair, Units

SCHEMA_VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Task = Literal["binary", "multiclass", "multilabel"]
Kind = Literal["sequence", "image"]
MaskSource = Literal["none", "foreground", "given"]

_LAST = (
    "metrics", "metrics_about", "faithfulness", "seen", "meaning", "intended_use", "licence",
    "sources", "made_by", "model",
)  # fmt: skip
"""Keys that stand at the end of ``bundle.json``, after what is particular to a kind of bundle."""


class Strict(BaseModel):
    """No unknown keys, no silent conversions, no NaN, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Reading(Strict):
    """How DICOM was read for the cases that made it, and is for those that it judges.

    Attributes
    ----------
    tilt, spacing:
        Whether sheared or uneven slices are refused or resampled.
    units:
        What PET values are read as.
    """

    tilt: Repair = "refuse"
    spacing: Repair = "refuse"
    units: Units = "stored"

    @classmethod
    def stated(cls, values: Mapping[str, str]) -> Reading:
        """Of the fields that are given, the others as they are by default.

        Raises
        ------
        UsageError
            For a field or a value that is none.
        """
        try:
            return cls.model_validate_json(json.dumps(dict(values)))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise UsageError(f"'{where}' is not said so of reading DICOM.") from error

    @property
    def options(self) -> ReadOptions:
        """As the options of reading."""
        return ReadOptions.of(self.tilt, self.spacing, self.units)


AS_STORED: Mapping[str, str] = MappingProxyType({})
"""Of :meth:`Reading.stated`: nothing is repaired."""


class InputSpec(Strict):
    """What the network is fed with, after the recipe.

    Attributes
    ----------
    kind:
        "sequence" (the slices of a study) or "image" (one slice).
    channels:
        Channels of each slice.
    size:
        Height and width of the frame in prepared pixels.
    max_slices:
        Most slices of a case; longer ones are thinned evenly.
    mask:
        "none": the whole image; "foreground": native voxels above 0 in any channel;
        "given": the case's own mask, labels above 0.
    concepts:
        Names that ``measure`` computes from the prepared slices and mask.
    given_concepts:
        Names of the dataset's ``concept:`` columns, after the measured ones; NaN when absent.
    pixel_mm:
        Pixel size that the recipe brings images to, or ``None`` when it works in pixels.
    pad:
        Value of pixels outside the image.
    """

    kind: Kind
    channels: int = Field(default=1, ge=1)
    size: tuple[int, int]
    max_slices: int = Field(default=1, ge=1)
    mask: MaskSource = "none"
    concepts: tuple[str, ...] = ()
    given_concepts: tuple[str, ...] = ()
    pixel_mm: float | None = Field(default=None, gt=0)
    pad: float = 0.0

    @property
    def concept_names(self) -> tuple[str, ...]:
        """All concepts in the order of the network's input ``(j,)``."""
        return self.concepts + self.given_concepts

    @model_validator(mode="after")
    def _check(self) -> InputSpec:
        if min(self.size) < 1:
            raise ValueError("size must be at least 1 x 1")
        if len(set(self.concept_names)) != len(self.concept_names):
            raise ValueError("a concept is named twice")
        return self


class ConceptCurve(Strict):
    """A concept's shape function as drawn in reports.

    ``value`` ``(n,)`` in the concept's own unit, ``contribution`` ``(n, k)`` to each output.
    """

    value: tuple[float, ...]
    contribution: tuple[tuple[float, ...], ...]


class Seen(Strict):
    """Salted hashes of the cases that made the bundle, by split.

    ``train``, ``val`` (early stopping) and ``calibration`` count as seen; ``test`` does not.
    Each hash is :func:`diaphane.bundle.case_hash` with ``salt``.
    """

    salt: str = ""
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class Source(Strict):
    """A data set that went into the bundle."""

    name: str
    licence: str
    citation: str = ""
    url: str = ""


class BundleFacts(Strict):
    """What every kind of bundle says about itself.

    Attributes
    ----------
    reading:
        How DICOM is read for it; left out of ``bundle.json`` where nothing is repaired.
    metrics, metrics_about:
        Figures with intervals, and how they were measured (split, n, groups, seed, ...).
    meaning:
        Message code of what the positive class means, for reports.
    made_by:
        Versions of what made it, for example ``{"diaphane": "0.1.0"}``.
    model:
        Facts about the network (members, parameters, configuration), for the card.
    """

    schema_version: Literal[1] = 1
    name: str
    version: str = Field(min_length=1)
    title: str
    reading: Reading = Reading()
    metrics: dict[str, Interval] = Field(default_factory=dict)
    metrics_about: dict[str, JsonValue] = Field(default_factory=dict)
    seen: Seen = Field(default_factory=Seen)
    meaning: str | None = None
    intended_use: str
    licence: str
    sources: tuple[Source, ...] = ()
    made_by: dict[str, str] = Field(default_factory=dict)
    model: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError("name must be lower-case letters, digits, '.', '_' and '-'")
        return self

    @model_serializer(mode="wrap")
    def _in_order(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys in the order that ``bundle.json`` has had from the first."""
        data = fields(self)
        if data.get("ordinal") is False:  # bundles from before there were grades stay as they are
            del data["ordinal"]
        if self.reading == Reading():
            data.pop("reading", None)
        last = {key: data.pop(key) for key in _LAST if key in data}
        return {**data, **last}

    def to_json(self) -> str:
        """Indented JSON with a final line end; the same manifest gives the same text."""
        data = self.model_dump(mode="json")
        return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, path: str | None = None) -> Self:
        """Read and check ``bundle.json``.

        Raises
        ------
        BundleTooNew
            A newer schema than this diaphane knows.
        BundleCorrupt
            Not JSON, or a field is missing, unknown or wrong (named in the message).
        """
        stated_task(text, path=path)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "bundle.json"
            raise BundleCorrupt(
                f"bundle.json is not a valid manifest ({where}: {first['msg']}).", path=path
            ) from error


class Manifest(BundleFacts):
    """The content of ``bundle.json`` of a classification bundle, schema version 1.

    Attributes
    ----------
    classes:
        Binary: negative, then positive. Multi-class: in the order of the logits. Multi-label:
        the labels' names, one per output.
    label_columns:
        The dataset's label columns: one, or one per label.
    positive_values:
        Multi-label only: the value of each column that means "present".
    ordinal:
        Whether the classes of several are grades, in order.
    recipe:
        ``preprocess.Recipe.to_dict()``.
    prediction_sets:
        ``None`` when none were fitted.
    receptive_field:
        Side of what one feature sees, in prepared pixels.
    tta:
        "flips": logits and un-flipped maps are averaged over the four mirrorings at run time
        (only where the graph does not do so itself).
    """

    task: Task
    classes: tuple[str, ...]
    positive: str | None = None
    label_columns: tuple[str, ...] = ("label",)
    positive_values: tuple[str, ...] = ()
    ordinal: bool = False
    input: InputSpec
    recipe: dict[str, JsonValue]
    calibration: Calibration
    prediction_sets: PredictionSets | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    concept_curves: dict[str, ConceptCurve] = Field(default_factory=dict)
    receptive_field: int | None = Field(default=None, ge=1)
    tta: Literal["none", "flips"] = "none"
    faithfulness: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Logits per case: 1 for two classes, else one per class or label."""
        return 1 if self.task == "binary" else len(self.classes)

    @property
    def targets(self) -> tuple[str, ...]:
        """The class that each logit is for."""
        return self.classes[1:] if self.task == "binary" else self.classes

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise ValueError("classes must be named, each once")
        if self.task == "binary" and (len(self.classes) != 2 or self.positive != self.classes[1]):
            raise ValueError("a binary task has two classes, negative first, then positive")
        if self.task == "multilabel":
            if not len(self.label_columns) == len(self.positive_values) == len(self.classes):
                raise ValueError("a multilabel task needs a column and a positive value per label")
        elif len(self.label_columns) != 1:
            raise ValueError(f"a {self.task} task has one label column")
        found = (self.calibration.task, len(self.calibration.slope), len(self.calibration.offset))
        if found != (self.task, self.outputs, self.outputs):
            raise ValueError("calibration does not fit the task")
        if self.prediction_sets and len(self.prediction_sets.limit) != len(self.classes):
            raise ValueError("prediction_sets need a limit per class")
        return self


def stated_task(text: str | bytes, *, path: str | None = None) -> str:
    """The task that a ``bundle.json`` names, the rest unchecked; "" where it names none.

    Raises
    ------
    BundleTooNew
        A newer schema than this diaphane knows.
    BundleCorrupt
        Not JSON.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:  # JSON and Unicode errors are both
        raise BundleCorrupt("bundle.json is not JSON.", path=path) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleTooNew(
            f"The bundle has schema version {version}; this diaphane reads up to {SCHEMA_VERSION}.",
            path=path,
            remedy="Update diaphane: pip install --upgrade diaphane",
        )
    task = raw.get("task") if isinstance(raw, dict) else None
    return task if isinstance(task, str) else ""
