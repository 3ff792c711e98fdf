"""Recurrent context over a padded sequence, in a form that ONNX can carry.

Packed sequences do not pass the exporter, and a plain bidirectional network reads padding first on
its way back. Here each case is reversed by its own length with a gather, so padding always comes
last in both directions and never reaches a valid step.
"""

from __future__ import annotations

import torch
from torch import nn

from diaphane.models.config import RnnKind


def reversal(length: torch.Tensor, steps: int) -> torch.Tensor:
    """Indices ``(N, steps)`` that reverse the first ``length`` steps and leave the padding.

    The map is its own inverse.
    """
    step = torch.arange(steps, device=length.device).unsqueeze(0)
    mirrored = length.unsqueeze(1) - 1 - step
    return torch.where(mirrored >= 0, mirrored, step)


class Context(nn.Module):
    """Bidirectional GRU or LSTM over the valid steps of each case.

    Input ``(N, S, D)`` and lengths ``(N,)``; output ``(N, S, 1 + 2 hidden)``: a constant one, then
    both directions. Without a recurrent network only the constant is left. Steps past the length
    hold values without meaning.
    """

    def __init__(self, kind: RnnKind, size: int, hidden: int) -> None:
        super().__init__()
        self.size = 1 if kind == "none" else 1 + 2 * hidden
        self.ahead: nn.RNNBase | None = None
        self.back: nn.RNNBase | None = None
        if kind != "none":
            cell = nn.GRU if kind == "gru" else nn.LSTM
            self.ahead = cell(size, hidden, batch_first=True)
            self.back = cell(size, hidden, batch_first=True)

    def forward(self, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Context of every step, see the class."""
        parts = [torch.ones_like(x[..., :1])]
        if self.ahead is not None and self.back is not None:
            index = reversal(length, x.shape[1]).unsqueeze(-1)
            parts.append(self.ahead(x)[0])
            behind = self.back(x.gather(1, index.expand(-1, -1, x.shape[2])))[0]
            parts.append(behind.gather(1, index.expand(-1, -1, behind.shape[2])))
        return torch.cat(parts, dim=-1)
