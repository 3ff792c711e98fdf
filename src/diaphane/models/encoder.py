"""Convolutional encoders: slices read one by one, or a volume read across its slices.

Residual blocks after He et al. 2016, skipped at random in training after Huang et al. 2016.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from diaphane.models.config import ActivationKind, EvidenceConfig, NormKind

_QUIET = 0.2
"""Scale of a residual path beside an identity at the start: deep networks start nearly shallow."""


def normalisation(kind: NormKind, channels: int) -> nn.Module:
    """Normalisation layer that never mixes a slice with padding (see ``EvidenceConfig.norm``)."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def activation(kind: ActivationKind) -> nn.Module:
    """Nonlinearity by name."""
    return nn.SiLU() if kind == "silu" else nn.ReLU()


def exporting() -> bool:
    """Whether a graph is being written, where no step may depend on values."""
    return bool(torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export())


class Block(nn.Module):
    """Two 3x3 convolutions with a residual path; the first one carries the stride."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        stride: int,
        norm: NormKind,
        act: ActivationKind = "silu",
        *,
        first: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.first_norm = normalisation(norm, channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.second_norm = normalisation(norm, channels_out)
        self.skip: nn.Module = nn.Identity()
        if first:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
            )
        elif isinstance(self.second_norm, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.constant_(self.second_norm.weight, _QUIET)
        self.act = activation(act)
        self.drop_path = drop_path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        y = self.act(self.first_norm(self.first(x)))
        y = skipped(self.second_norm(self.second(y)), self.drop_path, training=self.training)
        out: torch.Tensor = self.act(y + self.skip(x))
        return out


def skipped(y: torch.Tensor, chance: float, *, training: bool) -> torch.Tensor:
    """A residual path that is left out for some items of a batch in training."""
    if not training or chance == 0.0:
        return y
    kept = torch.rand((len(y), *[1] * (y.ndim - 1)), device=y.device) >= chance
    return y * kept.to(y.dtype) / (1.0 - chance)


def _chances(config: EvidenceConfig) -> list[float]:
    """Chance of each block to be skipped, rising from 0 to ``drop_path``."""
    blocks = sum(config.blocks_per_stage)
    return [config.drop_path * i / max(1, blocks - 1) for i in range(blocks)]


class SliceEncoder(nn.Module):
    """Residual blocks from slices to feature grids.

    Input ``(B, C, H, W)`` float32, output ``(B, D, h, w)``; slices do not see each other.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        channels = config.in_channels + int(config.mask_channel)
        self.stem: nn.Module = nn.Identity()
        if config.stem:
            self.stem = nn.Sequential(
                nn.Conv2d(channels, config.stem, 3, 1, 1, bias=False),
                normalisation(config.norm, config.stem),
                activation(config.activation),
            )
            channels = config.stem
        blocks: list[Block] = []
        chances = _chances(config)
        for width, stride, depth in zip(
            config.widths, config.strides, config.blocks_per_stage, strict=True
        ):
            for place in range(depth):
                blocks.append(
                    Block(
                        channels,
                        width,
                        stride if place == 0 else 1,
                        config.norm,
                        config.activation,
                        first=place == 0,
                        drop_path=chances[len(blocks)],
                    )
                )
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.channels_last = config.norm == "batch"
        if self.channels_last:  # a fifth faster on CPUs; group normalisation is slower so
            for weight in self.parameters():
                if weight.ndim == 4:
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode slices, see the class."""
        if self.channels_last and not exporting():
            x = x.contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = self.blocks(self.stem(x))
        return out


class SliceNorm(nn.Module):
    """A slice's normalisation for volumes ``(N, C, T, H, W)`` with padded slices.

    Padding never enters the statistics, and comes out as 0: the next convolution then sees what it
    would see beyond the end of a shorter volume.
    """

    def __init__(self, kind: NormKind, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(kind, channels)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Normalise; ``valid (N, T)`` tells slices from padding."""
        cases, channels, steps, height, width = x.shape
        flat = x.transpose(1, 2).reshape(cases * steps, channels, height, width)
        if self.training and not exporting():
            chosen = valid.reshape(-1)
            normed = self.norm(flat[chosen])
            out = normed.new_zeros((cases * steps, channels, height, width))
            out[chosen] = normed
        else:
            out = self.norm(flat)
        out = out.reshape(cases, steps, channels, height, width).transpose(1, 2)
        return torch.where(valid[:, None, :, None, None], out, torch.zeros_like(out))


def pooled(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Mean over squares of the plane; the library's own pooling of volumes cannot repeat on CUDA."""
    cases, channels, steps, height, width = x.shape
    flat = functional.avg_pool2d(x.reshape(cases, channels * steps, height, width), stride)
    return flat.reshape(cases, channels, steps, height // stride, width // stride)


class VolumeBlock(nn.Module):
    """Two 3x3x3 convolutions with a residual path; the first one carries the strides."""

    def __init__(
        self,
        channels: tuple[int, int],
        strides: tuple[int, int],
        norm: NormKind,
        act: ActivationKind,
        *,
        first: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        step, stride = strides
        self.step, self.stride, self.drop_path = step, stride, drop_path
        self.first = nn.Conv3d(*channels, 3, (step, stride, stride), 1, bias=False)
        self.first_norm = SliceNorm(norm, channels[1])
        self.second = nn.Conv3d(channels[1], channels[1], 3, 1, 1, bias=False)
        self.second_norm = SliceNorm(norm, channels[1])
        self.skip: nn.Module | None = None
        if first:
            self.skip = nn.Conv3d(*channels, 1, bias=False)
        elif isinstance(self.second_norm.norm, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.constant_(self.second_norm.norm.weight, _QUIET)
        self.act = activation(act)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """``(N, C, T, H, W)`` to ``(N, C', ceil(T / step), H / stride, W / stride)``.

        ``valid`` is of the result's steps.
        """
        y = self.act(self.first_norm(self.first(x), valid))
        y = self.second_norm(self.second(y), valid)
        y = skipped(y, self.drop_path, training=self.training)
        if self.skip is not None:
            x = x[:, :, :: self.step] if self.step > 1 else x
            if self.stride > 1:
                x = pooled(x, self.stride)
            x = self.skip(x)
        out: torch.Tensor = self.act(y + x)
        return out


class VolumeEncoder(nn.Module):
    """Residual 3-D blocks from volumes to feature grids.

    Input ``(N, C, T, H, W)`` float32 and ``length (N,)``; output ``(N, D, T', h, w)`` with
    ``T' = ceil(T / depth_stride)``, zero where a step stands for padding alone.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        channels = config.in_channels + int(config.mask_channel)
        self.stem: nn.Conv3d | None = None
        if config.stem:
            self.stem = nn.Conv3d(channels, config.stem, 3, 1, 1, bias=False)
            self.stem_norm = SliceNorm(config.norm, config.stem)
            self.stem_act = activation(config.activation)
            channels = config.stem
        chances = _chances(config)
        steps = config.depth_strides or (1,) * len(config.widths)
        blocks: list[VolumeBlock] = []
        for width, stride, step, depth in zip(
            config.widths, config.strides, steps, config.blocks_per_stage, strict=True
        ):
            for place in range(depth):
                blocks.append(
                    VolumeBlock(
                        (channels, width),
                        (step, stride) if place == 0 else (1, 1),
                        config.norm,
                        config.activation,
                        first=place == 0,
                        drop_path=chances[len(blocks)],
                    )
                )
                channels = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Encode volumes, see the class."""
        valid = within(length, x.shape[2])
        x = torch.where(valid[:, None, :, None, None], x, torch.zeros_like(x))
        if self.stem is not None:
            x = self.stem_act(self.stem_norm(self.stem(x), valid))
        for block in self.blocks:
            assert isinstance(block, VolumeBlock)
            length = steps_of(length, block.step)
            valid = valid[:, :: block.step] if block.step > 1 else valid
            x = block(x, valid)
        return x


def within(length: torch.Tensor, steps: int) -> torch.Tensor:
    """Which of ``steps`` are not padding, ``(N, steps)``."""
    return torch.arange(steps, device=length.device).unsqueeze(0) < length.unsqueeze(1)


def steps_of(length: torch.Tensor, stride: int) -> torch.Tensor:
    """How many steps of a strided grid stand for ``length`` slices."""
    if stride == 1:
        return length
    return torch.div(length + (stride - 1), stride, rounding_mode="floor")
