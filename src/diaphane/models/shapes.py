"""Shape functions: how each concept enters the score, as curves a person can read."""

from __future__ import annotations

import torch
from torch import nn

from diaphane.core.errors import PlanError

_LEAST_GAP = 0.05
"""Least distance of two knots in standard deviations, where quantiles coincide."""


class ShapeFunctions(nn.Module):
    """One continuous piecewise-linear curve per concept and output.

    A concept ``c`` is standardised, ``z = (c - mean) / std``, then ``g_k(z) = sum_b rise_kb
    clip((z - knot_b) / (knot_b+1 - knot_b), 0, 1) - offset_k``: flat outside the knots, so a value
    never seen cannot run away. NaN means "not given" and contributes 0.

    Buffers: ``mean``, ``std`` ``(J,)``; ``knots`` ``(J, B + 1)`` in standard deviations; ``offset``
    ``(J, K)``. Parameter: ``rise`` ``(J, B, K)``, zero at the start.
    """

    mean: torch.Tensor
    std: torch.Tensor
    knots: torch.Tensor
    offset: torch.Tensor

    def __init__(self, n_concepts: int, n_outputs: int, segments: int) -> None:
        super().__init__()
        self.rise = nn.Parameter(torch.zeros(n_concepts, segments, n_outputs))
        self.register_buffer("mean", torch.zeros(n_concepts))
        self.register_buffer("std", torch.ones(n_concepts))
        self.register_buffer("knots", torch.linspace(-2.0, 2.0, segments + 1).repeat(n_concepts, 1))
        self.register_buffer("offset", torch.zeros(n_concepts, n_outputs))

    def standardise(self, concepts: torch.Tensor) -> torch.Tensor:
        """``(N, J)`` in standard deviations; NaN becomes 0, the training mean."""
        z = (concepts - self.mean) / self.std
        return torch.where(torch.isnan(z), torch.zeros_like(z), z)

    def forward(self, concepts: torch.Tensor) -> torch.Tensor:
        """Contributions ``(N, J, K)`` of concepts ``(N, J)``."""
        given = torch.logical_not(torch.isnan(concepts)).unsqueeze(-1)
        contribution = self._raw(self.standardise(concepts)) - self.offset
        return torch.where(given, contribution, torch.zeros_like(contribution))

    @torch.no_grad()
    def fit(self, train: torch.Tensor) -> None:
        """Take mean, standard deviation and knots (quantiles) from training concepts ``(N, J)``.

        Raises
        ------
        PlanError
            The width differs from J, or a concept is never given.
        """
        self._check(train)
        self.offset.zero_()
        positions = torch.linspace(0.02, 0.98, self.knots.shape[1], device=train.device)
        for j in range(train.shape[1]):
            values = train[:, j][~torch.isnan(train[:, j])].to(self.mean)
            self.mean[j] = values.mean()
            self.std[j] = values.std(correction=0).clamp_min(1e-6)
            knots = torch.quantile((values - self.mean[j]) / self.std[j], positions.to(values))
            gaps = knots.diff().clamp_min(_LEAST_GAP)
            self.knots[j] = torch.cat([knots[:1], knots[0] + gaps.cumsum(0)])

    @torch.no_grad()
    def centre(self, train: torch.Tensor) -> torch.Tensor:
        """Shift each curve to mean zero over training concepts ``(N, J)``.

        Returns
        -------
        torch.Tensor
            ``(K,)``, what the curves lost together: add it to the bias to keep every logit.
        """
        self._check(train)
        given = torch.logical_not(torch.isnan(train)).unsqueeze(-1)
        raw = self._raw(self.standardise(train.to(self.mean)))
        new = (raw * given).sum(0) / given.sum(0).clamp_min(1)
        moved = (new - self.offset).sum(0)
        self.offset.copy_(new)
        return moved

    def roughness(self) -> torch.Tensor:
        """Mean squared change of slope between neighbouring segments, a scalar to penalise."""
        slope = self.rise / self.knots.diff(dim=1).unsqueeze(-1)
        return slope.diff(dim=1).square().mean() if slope.shape[1] > 1 else slope.sum() * 0.0

    def _raw(self, z: torch.Tensor) -> torch.Tensor:
        ramps = (z.unsqueeze(-1) - self.knots[:, :-1]) / (self.knots[:, 1:] - self.knots[:, :-1])
        return torch.einsum("njb,jbk->njk", ramps.clamp(0.0, 1.0), self.rise)

    def _check(self, train: torch.Tensor) -> None:
        if train.ndim != 2 or train.shape[1] != self.mean.shape[0]:
            raise PlanError(
                f"{self.mean.shape[0]} concepts are expected, not {tuple(train.shape)}."
            )
        if bool(torch.isnan(train).all(dim=0).any()):
            raise PlanError("a concept has no value in any training case.")
