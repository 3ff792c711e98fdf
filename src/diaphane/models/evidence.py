"""The evidence network: a CNN and an RNN whose score is a sum over slices, places and concepts.

    logit_k = b_k + sum_t a_t sum_x m_t(x) <F_t(x), W_k h_t> + sum_j g_kj(c_j)

``F_t(x)`` are CNN features, ``h_t`` the recurrent context of slice t, ``a_t`` the attention over
slices, ``m_t(x)`` the mask on the feature grid, ``g_kj`` a shape function per concept. Every term
is an output of the network, and the terms add up to the logit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from diaphane.models.config import EvidenceConfig
from diaphane.models.encoder import (
    SliceEncoder,
    VolumeEncoder,
    exporting,
    places_of,
    steps_of,
    within,
)
from diaphane.models.sequence import Context
from diaphane.models.shapes import ShapeFunctions


class EvidenceOutput(NamedTuple):
    """Score and evidence of N cases.

    Attributes
    ----------
    logit: ``(N, K)``.
    bias: ``(N, K)``, the same for every case.
    maps: ``(N, T, h, w, K)``, contributions of places; their sum is the image part of the logit.
    attention: ``(N, T)``, sums to 1 over the slices of a case; 0 beyond its length.
    concepts: ``(N, J, K)``, contributions of concepts.
    features: ``(N, M, D)``, pooled features of each of M members.
    """

    logit: torch.Tensor
    bias: torch.Tensor
    maps: torch.Tensor
    attention: torch.Tensor
    concepts: torch.Tensor
    features: torch.Tensor


class _Seen(NamedTuple):
    """A sequence of S steps of P places each, as the score sums them up.

    ``grid (N, S, P, D)`` features, ``places (N, S, P)`` their weights in a step, ``taken (N, S)``
    steps that count, ``pooled (N, S, D)``, ``direction (N, S, K, D)``, ``attention (N, S)``; the
    steps are of ``slices`` of the feature grid.
    """

    grid: torch.Tensor
    places: torch.Tensor
    taken: torch.Tensor
    pooled: torch.Tensor
    direction: torch.Tensor
    attention: torch.Tensor
    slices: int


class EvidenceNet(nn.Module):
    """One evidence network, see the module.

    A slice whose mask is empty is read as context but gets no attention, unless the case has no
    mask at all: then, as with a mask of ones, every place of a slice weighs the same.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        super().__init__()
        self.config = config
        outputs = config.n_outputs
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.encoder: SliceEncoder | VolumeEncoder | None = None
        self.place: nn.Linear | None = None
        self.shapes: ShapeFunctions | None = None
        if config.use_image:
            width = config.widths[-1]
            self.encoder = VolumeEncoder(config) if config.encoder == "3d" else SliceEncoder(config)
            self.drop = nn.Dropout(config.dropout)
            self.context = Context(config.rnn, width, config.hidden)
            self.attend = nn.Sequential(
                nn.Linear(width + self.context.size, config.hidden),
                nn.Tanh(),
                nn.Linear(config.hidden, 1, bias=False),
            )
            if config.places == "learned":
                self.place = nn.Linear(width, 1, bias=False)
            weight = torch.randn(outputs, width, self.context.size)
            self.weight = nn.Parameter(weight / math.sqrt(width * self.context.size))
        if config.has_concepts:
            self.shapes = ShapeFunctions(config.n_concepts, outputs, config.shape_segments)

    def forward(
        self,
        image: torch.Tensor,
        mask: torch.Tensor,
        length: torch.Tensor,
        concepts: torch.Tensor,
    ) -> EvidenceOutput:
        """Score cases.

        Parameters
        ----------
        image:
            ``(N, T, C, H, W)`` float32.
        mask:
            ``(N, T, H, W)`` float32 in 0..1; ones (or zeros) where there is no mask.
        length:
            ``(N,)`` int64 in 1..T, the slices that are not padding.
        concepts:
            ``(N, J)`` float32, NaN where a concept is not given.
        """
        cases = image.shape[0]
        bias = self.bias.unsqueeze(0).expand(cases, self.config.n_outputs)
        parts = self._concept_part(concepts, cases)
        if self.encoder is not None:
            maps, attention, features = self._image_part(image, mask, length)
        else:
            maps, attention, features = self._no_image(mask, length, concepts)
        logit = bias + maps.sum(dim=(1, 2, 3)) + parts.sum(dim=1)
        return EvidenceOutput(logit, bias, maps, attention, parts, features.unsqueeze(1))

    def score(
        self,
        image: torch.Tensor,
        mask: torch.Tensor,
        length: torch.Tensor,
        concepts: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``logit (N, K)`` and ``concepts (N, J, K)`` of :meth:`forward`, for training.

        No map is drawn: the score is linear in the features, so their weighted means are enough.
        """
        parts = self._concept_part(concepts, image.shape[0])
        logit = self.bias + parts.sum(dim=1)
        if self.encoder is not None:
            seen = self._seen(image, mask, length)
            with torch.autocast(image.device.type, enabled=False):
                each = torch.einsum("nsd,nskd->nsk", seen.pooled, seen.direction)
                logit = logit + torch.einsum("ns,nsk->nk", seen.attention, each)
        return logit, parts

    def fit_concepts(self, train: torch.Tensor) -> None:
        """Take standardisation and knots from training concepts ``(N, J)``; no-op without any."""
        if self.shapes is not None:
            self.shapes.fit(train)

    def centre_concepts(self, train: torch.Tensor) -> None:
        """Centre shape functions on training concepts ``(N, J)``; no logit changes."""
        if self.shapes is not None:
            with torch.no_grad():
                self.bias.add_(self.shapes.centre(train))

    def roughness(self) -> torch.Tensor:
        """Penalty on bends of the shape functions, a scalar; 0 without concepts."""
        return self.bias.sum() * 0.0 if self.shapes is None else self.shapes.roughness()

    def _concept_part(self, concepts: torch.Tensor, cases: int) -> torch.Tensor:
        """Contributions of concepts ``(N, J, K)``; J is 0 without any."""
        if self.shapes is None:
            return concepts.new_zeros((cases, 0, self.config.n_outputs))
        parts: torch.Tensor = self.shapes(concepts)
        return parts

    def _image_part(
        self, image: torch.Tensor, mask: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maps ``(N, T, h, w, K)``, attention ``(N, T)`` and pooled features ``(N, D)``."""
        h, w = self.config.grid
        seen = self._seen(image, mask, length)
        with torch.autocast(image.device.type, enabled=False):
            evidence = torch.einsum("nspd,nskd->nspk", seen.grid, seen.direction)
            weight = (seen.attention.unsqueeze(-1) * seen.places).unsqueeze(-1)
            taken = seen.taken.unsqueeze(-1).unsqueeze(-1)
            maps = torch.where(taken, evidence * weight, torch.zeros_like(evidence))
            features = torch.einsum("ns,nsd->nd", seen.attention, seen.pooled)
            cases, slices = image.shape[0], seen.slices
            maps = maps.reshape(cases, slices, h, w, self.config.n_outputs)
            attention = seen.attention.reshape(cases, slices, -1).sum(-1)
            if self.config.depth_stride > 1:
                share, step = self._shares(length, image.shape[1])
                maps = maps.index_select(1, step) * share[:, :, None, None, None]
                attention = attention.index_select(1, step) * share
        return maps, attention, features

    def _seen(self, image: torch.Tensor, mask: torch.Tensor, length: torch.Tensor) -> _Seen:
        """What the network makes of the images before it draws maps."""
        cases = image.shape[0]
        h, w = self.config.grid
        width = self.config.widths[-1]
        features, valid = self._encode(image, mask, length)
        with torch.autocast(image.device.type, enabled=False):  # the sum is kept in full precision
            features = features.float()
            weights = self._weights(mask, length, features.shape[1])
            steps = steps_of(length, self.config.depth_stride)
            slices = features.shape[1]
            if self.config.sequence == "rows":
                grid = features.permute(0, 1, 3, 4, 2).reshape(cases, slices * h, w, width)
                weights = weights.reshape(cases, slices * h, w)
                taken = valid.unsqueeze(-1).expand(cases, slices, h).reshape(cases, slices * h)
                steps = steps * h
            else:
                grid = features.permute(0, 1, 3, 4, 2).reshape(cases, slices, h * w, width)
                weights = weights.reshape(cases, slices, h * w)
                taken = valid
            mass = weights.sum(-1)
            marked = taken & (mass > 1e-6)
            unmarked = torch.logical_not(marked.to(mask.dtype).amax(1, keepdim=True) > 0)
            taken = torch.logical_and(taken, torch.logical_or(marked, unmarked))
            uniform = torch.ones_like(weights) / weights.shape[-1]
            places = torch.where(
                (mass > 1e-6).unsqueeze(-1), weights / mass.clamp_min(1e-6).unsqueeze(-1), uniform
            )
            if self.place is not None:
                liking = self.place(grid).squeeze(-1)
                liking = torch.exp(liking - liking.amax(-1, keepdim=True)).clamp_min(1e-6) * places
                places = liking / liking.sum(-1, keepdim=True)

            pooled = torch.einsum("nsp,nspd->nsd", places, grid)
            context = self.context(pooled, steps)
            score = self.attend(torch.cat([pooled, context], dim=-1)).squeeze(-1)
            attention = torch.softmax(score.masked_fill(torch.logical_not(taken), -1e4), dim=1)
            attention = torch.where(taken, attention, torch.zeros_like(attention))
            direction = torch.einsum("kde,nse->nskd", self.weight, context)
        return _Seen(grid, places, taken, pooled, direction, attention, slices)

    def _weights(self, mask: torch.Tensor, length: torch.Tensor, steps: int) -> torch.Tensor:
        """Mask on the feature grid, ``(N, T', h, w)``, mean over what a cell stands for."""
        stride, depth = self.config.stride, self.config.depth_stride
        weights = functional.avg_pool2d(mask, stride) if stride > 1 else mask
        if depth == 1:
            return weights
        valid = within(length, mask.shape[1]).to(weights.dtype)
        weights = weights * valid[:, :, None, None]
        weights = functional.pad(weights, (0, 0, 0, 0, 0, depth - 1))
        count = functional.pad(valid, (0, depth - 1))
        total = torch.stack([weights[:, j::depth][:, :steps] for j in range(depth)]).sum(0)
        slices = torch.stack([count[:, j::depth][:, :steps] for j in range(depth)]).sum(0)
        return total / slices.clamp_min(1.0)[:, :, None, None]

    def _shares(self, length: torch.Tensor, slices: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Each slice's even share of its step ``(N, T)``, 0 for padding; and that step ``(T,)``."""
        depth = self.config.depth_stride
        step = torch.div(torch.arange(slices, device=length.device), depth, rounding_mode="floor")
        covered = (length.unsqueeze(1) - step.unsqueeze(0) * depth).clamp(1, depth)
        return within(length, slices) / covered.float(), step

    def _encode(
        self, image: torch.Tensor, mask: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features ``(N, T', D, h, w)``, zero for padding, and which steps are none ``(N, T')``."""
        assert self.encoder is not None
        cases, slices = image.shape[0], image.shape[1]
        valid = within(length, slices)
        if self.config.mask_channel:
            image = torch.cat([image, mask.unsqueeze(2)], dim=2)
        if isinstance(self.encoder, VolumeEncoder):
            features = self.encoder(image.transpose(1, 2), length).transpose(1, 2)
            valid = valid[:, :: self.config.depth_stride]
            return self._dropped(features), valid
        flat = image.reshape(cases * slices, *image.shape[2:])
        h, w = self.config.grid
        shape = (cases, slices, self.config.widths[-1], h, w)
        if exporting():
            features = self.encoder(flat).reshape(shape)
            keep = valid.reshape(cases, slices, 1, 1, 1)
            return torch.where(keep, features, torch.zeros_like(features)), valid
        index = places_of(valid)
        encoded = self.encoder(flat if index is None else flat.index_select(0, index))
        last = encoded.movedim(1, -1)
        if self.training:
            kept = self.drop(encoded.new_ones((cases, 1, last.shape[-1])))
            kept = kept.expand(cases, slices, -1).reshape(cases * slices, 1, 1, -1)
            last = last * (kept if index is None else kept.index_select(0, index))
        if index is not None:
            rows = last.reshape(len(index), -1)
            last = rows.new_zeros(cases * slices, rows.shape[1]).index_copy_(0, index, rows)
        return last.reshape(cases, slices, h, w, -1).permute(0, 1, 4, 2, 3), valid

    def _dropped(self, features: torch.Tensor) -> torch.Tensor:
        """Drop whole feature channels of a case in training."""
        if not self.training:
            return features
        kept = self.drop(features.new_ones((features.shape[0], 1, features.shape[2], 1, 1)))
        return torch.mul(features, kept)

    def _no_image(
        self, mask: torch.Tensor, length: torch.Tensor, concepts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Empty maps, even attention and the standardised concepts as features."""
        assert self.shapes is not None
        cases, slices = mask.shape[0], mask.shape[1]
        steps = torch.arange(slices, device=length.device).unsqueeze(0)
        valid = (steps < length.unsqueeze(1)).to(mask.dtype)
        maps = mask.new_zeros((cases, slices, *self.config.grid, self.config.n_outputs))
        attention = valid / length.unsqueeze(1).to(mask.dtype)
        return maps, attention, self.shapes.standardise(concepts)
