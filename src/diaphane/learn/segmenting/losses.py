"""Dice and cross-entropy at several levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

_SMOOTH = 1.0
"""Voxels added to both sides of the Dice: patches without a label have a defined one."""


def segmentation_loss(
    logits: Sequence[torch.Tensor], mask: torch.Tensor, dice_share: float
) -> torch.Tensor:
    """Loss of logits ``(N, 1 + L, d, h, w)`` by level, finest first; each counts half the former.

    Coarser levels are held against shares of labels, so that structures thinner than a cell stay.

    Parameters
    ----------
    mask:
        ``(N, D, H, W)`` int64 at the finest level.
    """
    truth = functional.one_hot(mask, logits[0].shape[1]).movedim(-1, 1).float()
    total, weights = truth.new_zeros(()), 0.0
    for level, logit in enumerate(logits):
        aim = truth if level == 0 else _shares(truth, logit.shape[2:])
        weight = 0.5**level
        total = total + weight * _one(logit.float(), aim, dice_share)
        weights += weight
    return total / weights


def _one(logit: torch.Tensor, aim: torch.Tensor, dice_share: float) -> torch.Tensor:
    log_probability = functional.log_softmax(logit, 1)
    entropy = -(aim * log_probability).sum(1).mean()
    probability = log_probability.exp()[:, 1:]
    wanted = aim[:, 1:]
    # Over the whole batch (Kodym et al. 2018): steadier than by patch where a label is small.
    axes = (0, 2, 3, 4)
    both = (probability * wanted).sum(axes)
    dice = (2 * both + _SMOOTH) / (probability.sum(axes) + wanted.sum(axes) + _SMOOTH)
    return 2 * (dice_share * (1 - dice.mean()) + (1 - dice_share) * entropy)


def _shares(truth: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Share of each label in the cells of a coarser grid."""
    step = [a // b for a, b in zip(truth.shape[2:], size, strict=True)]
    return functional.avg_pool3d(truth, step, step)
