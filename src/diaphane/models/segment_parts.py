"""What segmenters are built of: residual units, and a convolutional GRU across slices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Steps = tuple[int, int, int]
EPS = 1e-5


def convolution(
    flat: bool, channels_in: int, channels_out: int, kernel: Steps, stride: Steps, *, bias: bool
) -> nn.Module:
    """A padded 2-D (``flat``: the z entries are left out) or 3-D convolution."""
    if flat:
        padding2 = (kernel[1] // 2, kernel[2] // 2)
        return nn.Conv2d(channels_in, channels_out, kernel[1:], stride[1:], padding2, bias=bias)
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(channels_in, channels_out, kernel, stride, padding, bias=bias)


def upsampling(flat: bool, channels_in: int, channels_out: int, stride: Steps) -> nn.Module:
    """A transposed convolution that undoes ``stride`` without overlap."""
    if flat:
        return nn.ConvTranspose2d(channels_in, channels_out, stride[1:], stride[1:])
    return nn.ConvTranspose3d(channels_in, channels_out, stride, stride)


class _Normalise(torch.autograd.Function):
    """Instance normalisation of ``(N, S, C)`` over S, its sums as matrix products.

    With channels last these are plain passes over memory; torch's own kernel copies to another
    layout and back, and takes several times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ones = x.new_ones(1, 1, x.shape[1]).expand(x.shape[0], 1, -1) / x.shape[1]
        mean = ones @ x
        centred = x - mean
        scale = torch.rsqrt(ones @ (centred * centred) + EPS)
        ctx.save_for_backward(centred, scale, weight)
        return torch.addcmul(bias, centred, scale * weight)

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        centred, scale, weight = ctx.saved_tensors
        grad = given[0]
        ones = grad.new_ones(1, 1, grad.shape[1]).expand(grad.shape[0], 1, -1)
        total = ones @ grad
        along = (ones @ (grad * centred)) * scale
        size = grad.shape[1]
        lead = scale * weight
        back = (grad - total / size).addcmul_(centred, -along * scale / size).mul_(lead)
        return back, along.sum((0, 1)), total.sum((0, 1))


class InstanceNorm(nn.Module):
    """Instance normalisation with a scale and a shift (Ulyanov et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, C, ...)`` to the same."""
        if not (self.training and torch.is_grad_enabled()):
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPS)
        last = x.movedim(1, -1)
        flat = last.reshape(x.shape[0], -1, x.shape[1])
        done: torch.Tensor = _Normalise.apply(flat.float(), self.weight, self.bias)  # type: ignore[no-untyped-call]  # torch
        return done.to(x.dtype).reshape(last.shape).movedim(-1, 1)


class Unit(nn.Module):
    """One convolution with normalisation, or two with a residual path; the first has the stride."""

    def __init__(
        self,
        flat: bool,
        channels_in: int,
        channels_out: int,
        kernel: Steps,
        stride: Steps,
        *,
        residual: bool,
    ) -> None:
        super().__init__()
        one: Steps = (1, 1, 1)
        self.first = convolution(flat, channels_in, channels_out, kernel, stride, bias=False)
        self.first_norm = InstanceNorm(channels_out)
        self.act = nn.LeakyReLU(0.01)
        self.residual = residual
        if residual:
            self.second = convolution(flat, channels_out, channels_out, kernel, one, bias=False)
            self.second_norm = InstanceNorm(channels_out)
            pool: nn.Module = nn.Identity()
            if max(stride) > 1:
                pool = nn.AvgPool2d(stride[1:]) if flat else nn.AvgPool3d(stride)
            straight: nn.Module = nn.Identity()
            if channels_in != channels_out:
                straight = convolution(flat, channels_in, channels_out, one, one, bias=False)
            self.skip = nn.Sequential(pool, straight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, C, ...)`` to ``(N, C', ...)``, smaller by the stride."""
        y: torch.Tensor = self.act(self.first_norm(self.first(x)))
        if self.residual:
            y = self.act(self.second_norm(self.second(y)) + self.skip(x))
        return y


class SliceGru(nn.Module):
    """Bidirectional convolutional GRU across slices, added to what each slice sees alone.

    Ballas et al., ICLR 2016. Both directions run at once: the second half of the channels reads
    the slices backwards.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given = nn.Conv2d(width, 6 * hidden, 3, padding=1)
        self.gates = nn.Conv2d(2 * hidden, 4 * hidden, 3, padding=1, groups=2, bias=False)
        self.fresh = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2, bias=False)
        self.out = nn.Conv2d(2 * hidden, width, 1)

    def forward(self, x: torch.Tensor, depth: int) -> torch.Tensor:
        """``(N D, C, h, w)`` to the same, slices of a case one after the other."""
        size = self.hidden
        rows, _, height, width = x.shape
        cases = rows // depth
        seen = self.given(x).reshape(cases, depth, 6 * size, height, width)
        ahead, back = seen[:, :, : 3 * size], seen[:, :, 3 * size :].flip(1)
        # Channels of a grouped convolution: all of one direction, then all of the other.
        gates = torch.cat([ahead[:, :, : 2 * size], back[:, :, : 2 * size]], 2)
        fresh = torch.cat([ahead[:, :, 2 * size :], back[:, :, 2 * size :]], 2)
        # As a script the loop stays one node of the graph; elsewhere plain autograd is safer.
        run = _looped() if torch.onnx.is_in_onnx_export() else _recurrence
        stack = run(gates, fresh, self.gates.weight, self.fresh.weight)
        both = torch.cat([stack[:, :, :size], stack[:, :, size:].flip(1)], 2)
        out: torch.Tensor = self.out(both.reshape(rows, 2 * size, height, width))
        return x + out


def _recurrence(
    gates: torch.Tensor, fresh: torch.Tensor, by_gates: torch.Tensor, by_fresh: torch.Tensor
) -> torch.Tensor:
    """States ``(N, D, 2 h, y, x)`` of two GRUs side by side.

    Parameters
    ----------
    gates, fresh:
        ``(N, D, 4 h, y, x)`` and ``(N, D, 2 h, y, x)``: what the slices give.
    by_gates, by_fresh:
        Kernels of what the former state gives.
    """
    size = fresh.shape[2] // 2
    state = torch.zeros_like(fresh[:, 0])
    states: list[torch.Tensor] = []
    for t in range(gates.shape[1]):
        gate = torch.sigmoid(
            torch.conv2d(state, by_gates, None, [1, 1], [1, 1], [1, 1], 2) + gates[:, t]
        )
        reset = torch.cat([gate[:, :size], gate[:, 2 * size : 3 * size]], 1)
        keep = torch.cat([gate[:, size : 2 * size], gate[:, 3 * size :]], 1)
        new = torch.conv2d(reset * state, by_fresh, None, [1, 1], [1, 1], [1, 1], 2) + fresh[:, t]
        state = keep * state + (1.0 - keep) * torch.tanh(new)
        states.append(state)
    return torch.stack(states, 1)


@functools.cache
def _looped() -> Callable[..., torch.Tensor]:
    """The same with its loop kept: traced, it becomes one loop of the graph, however deep."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compiling is said to be on its way out
        made: Callable[..., torch.Tensor] = torch.jit.script(_recurrence)
    return made


def across_slices(width: int, most: int) -> SliceGru:
    """The GRU of a level of that width."""
    return SliceGru(width, max(1, min(most, width // 2)))
