"""What an evidence network is made of, as data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from diaphane.core.errors import PlanError

RnnKind = Literal["gru", "lstm", "none"]
NormKind = Literal["group", "batch", "none"]
SequenceKind = Literal["slices", "rows"]
EncoderKind = Literal["2d", "3d"]
ActivationKind = Literal["silu", "relu"]
PlacesKind = Literal["even", "learned"]

_KINDS = {
    "rnn": RnnKind,
    "norm": NormKind,
    "sequence": SequenceKind,
    "encoder": EncoderKind,
    "activation": ActivationKind,
    "places": PlacesKind,
}


@dataclass(frozen=True)
class Configuration:
    """Parts and sizes of a network; ``to_dict`` and ``from_dict`` round-trip through JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, tuples as lists."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read back what ``to_dict`` wrote; absent keys keep their default.

        Raises
        ------
        PlanError
            A key is not known, or a value is out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise PlanError(f"unknown model settings: {', '.join(unknown)}.")
        return cls(**{key: _tuples(value) for key, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class EvidenceConfig(Configuration):
    """Parts and sizes of one ``EvidenceNet``.

    Attributes
    ----------
    in_channels:
        Channels of each slice, at least 1.
    n_outputs:
        Scores K: 1 for two classes (the positive one), else one per class or label column.
    n_concepts:
        Concepts J that enter the score, 0 or more.
    image_size:
        Height and width of a slice in pixels; each a multiple of the product of ``strides``.
    widths, strides:
        Channels and stride of each encoder block; the last width is D, the feature dimension.
    encoder:
        ``2d`` reads slices one by one; ``3d`` convolves across slices too and may step over them.
    depths:
        Residual blocks of each width, the first of which has the stride; empty is one each.
    depth_strides:
        Stride over slices of each width for ``3d``; empty is 1 everywhere. Evidence of a step is
        shared evenly by the slices that it stands for.
    stem:
        Channels of a 3x3 convolution before the blocks; 0 is none.
    norm:
        Normalisation in the encoder. ``group`` works within one slice, ``batch`` over the slices of
        a training batch that are not padding.
    activation:
        Nonlinearity of the encoder.
    drop_path:
        Chance that the last residual block is skipped in training, less for earlier ones (Huang et
        al. 2016), 0 to below 1.
    places:
        Weights over locations: ``even`` over the mask, or ``learned`` within it from the features.
    rnn:
        Recurrent network over the sequence; ``none`` leaves a constant context.
    hidden:
        Units per direction of the recurrent network.
    sequence:
        What the recurrent network reads: the ``slices`` of a study, or the ``rows`` of the feature
        grid (of all slices in turn), as for a single image.
    mask_channel:
        Give the mask to the encoder as one more channel.
    use_image, use_concepts:
        Whether the two parts of the score are there at all; at least one must be.
    shape_segments:
        Straight pieces of each concept's shape function.
    dropout:
        Share of feature channels dropped in training, 0 to below 1.
    """

    in_channels: int = 1
    n_outputs: int = 1
    n_concepts: int = 0
    image_size: tuple[int, int] = (48, 48)
    widths: tuple[int, ...] = (16, 32, 48)
    strides: tuple[int, ...] = (1, 2, 2)
    encoder: EncoderKind = "2d"
    depths: tuple[int, ...] = ()
    depth_strides: tuple[int, ...] = ()
    stem: int = 0
    norm: NormKind = "group"
    activation: ActivationKind = "silu"
    drop_path: float = 0.0
    places: PlacesKind = "even"
    rnn: RnnKind = "gru"
    hidden: int = 32
    sequence: SequenceKind = "slices"
    mask_channel: bool = False
    use_image: bool = True
    use_concepts: bool = True
    shape_segments: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises
        ------
        PlanError
            A value is out of range; the message names it.
        """
        positive = ("in_channels", "n_outputs", "hidden", "shape_segments")
        for name in positive:
            if getattr(self, name) < 1:
                raise PlanError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.n_concepts < 0:
            raise PlanError(f"n_concepts must not be negative: {self.n_concepts}.")
        if not self.widths or len(self.widths) != len(self.strides):
            raise PlanError("widths and strides must name the same blocks, at least one.")
        if min(self.widths) < 1 or min(self.strides) < 1:
            raise PlanError("widths and strides must be at least 1.")
        for name in ("depths", "depth_strides"):
            given = getattr(self, name)
            if given and (len(given) != len(self.widths) or min(given) < 1):
                raise PlanError(f"{name} must be empty or name each block, at least 1 each.")
        if self.stem < 0:
            raise PlanError(f"stem must not be negative: {self.stem}.")
        for name, kinds in _KINDS.items():
            if getattr(self, name) not in get_args(kinds):
                raise PlanError(f"{name} must be one of {get_args(kinds)}.")
        if self.depth_stride > 1 and self.encoder == "2d":
            raise PlanError("depth_strides above 1 need encoder 3d.")
        if any(size < 1 or size % self.stride for size in self.image_size):
            raise PlanError(
                f"image_size {self.image_size} must be a multiple of the total stride {self.stride}."
            )
        for name in ("dropout", "drop_path"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise PlanError(f"{name} must be in [0, 1): {getattr(self, name)}.")
        if not self.use_image and not self.has_concepts:
            raise PlanError("a model needs the image, concepts or both.")

    @property
    def stride(self) -> int:
        """Pixels per cell of the feature grid."""
        return math.prod(self.strides)

    @property
    def depth_stride(self) -> int:
        """Slices per step of the feature grid."""
        return math.prod(self.depth_strides)

    @property
    def blocks_per_stage(self) -> tuple[int, ...]:
        """Residual blocks of each width."""
        return self.depths or (1,) * len(self.widths)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the feature grid."""
        return self.image_size[0] // self.stride, self.image_size[1] // self.stride

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the square of a slice that one cell of the feature grid has seen.

        Each block has a 3x3 convolution with the block's stride and one more at stride 1 after it.
        """
        return self._field(self.strides)

    @property
    def receptive_depth(self) -> int:
        """Slices that one step of the feature grid has seen; 1 where slices are read apart."""
        if self.encoder == "2d":
            return 1
        return self._field(self.depth_strides or (1,) * len(self.widths))

    def _field(self, strides: tuple[int, ...]) -> int:
        field, jump = (3 if self.stem else 1), 1
        for stride, blocks in zip(strides, self.blocks_per_stage, strict=True):
            field += 2 * jump
            jump *= stride
            field += 2 * jump * (2 * blocks - 1)
        return field

    @property
    def has_concepts(self) -> bool:
        """Whether concepts enter the score."""
        return self.use_concepts and self.n_concepts > 0

    @property
    def feature_size(self) -> int:
        """D of the ``features`` output: the last width, or J of a model without image."""
        return self.widths[-1] if self.use_image else self.n_concepts
