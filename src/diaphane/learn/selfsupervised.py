"""What an encoder is asked for when there are no labels: agreement of views, or hidden pixels.

Both take slices ``(B, C, H, W)`` with their masks ``(B, H, W)`` and give a loss. What is drawn comes
from the generator that is handed in, so a step is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

_SMOOTHER = (0.25, 0.5, 0.25)


@dataclass(frozen=True)
class Views:
    """How strongly a slice is changed before the encoder sees it.

    Attributes
    ----------
    area:
        Least share of the frame that a crop shows; a crop is enlarged to the frame.
    aspect:
        Largest change of the crop's aspect, as a log.
    rotation:
        Largest turn in degrees.
    flip_y:
        Mirror top and bottom too; left and right are always mirrored half of the time.
    gamma, contrast, brightness, noise:
        Largest log of gamma and contrast, shift, and standard deviation of noise.
    outlined:
        The image is 0 outside its mask, and stays so.
    """

    area: float = 0.4
    aspect: float = 0.25
    rotation: float = 15.0
    flip_y: bool = False
    gamma: float = 0.5
    contrast: float = 0.4
    brightness: float = 0.15
    noise: float = 0.05
    outlined: bool = False

    def __call__(
        self, image: torch.Tensor, mask: torch.Tensor, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One changed version of each slice and of its mask, of the same shapes."""
        shown, inside = self._moved(image, mask, random)
        shown = self._shaded(shown, random)
        if self.outlined:
            inside = (inside > 0.5).to(shown)
            shown = shown * inside.unsqueeze(1)
        return shown, inside

    def _moved(
        self, image: torch.Tensor, mask: torch.Tensor, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cropped, turned and mirrored."""
        count = len(image)
        area = self.area + (1.0 - self.area) * torch.rand(count, generator=random)
        aspect = torch.exp(self.aspect * _even(count, random))
        high = (area.sqrt() * aspect).clamp(max=1.0)
        wide = (area.sqrt() / aspect).clamp(max=1.0)
        angle = math.radians(self.rotation) * _even(count, random)
        across = _sign(count, random)
        down = _sign(count, random) if self.flip_y else torch.ones(count)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0] = torch.cos(angle) * wide * across
        theta[:, 0, 1] = -torch.sin(angle) * high * down
        theta[:, 1, 0] = torch.sin(angle) * wide * across
        theta[:, 1, 1] = torch.cos(angle) * high * down
        theta[:, 0, 2] = _even(count, random) * (1.0 - wide)
        theta[:, 1, 2] = _even(count, random) * (1.0 - high)
        both = torch.cat([image, mask.unsqueeze(1)], dim=1)
        grid = functional.affine_grid(theta.to(image.device), list(both.shape), align_corners=False)
        seen = functional.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
        return seen[:, :-1], seen[:, -1]

    def _shaded(self, shown: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """With other intensities, some smoothed, and noise."""
        count = len(shown)

        def each(values: torch.Tensor) -> torch.Tensor:
            return values.view(count, 1, 1, 1).to(shown)

        gamma = each(torch.exp(self.gamma * _even(count, random)))
        shown = torch.sign(shown) * shown.abs().clamp_min(1e-6) ** gamma
        mean = shown.mean((2, 3), keepdim=True)
        shown = (shown - mean) * each(torch.exp(self.contrast * _even(count, random))) + mean
        shown = shown + each(self.brightness * _even(count, random))
        amount = torch.rand(count, generator=random)
        amount = each(amount * (torch.rand(count, generator=random) < 0.5))
        shown = shown + (_smoothed(shown) - shown) * amount
        noise = torch.randn(shown.shape, generator=random).to(shown)
        return shown + noise * each(self.noise * torch.rand(count, generator=random))


class Agreement(nn.Module):
    """Two views of a slice shall be told alike, without telling all slices alike.

    VICReg (Bardes, Ponce and LeCun 2022): mean squared distance of the two embeddings, each
    dimension's standard deviation held above 1, dimensions uncorrelated. It needs neither negative
    pairs nor a second network, and works with small batches.
    """

    def __init__(self, reader: Reader, width: int, views: Views, size: int = 128) -> None:
        super().__init__()
        self.reader, self.views = reader, views
        self.projector = nn.Sequential(
            nn.Linear(width, size), nn.BatchNorm1d(size), nn.ReLU(),
            nn.Linear(size, size), nn.BatchNorm1d(size), nn.ReLU(),
            nn.Linear(size, size),
        )  # fmt: skip

    def forward(
        self, image: torch.Tensor, mask: torch.Tensor, random: torch.Generator
    ) -> torch.Tensor:
        """Loss of a batch of at least two slices."""
        pairs = [self.views(image, mask, random) for _ in range(2)]
        shown, inside = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        told = self.projector(pooled(self.reader(shown, inside), inside))
        one, other = told.chunk(2)
        loss = 25.0 * functional.mse_loss(one, other)
        for side in (one, other):
            centred = side - side.mean(0)
            spread = (centred.var(0) + 1e-4).sqrt()
            loss = loss + 12.5 * functional.relu(1.0 - spread).mean()
            covariance = centred.T @ centred / (len(side) - 1)
            apart = covariance - torch.diag(torch.diag(covariance))
            loss = loss + apart.square().sum() / side.shape[1]
        return loss


class Masked(nn.Module):
    """Hidden parts of a slice shall be told from the rest.

    After SimMIM (Xie et al. 2022): square cells are set to the slice's mean, a light decoder draws
    them from the feature grid, and the squared error counts where they were hidden, in standard
    deviations of the slice.
    """

    def __init__(
        self,
        reader: Reader,
        width: int,
        views: Views,
        *,
        channels: int,
        stride: int,
        cell: int,
        share: float = 0.6,
    ) -> None:
        super().__init__()
        self.reader, self.views, self.cell, self.share = reader, views, cell, share
        self.decoder = nn.Sequential(
            nn.Conv2d(width, 128, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(128, channels * stride**2, 1),
            nn.PixelShuffle(stride),
        )

    def forward(
        self, image: torch.Tensor, mask: torch.Tensor, random: torch.Generator
    ) -> torch.Tensor:
        """Loss of a batch of slices."""
        image, mask = self.views(image, mask, random)
        mean = image.mean((1, 2, 3), keepdim=True)
        wanted = (image - mean) / (image.std((1, 2, 3), keepdim=True) + 1e-3)
        count, _, height, width = image.shape
        cells = (count, 1, math.ceil(height / self.cell), math.ceil(width / self.cell))
        hidden = (torch.rand(cells, generator=random) < self.share).to(image)
        hidden = hidden.repeat_interleave(self.cell, 2).repeat_interleave(self.cell, 3)
        hidden = hidden[:, :, :height, :width]
        drawn = self.decoder(self.reader(image * (1 - hidden) + mean * hidden, mask))
        error = (drawn - wanted).square() * hidden
        loss: torch.Tensor = error.sum() / (hidden.sum() * image.shape[1]).clamp_min(1.0)
        return loss


class Reader(nn.Module):
    """An encoder of slices, handed the mask as one more channel where it takes one."""

    def __init__(self, encoder: nn.Module, *, takes_mask: bool) -> None:
        super().__init__()
        self.encoder, self.takes_mask = encoder, takes_mask

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Features ``(B, D, h, w)`` of ``(B, C, H, W)`` and ``(B, H, W)``."""
        if self.takes_mask:
            image = torch.cat([image, mask.unsqueeze(1)], dim=1)
        features: torch.Tensor = self.encoder(image)
        return features


def pooled(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean ``(B, D)`` over the mask, over the frame where nothing of the mask is left."""
    size = (int(features.shape[-2]), int(features.shape[-1]))
    weight = functional.adaptive_avg_pool2d(mask.unsqueeze(1), size)
    mass = weight.sum((2, 3), keepdim=True)
    weight = torch.where(mass > 1e-6, weight, torch.ones_like(weight))
    mean: torch.Tensor = (features * weight).sum((2, 3)) / weight.sum((2, 3))
    return mean


def _even(count: int, random: torch.Generator) -> torch.Tensor:
    """Numbers from -1 to 1."""
    return torch.rand(count, generator=random) * 2.0 - 1.0


def _sign(count: int, random: torch.Generator) -> torch.Tensor:
    return torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)


def _smoothed(image: torch.Tensor) -> torch.Tensor:
    """Smoothed by a small binomial filter."""
    line = torch.tensor(_SMOOTHER, device=image.device, dtype=image.dtype)
    kernel = (line[:, None] * line[None]).expand(image.shape[1], 1, 3, 3)
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, groups=image.shape[1])
