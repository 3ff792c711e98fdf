"""The plan of a run: every decision of learning, as a file that a person may read and edit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from diaphane.bundle import InputSpec
from diaphane.core.errors import PlanError
from diaphane.learn.augment import Augmentation
from diaphane.learn.plan_file import PlanFile

Task = Literal["binary", "multiclass", "multilabel"]
View = Literal["as_is", "flip_x", "flip_y", "turn"]


_OF_A_FAMILY = frozenset(
    {"network", "input", "recipe", "concept_fit", "optimiser", "augmentation", "batch", "views"}
)
"""Keys that the families of a plan may change."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkPlan(_Part):
    """Sizes of the evidence network; see ``models.EvidenceConfig``, which completes it."""

    widths: tuple[int, ...] = (16, 32, 48)
    strides: tuple[int, ...] = (1, 2, 2)
    encoder: Literal["2d", "3d"] = "2d"
    depths: tuple[int, ...] = ()
    depth_strides: tuple[int, ...] = ()
    stem: int = Field(default=0, ge=0)
    norm: Literal["group", "batch", "none"] = "group"
    activation: Literal["silu", "relu"] = "silu"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    places: Literal["even", "learned"] = "even"
    rnn: Literal["gru", "lstm", "none"] = "gru"
    hidden: int = Field(default=24, ge=1)
    sequence: Literal["slices", "rows"] = "slices"
    mask_channel: bool = False
    use_image: bool = True
    use_concepts: bool = True
    shape_segments: int = Field(default=6, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class ConceptPlan(_Part):
    """How the shape functions of the concepts are fitted, and how they meet the image.

    ``first`` fits them alone before the image part, to convergence, with a ``ridge`` on slopes and
    ``roughness`` on bends (both divided by the number of cases); ``freeze`` keeps them so, and the
    image part learns what they leave. With ``apart`` the image part learns the label itself, and
    the score is their mean, ``image_share`` of it from the image (``None``: the share that serves
    best on cases that the networks did not see): what two different looks at a case have in common
    stands out, and the sum still holds. Then concepts are always first and frozen.
    """

    first: bool = True
    freeze: bool = True
    apart: bool = False
    image_share: float | None = Field(default=None, gt=0, lt=1)
    ridge: float = Field(default=3.0, ge=0)
    roughness: float = Field(default=3.0, ge=0)


class OptimiserPlan(_Part):
    """AdamW with a warm-up and a cosine, gradients clipped, weights averaged (EMA)."""

    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of all steps.")
    clip: float = Field(default=2.0, gt=0)
    ema: float = Field(default=0.98, ge=0, lt=1)
    image_gain: float = Field(default=1.0, gt=0, description="Scales the image part at the start.")


class StoppingPlan(_Part):
    """Early stopping on ``share`` of the training cases; ``share`` 0 trains all epochs."""

    share: float = Field(default=0.15, ge=0, lt=0.6)
    patience: int = Field(default=12, ge=1)


class SplitPlan(_Part):
    """``folds`` above 1 is cross-validation; ``calibration_share`` serves a single split."""

    folds: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    calibration_share: float = Field(default=0.2, gt=0, lt=0.6)


class DataSource(_Part):
    """Where the data came from and under which licence; stands on the model card."""

    name: str
    licence: str = "not stated"
    citation: str = ""
    url: str = ""


class EncoderRef(_Part):
    """The self-supervised encoder that the networks start from; its file lies in the run folder."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of encoder.safetensors.")
    method: str
    cases: int = Field(ge=1, description="Unlabelled cases that it learned from.")
    steps: int = Field(ge=0)
    rate: float = Field(
        default=0.1, gt=0, le=1, description="Share of the learning rate that the encoder follows."
    )


class Plan(PlanFile):
    """Everything that a run does, before it does it.

    Attributes
    ----------
    task, label_columns, classes, positive:
        What is learned. ``positive`` is per label column; empty for several classes.
    ordinal:
        The classes of a multi-class task are grades, in their order: figures then also say by how
        many grades a case is missed (quadratic-weighted kappa, mean absolute error).
    group_regex:
        What in a case's name is its group; see ``acquire.open_dataset``.
    input, recipe:
        What the network sees, by the code that a bundle runs.
    encoder:
        Where the image part starts; ``None`` starts at random.
    seeds:
        One network per fold and seed.
    views:
        How each network sees a case when it is used; their logits are averaged.
    epochs, steps:
        How long each network learns; ``steps`` of the optimiser hold where they are given.
    time_budget:
        Seconds that ``steps`` was fitted to.
    families:
        Networks to choose from, by name: what differs from this plan, as keys of the plan. The
        first one is this plan as it stands. Empty: nothing is to be chosen.
    concept_sets:
        Sets of ``input.concepts`` to choose one from, by name. Empty: all enter.
    chosen:
        The family that cross-validation on the training cases chose, and this plan is.
    imbalance:
        ``weights`` lets rare classes count more, by the square root of how rare they are; ``none`` leaves the loss as it is.
    set_level:
        Aimed share of prediction sets that hold the true class.
    meaning:
        Message code of what the positive class means, for reports.
    licence, sources:
        Of the weights, and of the data; both stand on the model card.
    """

    task: Task
    label_columns: tuple[str, ...] = Field(min_length=1)
    classes: dict[str, tuple[str, ...]]
    positive: dict[str, str] = Field(default_factory=dict)
    ordinal: bool = False
    group_regex: str | None = None
    input: InputSpec
    recipe: dict[str, Any]
    network: NetworkPlan = NetworkPlan()
    encoder: EncoderRef | None = None
    concept_fit: ConceptPlan = ConceptPlan()
    optimiser: OptimiserPlan = OptimiserPlan()
    families: dict[str, dict[str, Any]] = Field(default_factory=dict)
    concept_sets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    chosen: str | None = None
    epochs: int = Field(default=40, ge=1)
    steps: int | None = Field(default=None, ge=1)
    time_budget: float | None = Field(default=None, gt=0)
    batch: int = Field(default=32, ge=1)
    imbalance: Literal["weights", "none"] = "none"
    smoothing: float = Field(default=0.02, ge=0, lt=0.5)
    mixup: float = Field(default=0.0, ge=0, description="Of the beta distribution; 0 is none.")
    augmentation: Augmentation = Augmentation()
    stopping: StoppingPlan = StoppingPlan()
    split: SplitPlan = SplitPlan()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    views: tuple[View, ...] = Field(default=("as_is",), min_length=1)
    set_level: float = Field(default=0.9, gt=0.5, lt=1)
    meaning: str | None = None
    sources: tuple[DataSource, ...] = ()
    licence: str = "not stated"

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        for column in self.label_columns:
            known = self.classes.get(column, ())
            if len(known) < 2:
                raise ValueError(f"classes.{column} needs at least two classes.")
            if self.task != "multiclass" and self.positive.get(column) not in known:
                raise ValueError(f"positive.{column} must be one of {', '.join(known)}.")
            if self.task != "multiclass" and len(known) != 2:
                raise ValueError(f"classes.{column} must name two classes for task {self.task}.")
        if self.ordinal and self.task != "multiclass":
            raise ValueError("ordinal needs task multiclass.")
        if (self.task == "multilabel") != (len(self.label_columns) > 1):
            raise ValueError("task is multilabel exactly when there are several label_columns.")
        if self.concept_fit.apart and not (self.concept_fit.first and self.concept_fit.freeze):
            raise ValueError("concept_fit.apart needs first and freeze.")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must differ.")
        for name, concepts in self.concept_sets.items():
            missing = set(concepts) - set(self.input.concepts)
            if missing or not concepts:
                what = ", ".join(sorted(missing)) or "nothing"
                raise ValueError(f"concept_sets.{name} names {what}, not in input.concepts.")
        for name, changes in self.families.items():
            wrong = set(changes) - _OF_A_FAMILY
            if wrong:
                raise ValueError(f"families.{name} may not change {', '.join(sorted(wrong))}.")
        return self

    def family(self, name: str) -> Plan:
        """Give the plan with what a family changes; ``families`` are gone, ``chosen`` is set.

        Raises
        ------
        PlanError
            A key of the family is wrong.
        """
        values = self.model_dump(mode="json")
        for key, change in self.families[name].items():
            whole = not isinstance(change, dict)
            values[key] = change if whole else {**values[key], **change}
        try:
            made = Plan.from_dict({**values, "families": {}, "chosen": name})
        except PlanError as error:
            raise PlanError(f"plan key 'families.{name}': {error.problem}") from error
        return made

    @property
    def output_names(self) -> tuple[str, ...]:
        """What each score of the network is for: the positive class, each class, each column."""
        if self.task == "binary":
            return (self.positive[self.label_columns[0]],)
        if self.task == "multiclass":
            return self.classes[self.label_columns[0]]
        return self.label_columns

    @property
    def apart(self) -> bool:
        """Whether image and concepts learn apart; both must be there."""
        both = self.network.use_image and self.network.use_concepts
        return self.concept_fit.apart and both and bool(self.input.concept_names)

    @property
    def shares_out(self) -> bool:
        """Whether the image's share is fitted when all networks have learned."""
        return self.apart and self.concept_fit.image_share is None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in a bundle's order: negative, then positive; or the label columns."""
        if self.task == "multilabel":
            return self.label_columns
        names = self.classes[self.label_columns[0]]
        if self.task == "binary":
            names = tuple(sorted(names, key=lambda name: name == self.output_names[0]))
        return names
