"""What a segmentation bundle says about itself: ``bundle.json`` with the task "segmentation".

The graph ``model.onnx`` takes ``image`` ``(N, C, D, H, W)`` float32, a patch of the recipe's grid
(``D`` is 1 for a network of single images), and gives ``logit`` ``(N, 1 + L, D, H, W)`` float32:
background first, then the labels in order. Softmax over the second axis gives probabilities.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from diaphane.bundle.manifest import BundleFacts, Manifest, Strict, stated_task

Axis = Literal["z", "y", "x"]


class PatchSpec(Strict):
    """How the network goes over an image.

    Attributes
    ----------
    channels:
        Channels of the prepared image, in the order of the case's volumes.
    size:
        ``(D, H, W)`` of a patch in voxels of the recipe's grid; smaller images are padded.
    overlap:
        Share of a patch that neighbouring ones have in common along each axis, 0 to below 1.
    mirror:
        Axes along which each patch is also shown mirrored; the logits are averaged.
    pad:
        Value of voxels outside the image.
    """

    channels: int = Field(default=1, ge=1)
    size: tuple[int, int, int]
    overlap: float = Field(default=0.5, ge=0, lt=1)
    mirror: tuple[Axis, ...] = ()
    pad: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> PatchSpec:
        if min(self.size) < 1:
            raise ValueError("size must be at least 1 x 1 x 1")
        if len(set(self.mirror)) != len(self.mirror):
            raise ValueError("mirror names an axis twice")
        return self


class LabelSpec(Strict):
    """A label of the mask.

    Attributes
    ----------
    value:
        Its value in masks, 1 to 65535.
    name:
        The data set's own name.
    keep:
        Which connected components stay: "all" or the "largest".
    least:
        Components smaller than this are dropped, in voxels of the native grid; 0 drops none.
    """

    value: int = Field(ge=1, le=65535)
    name: str = Field(min_length=1)
    keep: Literal["all", "largest"] = "all"
    least: int = Field(default=0, ge=0)


class QualityModel(Strict):
    """Predicted Dice of a label: ``clip(offset + sum_i weight_i * feature_i, 0, 1)``.

    Features of the probability map, named in ``features``:

    - ``expected_dice``: ``2 sum_{x in mask} p(x) / (|mask| + sum_x p(x))``;
    - ``entropy``: mean entropy of the softmax over the mask, in nats;
    - ``margin``: mean over the mask of the difference of the two largest probabilities.

    A label without any voxel has the features ``expected_dice`` 1 minus the largest probability
    of the label, ``entropy`` 0 and ``margin`` 1.
    """

    features: tuple[Literal["expected_dice", "entropy", "margin"], ...]
    weight: tuple[float, ...]
    offset: float
    correlation: float | None = None
    n: int = 0

    @model_validator(mode="after")
    def _check(self) -> QualityModel:
        if len(self.features) != len(self.weight):
            raise ValueError("quality needs a weight per feature")
        return self


class SegmentationManifest(BundleFacts):
    """The content of ``bundle.json`` of a segmentation bundle, schema version 1.

    Attributes
    ----------
    labels:
        In the order of the graph's classes after background.
    recipe:
        ``preprocess.Recipe.to_dict()``; brings an image to the grid that patches are cut from.
    quality:
        By label name; a label without one has no predicted Dice.
    metrics:
        "dice", "dice:LABEL", ...
    """

    task: Literal["segmentation"] = "segmentation"
    labels: tuple[LabelSpec, ...] = Field(min_length=1)
    patch: PatchSpec
    recipe: dict[str, JsonValue]
    quality: dict[str, QualityModel] = Field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, background left out."""
        return tuple(label.name for label in self.labels)

    @model_validator(mode="after")
    def _check(self) -> SegmentationManifest:
        for names in (self.classes, tuple(label.value for label in self.labels)):
            if len(set(names)) != len(names):
                raise ValueError("labels must differ in name and in value")
        if set(self.quality) - set(self.classes):
            raise ValueError("quality names an unknown label")
        return self


def read_manifest(text: str | bytes, *, path: str | None = None) -> Manifest | SegmentationManifest:
    """The manifest in a ``bundle.json``, of the kind that its task says.

    Raises
    ------
    BundleTooNew, BundleCorrupt
        As :meth:`~diaphane.bundle.manifest.BundleFacts.from_json`.
    """
    if stated_task(text, path=path) == "segmentation":
        return SegmentationManifest.from_json(text, path=path)
    return Manifest.from_json(text, path=path)
