"""Networks that label every voxel: residual U-Nets, and a CNN per slice with a GRU across slices.

The residual units are those of MONAI's U-Net (Kerfoot et al., STACOM 2018), on a decoder with skip
connections at full resolution (Ronneberger et al. 2015; Cicek et al. 2016) and losses at several
levels (Lee et al. 2015). All take ``(N, C, D, H, W)`` and give ``(N, 1 + L, D, H, W)`` logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from diaphane.core.errors import PlanError
from diaphane.models.config import Configuration
from diaphane.models.segment_parts import Unit, across_slices, convolution, upsampling

Kind = Literal["unet2d", "unet3d", "cnn_gru"]
Stem = Literal["plain", "residual"]
Steps = tuple[int, int, int]


@dataclass(frozen=True)
class SegmenterConfig(Configuration):
    """Parts and sizes of one ``SegmentNet``.

    Attributes
    ----------
    kind:
        "unet2d" and "cnn_gru" see each slice by 2-D convolutions; the latter lets slices know of
        each other by a bidirectional convolutional GRU at every level below full resolution.
    in_channels, n_labels:
        Channels of the image; labels L beside background.
    widths:
        Channels by level, the first at full resolution.
    strides:
        ``(z, y, x)`` of the step into each level after the first; z is 1 for 2-D convolutions.
    stem:
        The first level's encoder: one convolution, or a residual unit.
    hidden:
        Most channels per direction of a GRU; a level's GRU has half the level's width if less.
    deep_supervision:
        How many coarser levels give logits of their own in training.
    dropout:
        Share of channels dropped at the coarsest level in training.
    """

    kind: Kind = "unet3d"
    in_channels: int = 1
    n_labels: int = 1
    widths: tuple[int, ...] = (16, 32, 64)
    strides: tuple[Steps, ...] = ((2, 2, 2), (2, 2, 2))
    stem: Stem = "plain"
    hidden: int = 32
    deep_supervision: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises
        ------
        PlanError
            A value is out of range; the message names it.
        """
        if self.kind not in get_args(Kind) or self.stem not in get_args(Stem):
            raise PlanError(f"a segmenter is none of {get_args(Kind)} with {get_args(Stem)}.")
        if len(self.widths) < 2 or len(self.strides) != len(self.widths) - 1:
            raise PlanError("widths need two levels or more, and strides one entry less.")
        if min(self.widths) < 1 or min(min(step) for step in self.strides) < 1:
            raise PlanError("widths and strides must be at least 1.")
        if self.kind != "unet3d" and any(step[0] != 1 for step in self.strides):
            raise PlanError(f"strides of a {self.kind} must be 1 along z.")
        for name in ("in_channels", "n_labels", "hidden"):
            if getattr(self, name) < 1:
                raise PlanError(f"{name} must be at least 1, not {getattr(self, name)}.")

    @property
    def total_stride(self) -> Steps:
        """Voxels per cell of the coarsest level along ``(z, y, x)``; patches are multiples."""
        total = [1, 1, 1]
        for step in self.strides:
            total = [a * b for a, b in zip(total, step, strict=True)]
        return total[0], total[1], total[2]

    @property
    def kernels(self) -> tuple[Steps, ...]:
        """Kernel of each level: 1 along z while slices are too far apart to be halved."""
        flat = self.kind != "unet3d"
        sizes: list[Steps] = []
        for level in range(len(self.widths)):
            following = self.strides[min(level, len(self.strides) - 1)]
            thick = following[0] == 1 and max(following[1:]) > 1 and level < len(self.strides)
            sizes.append((1 if flat or thick else 3, 3, 3))
        return tuple(sizes)


class SegmentNet(nn.Module):
    """Encoder and decoder of ``config``; see the module."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        flat = config.kind != "unet3d"
        self.flat = flat
        widths, kernels = config.widths, config.kernels
        one: Steps = (1, 1, 1)
        self.stem = Unit(
            flat,
            config.in_channels,
            widths[0],
            kernels[0],
            one,
            residual=config.stem == "residual",
        )
        self.encoder = nn.ModuleList(
            Unit(flat, widths[i], widths[i + 1], kernels[i + 1], step, residual=True)
            for i, step in enumerate(config.strides)
        )
        self.between = nn.ModuleList(
            across_slices(width, config.hidden) for width in widths[1:]
        ) if config.kind == "cnn_gru" else nn.ModuleList()  # fmt: skip
        self.drop = nn.Dropout(config.dropout)
        levels = range(len(widths) - 2, -1, -1)
        self.up = nn.ModuleList(
            upsampling(flat, widths[i + 1], widths[i], config.strides[i]) for i in levels
        )
        self.decoder = nn.ModuleList(
            Unit(
                flat, 2 * widths[i], widths[i], kernels[i], one,
                residual=i == 0 and config.stem == "residual",
            )
            for i in levels
        )  # fmt: skip
        supervised = min(config.deep_supervision + 1, len(widths) - 1)
        self.heads = nn.ModuleList(
            convolution(flat, widths[i], 1 + config.n_labels, one, one, bias=True)
            for i in range(supervised)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d | nn.Conv3d)
            assert head.bias is not None
            nn.init.zeros_(head.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits ``(N, 1 + L, D, H, W)`` of images ``(N, C, D, H, W)``."""
        return self.levels(image, 1)[0]

    def levels(self, image: torch.Tensor, count: int | None = None) -> list[torch.Tensor]:
        """Logits of the finest ``count`` supervised levels, finest first; all if ``None``."""
        cases, channels, depth, height, width = image.shape
        x = image
        if self.flat:
            x = image.transpose(1, 2).reshape(cases * depth, channels, height, width)
            x = x.contiguous(memory_format=torch.channels_last)
        features = [self.stem(x)]
        for unit in self.encoder:
            features.append(unit(features[-1]))
        for i, link in enumerate(self.between):
            features[i + 1] = link(features[i + 1], depth)
        wanted = len(self.heads) if count is None else min(count, len(self.heads))
        y = self.drop(features.pop())
        found: list[torch.Tensor] = []
        for i, (up, unit) in enumerate(zip(self.up, self.decoder, strict=True)):
            y = unit(torch.cat([up(y), features.pop()], 1))
            level = len(self.up) - 1 - i
            if level < wanted:
                logit = self.heads[level](y)
                if self.flat:
                    logit = logit.reshape(cases, depth, *logit.shape[1:]).transpose(1, 2)
                found.append(logit)
        return found[::-1]


class Committee(nn.Module):
    """Mean of the logits of several networks of one input and output."""

    def __init__(self, members: list[SegmentNet]) -> None:
        """Hold the members.

        Raises
        ------
        PlanError
            There is none, or their inputs or outputs differ.
        """
        super().__init__()
        shapes = {(net.config.in_channels, net.config.n_labels) for net in members}
        if len(shapes) != 1:
            raise PlanError("segmenters that are fused must share their channels and labels.")
        self.members = nn.ModuleList(members)

    @property
    def config(self) -> SegmenterConfig:
        """Of the first member."""
        first = self.members[0]
        assert isinstance(first, SegmentNet)
        return first.config

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Mean logits ``(N, 1 + L, D, H, W)``."""
        total: torch.Tensor = self.members[0](image)
        for member in list(self.members)[1:]:
            total = total + member(image)
        return total / len(self.members)
