"""What a step does to weights after the backward pass, in as few passes over them as there can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from diaphane.learn.state import Tensors


def adamw(
    groups: list[dict[str, Any]], learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) over groups of parameters; on a CPU in one pass."""
    fused = device.type == "cpu"
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=(0.9, 0.99), foreach=not fused, fused=fused
    )


def take_up(optimiser: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Give an optimiser the state, by number of parameter, that was saved of another one.

    Moments come to lie in memory as their parameters do, which the one pass over both relies on.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    laid = {
        number: {
            name: torch.empty_like(parameters[number]).copy_(value)
            if isinstance(value, torch.Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state.items()
    }
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": laid, "param_groups": groups})


def clip(parameters: Sequence[nn.Parameter], most: float) -> float:
    """Scale gradients so that their common norm is ``most`` at most; returns the norm as it was."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    found = float(norm)
    if found > most:
        torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return found


def seed(number: int, device: torch.device) -> None:
    """Seed torch's generator for a step; other devices' only where one is at work."""
    if device.type == "cpu":  # torch.manual_seed notes down a stack of calls for each other kind
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


class Average:
    """Averaged weights of a network (an exponential moving average), which follow it.

    Attributes
    ----------
    tensors:
        By name, as in the network's ``state_dict``; they stay the same objects.
    """

    def __init__(self, net: nn.Module) -> None:
        self._now = dict(net.state_dict())
        self.tensors: Tensors = {k: v.detach().clone() for k, v in self._now.items()}
        self._floats = [name for name, v in self._now.items() if v.dtype.is_floating_point]
        self._others = [name for name in self._now if name not in set(self._floats)]

    def set(self, tensors: Tensors) -> None:
        """Take the values of tensors by the same names."""
        for name, value in self.tensors.items():
            value.copy_(tensors[name])

    @torch.no_grad()
    def follow(self, step: int, decay: float) -> None:
        """Move towards the network after ``step`` steps; early on faster than by ``decay``."""
        share = 1.0 - min(decay, (1 + step) / (10 + step))
        held, now = self.tensors, self._now
        torch._foreach_lerp_([held[k] for k in self._floats], [now[k] for k in self._floats], share)
        if self._others:
            torch._foreach_copy_([held[k] for k in self._others], [now[k] for k in self._others])
