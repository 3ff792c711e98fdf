"""The convolutional encoder of single slices."""

from __future__ import annotations

import torch
from torch import nn

from diaphane.models.config import EvidenceConfig, NormKind


def normalisation(kind: NormKind, channels: int) -> nn.Module:
    """Normalisation layer that never mixes a slice with padding (see ``EvidenceConfig.norm``)."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class Block(nn.Module):
    """Two 3x3 convolutions with a residual path; the first one carries the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, norm: NormKind) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.first_norm = normalisation(norm, channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.second_norm = normalisation(norm, channels_out)
        self.skip = nn.Sequential(
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
        )
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        y = self.act(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        out: torch.Tensor = self.act(y + self.skip(x))
        return out


class SliceEncoder(nn.Module):
    """Residual blocks from slices to feature grids.

    Input ``(B, C, H, W)`` float32, output ``(B, D, h, w)``; slices do not see each other.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        channels = [config.in_channels + int(config.mask_channel), *config.widths]
        self.blocks = nn.Sequential(
            *(
                Block(channels[i], channels[i + 1], stride, config.norm)
                for i, stride in enumerate(config.strides)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode slices, see the class."""
        out: torch.Tensor = self.blocks(x)
        return out
