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

from diaphane.models.config import EvidenceConfig
from diaphane.models.encoder import SliceEncoder
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
        self.encoder: SliceEncoder | None = None
        self.shapes: ShapeFunctions | None = None
        if config.use_image:
            width = config.widths[-1]
            self.encoder = SliceEncoder(config)
            self.drop = nn.Dropout(config.dropout)
            self.context = Context(config.rnn, width, config.hidden)
            self.attend = nn.Sequential(
                nn.Linear(width + self.context.size, config.hidden),
                nn.Tanh(),
                nn.Linear(config.hidden, 1, bias=False),
            )
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
        outputs = self.config.n_outputs
        bias = self.bias.unsqueeze(0).expand(cases, outputs)
        if self.shapes is not None:
            parts = self.shapes(concepts)
        else:
            parts = concepts.new_zeros((cases, 0, outputs))
        if self.encoder is not None:
            maps, attention, features = self._image_part(image, mask, length)
        else:
            maps, attention, features = self._no_image(mask, length, concepts)
        logit = bias + maps.sum(dim=(1, 2, 3)) + parts.sum(dim=1)
        return EvidenceOutput(logit, bias, maps, attention, parts, features.unsqueeze(1))

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

    def _image_part(
        self, image: torch.Tensor, mask: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maps ``(N, T, h, w, K)``, attention ``(N, T)`` and pooled features ``(N, D)``."""
        cases, slices = image.shape[0], image.shape[1]
        h, w = self.config.grid
        width = self.config.widths[-1]
        valid = torch.arange(slices, device=length.device).unsqueeze(0) < length.unsqueeze(1)
        features = self._encode(image, mask, valid)
        stride = self.config.stride
        weights = nn.functional.avg_pool2d(mask, stride) if stride > 1 else mask

        if self.config.sequence == "rows":
            grid = features.permute(0, 1, 3, 4, 2).reshape(cases, slices * h, w, width)
            weights = weights.reshape(cases, slices * h, w)
            taken = valid.unsqueeze(-1).expand(cases, slices, h).reshape(cases, slices * h)
            length = length * h
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

        pooled = torch.einsum("nsp,nspd->nsd", places, grid)
        context = self.context(pooled, length)
        score = self.attend(torch.cat([pooled, context], dim=-1)).squeeze(-1)
        attention = torch.softmax(score.masked_fill(torch.logical_not(taken), -1e4), dim=1)
        attention = torch.where(taken, attention, torch.zeros_like(attention))
        direction = torch.einsum("kde,nse->nskd", self.weight, context)
        evidence = torch.einsum("nspd,nskd->nspk", grid, direction)
        weight = (attention.unsqueeze(-1) * places).unsqueeze(-1)
        maps = torch.where(
            taken.unsqueeze(-1).unsqueeze(-1), evidence * weight, torch.zeros_like(evidence)
        )
        features = torch.einsum("ns,nsd->nd", attention, pooled)
        shape = (cases, slices, h, w, self.config.n_outputs)
        return maps.reshape(shape), attention.reshape(cases, slices, -1).sum(-1), features

    def _encode(self, image: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Features ``(N, T, D, h, w)``, zero beyond each case's length."""
        assert self.encoder is not None
        cases, slices = image.shape[0], image.shape[1]
        if self.config.mask_channel:
            image = torch.cat([image, mask.unsqueeze(2)], dim=2)
        flat = image.reshape(cases * slices, *image.shape[2:])
        h, w = self.config.grid
        shape = (cases, slices, self.config.widths[-1], h, w)
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
            features = self.encoder(flat).reshape(shape)
            keep = valid.reshape(cases, slices, 1, 1, 1)
            return torch.where(keep, features, torch.zeros_like(features))
        chosen = valid.reshape(-1)
        encoded = self.encoder(flat[chosen])
        features = encoded.new_zeros((cases * slices, *encoded.shape[1:]))
        features[chosen] = encoded
        kept = self.drop(encoded.new_ones((cases, 1, shape[2], 1, 1)))
        return torch.mul(features.reshape(shape), kept)

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
