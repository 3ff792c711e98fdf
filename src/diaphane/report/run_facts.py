"""What a training run hands to its report: plain numbers, words and small arrays.

Nothing here needs torch or a room above ``core``; whoever trains fills what it knows and leaves
the rest at its default. Cases appear under pseudonyms only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from diaphane.core.evaluation import Interval


@dataclass(frozen=True)
class Material:
    """The data of a run.

    Attributes
    ----------
    cases, groups:
        What took part; ``grouped`` says whether groups (patients) were given rather than
        taken one per case.
    classes:
        Class or label -> cases that have it.
    kind:
        "image", "sequence" or "volume".
    size:
        Median ``(z, y, x)`` of the images as read, in voxels; ``spacing`` in mm.
    parts:
        Split -> ``{"cases", "groups"}``; ``given`` says that the data set brought its splits.
    sources:
        ``{"name", "licence", "citation", "url"}`` each.
    refused:
        Error code -> cases that could not be used.
    """

    cases: int = 0
    groups: int = 0
    grouped: bool = False
    classes: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""
    modality: str = ""
    unit: str = ""
    channels: int = 1
    size: tuple[float, float, float] | None = None
    spacing: tuple[float | None, float | None, float | None] | None = None
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    given: bool = False
    sources: Sequence[Mapping[str, str]] = ()
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """One of the networks that cross-validation chose among; ``value`` is its figure."""

    name: str
    value: Interval
    chosen: bool = False
    folds: int | None = None
    cases: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Planning:
    """How the plan came about.

    Attributes
    ----------
    reasons:
        Key of the plan -> why.
    said:
        Sentences of the planner: guesses, duplicates, probable leaks.
    families, family_metric:
        The cross-validation table, and the code of its figure.
    budget, seconds:
        Time that the user allowed, and that the run took (s).
    steps, annealed_early_at:
        Planned steps of the optimiser per network; the step at which a nearing deadline forced
        the final annealing, ``None`` when none did.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    said: Sequence[str] = ()
    families: Sequence[Family] = ()
    family_metric: str = "auc"
    budget: float | None = None
    seconds: float | None = None
    steps: int | None = None
    annealed_early_at: int | None = None


@dataclass(frozen=True)
class Engine:
    """What the run ran on, and what it made.

    ``parameters`` are those of all ``networks`` together. ``processor`` is a name such as
    "x86_64"; ``versions`` package -> version.
    """

    device: str = "cpu"
    threads: int | None = None
    processor: str = ""
    system: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    networks: int = 1
    parameters: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Confusion:
    """Cases by true class (rows) and answer (columns).

    Attributes
    ----------
    counts:
        ``(K, K)``, whole numbers.
    threshold, point:
        For two classes: the probability from which a case counts as positive, and the code of
        the operating point that it belongs to.
    sensitivity, specificity:
        Of that point, cross-fitted.
    same_cases:
        Whether the threshold was chosen on the very cases that are counted.
    label:
        Which label the table is of, in multi-label tasks.
    """

    classes: tuple[str, ...]
    counts: NDArray[Any]
    threshold: float | None = None
    point: str = ""
    sensitivity: float | None = None
    specificity: float | None = None
    same_cases: bool = False
    label: str = ""


@dataclass(frozen=True, eq=False)
class Example:
    """A judged case with its picture.

    Attributes
    ----------
    case:
        Pseudonym.
    images:
        One or a few slices, each ``(h, w)`` or ``(h, w, 3)``: uint8 as it is, other types from
        their smallest to their largest value.
    truth:
        True class, or labels.
    probability:
        Class -> probability.
    right:
        Probability of the truth; the least of all labels where there are several.
    wrong:
        Whether the answer differs from the truth.
    """

    case: str
    images: tuple[NDArray[Any], ...]
    truth: str
    probability: Mapping[str, float]
    right: float
    wrong: bool


@dataclass(frozen=True, eq=False)
class SegmentedExample:
    """A segmented case with its picture: the slice that shows its disagreement best.

    Attributes
    ----------
    image:
        ``(h, w)`` or ``(h, w, 3)``, as in :class:`Example`.
    truth, predicted:
        Values of labels ``(h, w)``; 0 is background.
    dice:
        Label -> Dice of the whole case, ``None`` where neither has it.
    predicted_dice:
        Label -> what the quality estimate said.
    place:
        Number of the slice, from 1, and of how many; ``None`` for images.
    """

    case: str
    image: NDArray[Any]
    truth: NDArray[Any]
    predicted: NDArray[Any]
    dice: Mapping[str, float | None]
    predicted_dice: Mapping[str, float | None] = field(default_factory=dict)
    place: tuple[int, int] | None = None


@dataclass(frozen=True)
class RunFacts:
    """Everything that a report tells beside plan, curves and figures."""

    material: Material = Material()
    planning: Planning = Planning()
    engine: Engine = Engine()
