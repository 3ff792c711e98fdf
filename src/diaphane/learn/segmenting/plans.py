"""The plan of a segmentation run, as a file that a person may read and edit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from diaphane.bundle.segmentation import Axis
from diaphane.learn.plan_file import PlanFile
from diaphane.learn.plans import DataSource


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmenterPlan(_Part):
    """The network.

    Attributes
    ----------
    kind:
        "unet2d" for images and thick slices, "unet3d" for volumes (residual), "cnn_gru" for a
        2-D encoder and decoder per slice with a convolutional GRU across slices.
    widths:
        Channels by level, the first at full resolution.
    strides:
        ``(z, y, x)`` of the step into each level after the first.
    deep_supervision:
        How many coarser levels have a loss of their own.
    stem:
        The first level: one convolution, or a residual unit (dearer, for thin structures).
    """

    kind: Literal["unet2d", "unet3d", "cnn_gru"]
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[tuple[int, int, int], ...] = ((2, 2, 2), (2, 2, 2))
    hidden: int = Field(default=32, ge=1)
    deep_supervision: int = Field(default=1, ge=0)
    stem: Literal["plain", "residual"] = "plain"
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> SegmenterPlan:
        if len(self.strides) != len(self.widths) - 1:
            raise ValueError("strides needs one entry less than widths")
        return self


class PatchAugmentation(_Part):
    """How strongly training patches are changed; 0 and empty leave them as they are."""

    mirror: tuple[Axis, ...] = ()
    rotation: float = Field(default=15.0, ge=0, le=180, description="In the plane, degrees.")
    tilt: float = Field(default=0.0, ge=0, le=45, description="Out of the plane, degrees.")
    scale: float = Field(default=0.15, ge=0, lt=0.7, description="Largest change of size, log.")
    elastic: float = Field(default=0.0, ge=0, description="Largest local shift, voxels.")
    brightness: float = Field(default=0.1, ge=0)
    contrast: float = Field(default=0.15, ge=0, lt=1)
    gamma: float = Field(default=0.2, ge=0, lt=1)
    noise: float = Field(default=0.05, ge=0)
    blur: float = Field(default=0.0, ge=0, description="Largest standard deviation, voxels.")
    share: float = Field(default=0.5, ge=0, le=1, description="How often a patch is turned.")


class SegmentationOptimiser(_Part):
    """AdamW with a warm-up and a cosine, gradients clipped, weights averaged (EMA)."""

    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip: float = Field(default=5.0, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    dice_share: float = Field(default=0.5, ge=0, le=1, description="The rest is cross-entropy.")


class SegmentationPlan(PlanFile):
    """Everything that a segmentation run does, before it does it.

    Attributes
    ----------
    labels:
        Mask value by label name, background left out.
    group_regex:
        What in a case's name is its group; see ``acquire.open_dataset``.
    recipe:
        As in :class:`~diaphane.learn.plans.Plan`; the code that a bundle runs.
    patch:
        ``(D, H, W)`` in voxels of the recipe's grid; D is 1 for "unet2d".
    pad:
        Value of voxels outside the image, after the recipe.
    foreground:
        Share of patches centred on a voxel of a label, each label in turn.
    steps:
        Of the optimiser, per network.
    folds:
        1 is a single split; above, cross-validation whose networks are fused.
    """

    task: Literal["segmentation"] = "segmentation"
    labels: dict[str, int] = Field(min_length=1)
    group_regex: str | None = None
    channels: int = Field(default=1, ge=1)
    recipe: dict[str, Any]
    network: SegmenterPlan
    patch: tuple[int, int, int]
    pad: float = 0.0
    batch: int = Field(default=2, ge=1)
    foreground: float = Field(default=0.5, ge=0, le=1)
    steps: int = Field(default=1000, ge=1)
    look_every: int = Field(default=200, ge=1, description="Steps between looks at held-out cases.")
    optimiser: SegmentationOptimiser = SegmentationOptimiser()
    augmentation: PatchAugmentation = PatchAugmentation()
    overlap: float = Field(default=0.5, ge=0, lt=1)
    mirror: tuple[Axis, ...] = ()
    folds: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    calibration_share: float = Field(default=0.2, gt=0, lt=0.6)
    time_budget: float | None = Field(default=None, gt=0, description="Seconds it was fitted to.")
    meaning: str | None = None
    sources: tuple[DataSource, ...] = ()
    licence: str = "not stated"
