"""Convolutional encoders: slices read one by one, or a volume read across its slices.

Residual blocks after He et al. 2016, skipped at random in training after Huang et al. 2016.
"""

from __future__ import annotations

from typing import Any

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


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The same values with channels last in memory, and with strides that say so.

    A single channel lies either way; a convolution takes the way from the strides.
    """
    if x.shape[1] == 1:
        return x[:, 0].contiguous().unsqueeze(-1).movedim(-1, 1)
    return x.contiguous(
        memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    )


def keep_channels_last(net: nn.Module) -> None:
    """Let kernels lie as their images do: up to twice as fast on CPUs with batch normalisation."""
    for weight in net.parameters():
        if weight.ndim >= 4:
            weight.data = channels_last(weight.data)


def pointwise(layer: nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution without bias; as a product of matrices where channels lie last."""
    if exporting() or not x.movedim(1, -1).is_contiguous():
        out: torch.Tensor = layer(x)
        return out
    return functional.linear(x.movedim(1, -1), layer.weight.flatten(1)).movedim(-1, 1)


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
        self.skip: nn.Sequential | None = None
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
        if self.skip is not None:
            pool, across = self.skip
            assert isinstance(across, nn.Conv2d)
            x = pointwise(across, pool(x))
        out: torch.Tensor = self.act(y + x)
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
        if self.channels_last:  # group normalisation is slower so
            keep_channels_last(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode slices, see the class."""
        if self.channels_last and not exporting():
            x = channels_last(x)
        out: torch.Tensor = self.blocks(self.stem(x))
        return out


class _Taken(torch.autograd.Function):
    """Some rows of ``(R, S)``; ``index`` names each at most once."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(rows)
        taken: torch.Tensor = rows.index_select(0, index)
        return taken

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor, None]:
        (index,) = ctx.saved_tensors
        grad = given[0]
        back: torch.Tensor = grad.new_zeros(ctx.count, grad.shape[1])
        return back.index_copy_(0, index, grad), None


class SliceNorm(nn.Module):
    """A slice's normalisation for volumes ``(N, C, T, H, W)`` with padded slices.

    Padding never enters the statistics, and comes out as 0: the next convolution then sees what it
    would see beyond the end of a shorter volume.
    """

    def __init__(self, kind: NormKind, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(kind, channels)

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, index: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Normalise; ``valid (N, T)`` tells slices from padding.

        ``index`` numbers those of ``valid`` among all ``N T`` slices; ``None`` means that there is
        no padding, or (in a graph) that it may not matter which there is.
        """
        cases, channels, steps, height, width = x.shape
        flat = slices_of(x)
        if index is not None and self.training:
            last = flat.permute(0, 2, 3, 1)
            rows: torch.Tensor = _Taken.apply(last.reshape(cases * steps, -1), index)  # type: ignore[no-untyped-call]  # torch
            some = rows.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
            normed: torch.Tensor = self.norm(some).permute(0, 2, 3, 1).reshape(len(index), -1)
            wide = normed.new_zeros(cases * steps, normed.shape[1]).index_copy_(0, index, normed)
            return wide.reshape(cases, steps, height, width, channels).movedim(-1, 1)
        out: torch.Tensor = self.norm(flat)
        out = out.reshape(cases, steps, channels, height, width).transpose(1, 2)
        if index is None and not exporting():
            return out
        return torch.where(valid[:, None, :, None, None], out, torch.zeros_like(out))


def slices_of(x: torch.Tensor) -> torch.Tensor:
    """Slices ``(N T, C, H, W)`` of volumes ``(N, C, T, H, W)``, channels last if they are."""
    cases, channels, steps, height, width = x.shape
    if exporting() or x.stride(1) != 1:
        return x.transpose(1, 2).reshape(cases * steps, channels, height, width)
    last = x.movedim(1, -1).reshape(cases * steps, height, width, channels)
    return last.movedim(-1, 1)


def pooled(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Mean over squares of the plane; the library's own pooling of volumes cannot repeat on CUDA."""
    cases, channels, steps, height, width = x.shape
    if exporting():
        flat = x.reshape(cases, channels * steps, height, width)
        small = functional.avg_pool2d(flat, stride)
        return small.reshape(cases, channels, steps, height // stride, width // stride)
    small = functional.avg_pool2d(slices_of(x), stride)
    return small.reshape(cases, steps, *small.shape[1:]).transpose(1, 2)


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
        self.skip: nn.Conv3d | None = None
        if first:
            self.skip = nn.Conv3d(*channels, 1, bias=False)
        elif isinstance(self.second_norm.norm, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.constant_(self.second_norm.norm.weight, _QUIET)
        self.act = activation(act)

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor, index: torch.Tensor | None
    ) -> torch.Tensor:
        """``(N, C, T, H, W)`` to ``(N, C', ceil(T / step), H / stride, W / stride)``.

        ``valid`` and ``index`` (see :class:`SliceNorm`) are of the result's steps.
        """
        y = self.act(self.first_norm(self.first(x), valid, index))
        y = self.second_norm(self.second(y), valid, index)
        y = skipped(y, self.drop_path, training=self.training)
        if self.skip is not None:
            x = x[:, :, :: self.step] if self.step > 1 else x
            if self.stride > 1:
                x = pooled(x, self.stride)
            x = pointwise(self.skip, x)
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
        self.channels_last = config.norm == "batch"
        if self.channels_last:
            keep_channels_last(self)

    def forward(self, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Encode volumes, see the class."""
        valid = within(length, x.shape[2])
        x = torch.where(valid[:, None, :, None, None], x, torch.zeros_like(x))
        if self.channels_last and not exporting():
            x = channels_last(x)
        index = places_of(valid)
        if self.stem is not None:
            x = self.stem_act(self.stem_norm(self.stem(x), valid, index))
        for block in self.blocks:
            assert isinstance(block, VolumeBlock)
            length = steps_of(length, block.step)
            if block.step > 1:
                valid = valid[:, :: block.step]
                index = places_of(valid)
            x = block(x, valid, index)
        return x


def places_of(valid: torch.Tensor) -> torch.Tensor | None:
    """Numbers of the true places of ``(N, T)``; ``None`` where all are, or a graph is written."""
    if exporting() or bool(valid.all()):
        return None
    return valid.reshape(-1).nonzero().squeeze(1)


def within(length: torch.Tensor, steps: int) -> torch.Tensor:
    """Which of ``steps`` are not padding, ``(N, steps)``."""
    return torch.arange(steps, device=length.device).unsqueeze(0) < length.unsqueeze(1)


def steps_of(length: torch.Tensor, stride: int) -> torch.Tensor:
    """How many steps of a strided grid stand for ``length`` slices."""
    if stride == 1:
        return length
    return torch.div(length + (stride - 1), stride, rounding_mode="floor")
